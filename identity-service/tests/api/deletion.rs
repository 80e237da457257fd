//! DELETE /api/auth/account: what its person sees, and that nothing is left.

use reqwest::Method;
use serde_json::{Value, json};
use shared::random;
use stack::{Addresses, until};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody, token},
    device::{Person, Tokens, claims, unauthorized},
    devices::kinds,
    replica::Region,
    service::{Answer, PATIENCE, Service, sent},
};

impl Service {
    pub(crate) async fn delete_account(&self, access_token: &str, body: &Value) -> Answer {
        let request = self.request(Method::DELETE, "/api/auth/account");
        sent(request.bearer_auth(access_token).json(body)).await
    }

    async fn deleted(&self, tokens: &Tokens) -> Value {
        let body = json!({ "password": PASSWORD });
        let answer = self.delete_account(&tokens.access, &body).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.json()
    }

    /// Waits until the deletion of that account has come so far.
    pub(crate) async fn erasure_until(&self, user: &str, condition: &str) {
        let db = self.database().await;
        let sql = format!("SELECT 1 FROM erasures WHERE user_id = $1::text::uuid AND {condition}");
        let come = async || {
            let found = db.query_opt(&sql, &[&user]).await.expect("the table");
            found.map(|_| ()).ok_or("not yet")
        };
        let come = until(condition, PATIENCE, come).await;
        come.expect("the worker goes on");
    }
}

fn at(value: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(value.as_str().expect("a time"), &Rfc3339).expect("RFC 3339")
}

/// One whose deletions end soon, in the true time of the vault of the test run.
pub(crate) async fn quick_region() -> Region {
    let journal = Addresses::of_the_test_run().api.journal;
    Region::with(&[("ERASURE_WAIT", "3s"), ("JOURNAL_URL", &journal)]).await
}

#[tokio::test]
async fn whoever_leaves_is_out_at_once_told_by_mail_and_their_address_is_free() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (phone, laptop) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let before = OffsetDateTime::from_unix_timestamp(
        claims(&phone.access)["iat"].as_i64().unwrap_or_default(),
    );
    let told = identity.deleted(&phone).await;
    let total = at(&told["total_by"]) - before.expect("a time");
    assert_eq!(total.whole_days(), 37);

    for tokens in [&phone, &laptop] {
        for answer in [
            identity.refresh(&tokens.refresh).await,
            identity.me(&tokens.access).await,
            identity.logout(&tokens.access).await,
            identity
                .delete_account(&tokens.access, &json!({ "password": PASSWORD }))
                .await,
        ] {
            assert_eq!(answer.problem(), unauthorized("session_ended"));
        }
    }
    // As if there had never been an account, byte for byte.
    let known = identity.login(&ada.email, PASSWORD).await;
    let unknown = identity.login(&somebody(), PASSWORD).await;
    assert_eq!(known.problem(), unauthorized("invalid_credentials"));
    assert_eq!(known.seen(), unknown.seen());

    let mail = identity.mail_number(&ada.email, 2).await;
    assert_eq!(mail.subject, "Your account is being deleted");
    identity.forgot(&ada.email).await;
    identity.outbox_worked_off().await;
    assert_eq!(identity.mails(&ada.email).len(), 2);

    // A new account of the same address has nothing of the old one, and stays.
    identity.sign_up(&ada.email, OTHER_PASSWORD).await;
    let confirmation = token(&identity.mail_number(&ada.email, 3).await);
    assert_eq!(identity.verify(&confirmation).await.status, 200);
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    let anew = identity.login(&ada.email, OTHER_PASSWORD).await.tokens();
    assert_ne!(anew.user_id(), phone.user_id());
    assert_eq!(identity.me(&anew.access).await.json()["email"], ada.email);
}

#[tokio::test]
async fn a_stolen_session_does_not_delete_the_account() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let wrong = json!({ "password": OTHER_PASSWORD });
    let answer = identity.delete_account(&tokens.access, &wrong).await;
    assert_eq!(answer.problem(), (403, "wrong_password".to_owned()));
    for body in [json!({}), json!({ "password": PASSWORD, "now": true })] {
        let answer = identity.delete_account(&tokens.access, &body).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    }
    let request = identity.request(Method::DELETE, "/api/auth/account");
    let nobody = sent(request.json(&json!({ "password": PASSWORD }))).await;
    assert_eq!(nobody.problem(), unauthorized("unauthorized"));
    // Guesses are counted, and the right password does not get through after too many.
    for _ in 0..4 {
        identity.delete_account(&tokens.access, &wrong).await;
    }
    let right = json!({ "password": PASSWORD });
    let answer = identity.delete_account(&tokens.access, &right).await;
    assert_eq!(answer.problem(), (429, "too_many_attempts".to_owned()));
    assert_eq!(identity.me(&tokens.access).await.status, 200);
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn with_a_second_factor_it_takes_both() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, bob) = region.two_protected(identity).await;
    let now = region.clock.now();
    let attempt = async |code: Value| {
        let mut body = json!({ "password": PASSWORD });
        body.as_object_mut()
            .expect("an object")
            .extend(code.as_object().expect("an object").clone());
        identity.delete_account(&ada.tokens.access, &body).await
    };
    let missing = attempt(json!({})).await;
    assert_eq!(
        missing.problem(),
        (403, "second_factor_required".to_owned())
    );
    let wrong = ada.authenticator.wrong_code(now);
    let refused = attempt(json!({ "code": wrong })).await;
    assert_eq!(refused.problem(), (403, "wrong_code".to_owned()));
    // Another person's code, good as it is.
    let theirs = attempt(json!({ "recovery_code": bob.recovery_codes[0] })).await;
    assert_eq!(theirs.problem(), (403, "wrong_code".to_owned()));
    let both = json!({ "code": wrong, "recovery_code": ada.recovery_codes[0] });
    assert_eq!(attempt(both).await.status, 400);
    assert_eq!(identity.me(&ada.tokens.access).await.status, 200);
    assert_eq!(identity.count("erasures").await, 0);

    let code = json!({ "code": ada.authenticator.code(region.clock.now()) });
    assert_eq!(attempt(code).await.status, 202);
    let body = json!({ "password": PASSWORD, "recovery_code": bob.recovery_codes[0] });
    let answer = identity.delete_account(&bob.tokens.access, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(identity.count("erasures").await, 2);
}

#[tokio::test]
async fn of_four_deletions_at_once_one_begins() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let mut deleting = JoinSet::new();
    for _ in 0..4 {
        let (service, access) = (identity.clone(), tokens.access.clone());
        deleting.spawn(async move {
            service
                .delete_account(&access, &json!({ "password": PASSWORD }))
                .await
        });
    }
    let answers = deleting.join_all().await;
    let begun = answers.iter().filter(|it| it.status == 202).count();
    assert_eq!(begun, 1);
    for answer in answers.iter().filter(|it| it.status != 202) {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
}

#[tokio::test]
async fn no_race_with_a_deletion_leads_back_into_the_account() {
    let identity = Service::of_the_test_run();
    for _ in 0..5 {
        let ada = identity.person().await;
        let tokens = identity.logged_in(&ada).await;
        let reset = identity.mailed_reset(&ada.email).await;
        let mut racing = JoinSet::new();
        for racer in 0..8 {
            let (service, tokens, person, reset) =
                (identity.clone(), tokens.clone(), ada.clone(), reset.clone());
            racing.spawn(async move {
                match racer {
                    0 | 1 => service.refresh(&tokens.refresh).await,
                    2..=4 => service.login(&person.email, &person.password).await,
                    5 => service.reset(&reset, OTHER_PASSWORD).await,
                    _ => {
                        let body = json!({ "password": PASSWORD });
                        service.delete_account(&tokens.access, &body).await
                    }
                }
            });
        }
        let answers = racing.join_all().await;
        let begun = answers.iter().any(|answer| answer.status == 202);
        if !begun {
            // A reset that came first has ended the session.
            let again = identity.login(&ada.email, OTHER_PASSWORD).await.tokens();
            let body = json!({ "password": OTHER_PASSWORD });
            let answer = identity.delete_account(&again.access, &body).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
        }
        out_for_good(&identity, &ada, &tokens, &answers).await;
        let void = identity.reset(&reset, "harbour violin meadow 3391").await;
        assert_eq!(void.problem(), (400, "invalid_reset_token".to_owned()));
    }
}

/// Neither what the racers were given nor what they know opens anything.
async fn out_for_good(identity: &Service, ada: &Person, tokens: &Tokens, answers: &[Answer]) {
    let given = answers
        .iter()
        .filter(|answer| answer.status == 200 && answer.json()["status"] == "authenticated")
        .map(Answer::tokens);
    for tokens in given.chain([tokens.clone()]) {
        let ended = unauthorized("session_ended");
        assert_eq!(identity.refresh(&tokens.refresh).await.problem(), ended);
        assert_eq!(identity.me(&tokens.access).await.problem(), ended);
    }
    for password in [PASSWORD, OTHER_PASSWORD] {
        let answer = identity.login(&ada.email, password).await;
        assert!(matches!(answer.status, 401 | 429), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_login_that_renews_the_hash_gives_no_address_back() {
    let mut region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    let user = first.service.logged_in(&ada).await.user_id();
    // Of a higher cost now: the next login hashes anew.
    region.set("BCRYPT_COST", "5");
    let second = region.start().await;
    let mut db = region.database().await;
    let deleting = db.transaction().await.expect("a transaction");
    let sql = "UPDATE accounts SET disabled_at = now(), email_index = NULL, session_epoch = session_epoch + 1
               WHERE user_id = $1::text::uuid";
    deleting.execute(sql, &[&user]).await.expect("the account");
    let service = second.service.clone();
    let login = tokio::spawn(async move { service.login(&ada.email, PASSWORD).await });
    region.waiting(1).await;
    deleting.commit().await.expect("committed");
    let answer = login.await.expect("no panic");
    assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
    let sql = "SELECT email_index IS NULL FROM accounts WHERE user_id = $1::text::uuid";
    let row = region.database().await.query_one(sql, &[&user]).await;
    assert!(row.expect("the account").get::<_, bool>(0));
}

#[tokio::test]
async fn an_account_without_an_address_cannot_be_enabled() {
    let region = Region::new().await;
    let replica = region.start().await;
    let tokens = replica
        .service
        .logged_in(&replica.service.person().await)
        .await;
    replica.service.deleted(&tokens).await;
    let enable = "UPDATE accounts SET disabled_at = NULL WHERE user_id = $1::text::uuid";
    let enabled = region
        .database()
        .await
        .execute(enable, &[&tokens.user_id()])
        .await;
    assert!(enabled.is_err());
}

#[tokio::test]
async fn an_operator_undoes_a_deletion_while_there_is_time() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let before = identity.logged_in(&ada).await;
    let user = before.user_id();
    let reset = identity.mailed_reset(&ada.email).await;
    identity.deleted(&before).await;
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    let undone = region.run(&["users", "restore", &user]).await;
    assert_eq!(undone.status.code(), Some(0), "{undone:?}");
    let log = String::from_utf8_lossy(&undone.stderr).into_owned();
    assert!(
        log.contains("deletion undone") && !log.contains(&ada.email),
        "{log}"
    );

    // As before, but for the sessions; the key is back, since the address is read with it.
    assert_eq!(
        identity.refresh(&before.refresh).await.problem(),
        unauthorized("session_ended")
    );
    // What was mailed before stays void.
    assert_eq!(
        identity.reset(&reset, OTHER_PASSWORD).await.problem(),
        (400, "invalid_reset_token".to_owned())
    );
    let after = identity.logged_in(&ada).await;
    assert_eq!(after.user_id(), user);
    assert_eq!(identity.me(&after.access).await.json()["email"], ada.email);
    let trail = kinds(&identity.events(&after, "").await);
    assert!(
        trail.iter().any(|kind| kind == "account_deleted"),
        "{trail:?}"
    );
    let again = region.run(&["users", "restore", &user]).await;
    assert_eq!(again.status.code(), Some(1));
    // And once more, from the beginning.
    identity.deleted(&after).await;
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn a_deletion_is_not_undone_over_a_new_account_of_the_address() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let before = identity.logged_in(&ada).await;
    identity.deleted(&before).await;
    identity
        .erasure_until(&before.user_id(), "others_closed_at IS NOT NULL")
        .await;
    // The confirmation of the account, and that it is being deleted.
    identity.mail_number(&ada.email, 2).await;
    identity.sign_up(&ada.email, OTHER_PASSWORD).await;
    let confirmation = identity.mail_number(&ada.email, 3).await;
    identity.verify(&token(&confirmation)).await;
    let undone = region.run(&["users", "restore", &before.user_id()]).await;
    assert_eq!(undone.status.code(), Some(1), "{undone:?}");
    let told = String::from_utf8_lossy(&undone.stderr).into_owned();
    assert!(
        told.contains("not undone: its address has a new account"),
        "{told}"
    );
    assert!(identity.logs_in(&ada.email, OTHER_PASSWORD).await);
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn nor_over_one_that_was_made_under_a_newer_secret() {
    let mut region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    let before = first.service.logged_in(&ada).await;
    first.service.deleted(&before).await;
    first.service.mail_number(&ada.email, 2).await;
    drop(first);
    let newer = format!(
        "v2:{},{}",
        hex::encode(random::bytes::<32>()),
        region.secret()
    );
    region.set("IDENTITY_SECRET_KEYS", newer);
    let second = region.start().await;
    let identity = &second.service;
    identity.sign_up(&ada.email, OTHER_PASSWORD).await;
    let confirmation = identity.mail_number(&ada.email, 3).await;
    identity.verify(&token(&confirmation)).await;
    let undone = region.run(&["users", "restore", &before.user_id()]).await;
    let told = String::from_utf8_lossy(&undone.stderr).into_owned();
    assert!(told.contains("its address has a new account"), "{told}");
    assert!(identity.logs_in(&ada.email, OTHER_PASSWORD).await);
}

#[tokio::test]
async fn whoever_signs_up_with_the_address_waits_for_an_undoing_that_has_begun() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let before = identity.logged_in(&ada).await;
    let user = before.user_id();
    identity.deleted(&before).await;
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    identity.mail_number(&ada.email, 2).await;
    let confirmation = identity.mailed_sign_up(&ada.email, OTHER_PASSWORD).await;

    // The undoing has found the address free, and may not give it back yet.
    let mut db = region.database().await;
    let holding = db.transaction().await.expect("a transaction");
    let sql = "SELECT FROM accounts WHERE user_id = $1::text::uuid FOR UPDATE";
    assert_eq!(holding.execute(sql, &[&user]).await.ok(), Some(1));
    let restore = ["users", "restore", &user];
    let meanwhile = async {
        region.waiting(1).await;
        let service = identity.clone();
        let confirming = tokio::spawn(async move { service.verify(&confirmation).await });
        region.waiting(2).await;
        holding.commit().await.expect("committed");
        confirming.await.expect("no panic")
    };
    let (undone, confirmed) = tokio::join!(region.run(&restore), meanwhile);
    assert_eq!(undone.status.code(), Some(0), "{undone:?}");
    assert_eq!(confirmed.problem(), invalid_token());
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

/// The id of the shred that the vault was asked for.
async fn shred(identity: &Service) -> Option<String> {
    let sql = "SELECT shred_id::text FROM erasures";
    let row = identity.database().await.query_one(sql, &[]).await;
    row.expect("one deletion").get(0)
}

#[tokio::test]
async fn what_was_opened_for_undoing_that_failed_is_closed_again() {
    let journal = Addresses::of_the_test_run().api.journal;
    let mut region = Region::with(&[("JOURNAL_URL", &journal)]).await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let before = identity.logged_in(&ada).await;
    let user = before.user_id();
    identity.deleted(&before).await;
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    let asked = shred(identity).await.expect("the vault was asked");

    region.set("JOURNAL_URL", "http://127.0.0.1:1/");
    let undone = region.run(&["users", "restore", &user]).await;
    assert_eq!(undone.status.code(), Some(1), "{undone:?}");
    let told = String::from_utf8_lossy(&undone.stderr).into_owned();
    assert!(told.contains("not undone"), "{told}");
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    // The vault gave the key back, and is asked anew.
    assert_eq!(shred(identity).await, None);
    // As if the minute were over: the vault of the test run takes no token of a later time.
    let sql = "UPDATE erasures SET due_at = due_at - interval '62 s'";
    let moved = identity.database().await.execute(sql, &[]).await;
    assert_eq!(moved.ok(), Some(1));
    region.catch_up();
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    assert_ne!(shred(identity).await, Some(asked));

    region.set("JOURNAL_URL", journal);
    let undone = region.run(&["users", "restore", &user]).await;
    assert_eq!(undone.status.code(), Some(0), "{undone:?}");
    let after = identity.logged_in(&ada).await;
    assert_eq!(identity.me(&after.access).await.json()["email"], ada.email);
}

#[tokio::test]
async fn when_the_wait_is_over_nothing_of_the_person_is_left_but_that_they_were_deleted() {
    let region = quick_region().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, bob) = (identity.person().await, identity.person().await);
    let (tokens, others) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&bob).await,
    );
    let user = tokens.user_id();
    let told = identity.deleted(&tokens).await;
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    region.clock.advance(Duration::seconds(4));
    identity.erasure_until(&user, "done_at IS NOT NULL").await;
    identity.outbox_empties().await;

    let db = region.database().await;
    let sql =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let mut found = Vec::new();
    for table in db.query(sql, &[]).await.expect("the catalogue") {
        let table: String = table.get(0);
        let sql = format!("SELECT count(*) FROM {table} t WHERE t::text LIKE $1");
        let row = db.query_one(&sql, &[&format!("%{user}%")]).await;
        if row.expect("a count").get::<_, i64>(0) > 0 {
            found.push(table);
        }
    }
    assert_eq!(found, ["erasures"]);
    let sql = "SELECT erasure_id::text, email_index IS NULL, receipt FROM erasures";
    let row = db.query_one(sql, &[]).await.expect("one row");
    assert_eq!(
        row.get::<_, String>(0),
        told["erasure_id"].as_str().expect("an id")
    );
    assert!(row.get::<_, bool>(1));
    assert_eq!(row.get::<_, String>(2).split('.').count(), 3);

    let undone = region.run(&["users", "restore", &user]).await;
    assert_eq!(undone.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&undone.stderr).into_owned();
    assert!(stderr.contains("over"), "{stderr}");
    // Others are as they were.
    assert_eq!(identity.me(&others.access).await.json()["email"], bob.email);
}

#[tokio::test]
async fn a_deletion_outlives_its_service_and_is_worked_off_once_by_any_number_of_them() {
    let region = quick_region().await;
    let first = region.start().await;
    let ada = first.service.logged_in(&first.service.person().await).await;
    let bob = first.service.logged_in(&first.service.person().await).await;
    first.service.deleted(&ada).await;
    drop(first);
    let replicas = [
        region.start().await,
        region.start().await,
        region.start().await,
    ];
    replicas[1].service.deleted(&bob).await;
    for tokens in [&ada, &bob] {
        replicas[0]
            .service
            .erasure_until(&tokens.user_id(), "others_closed_at IS NOT NULL")
            .await;
    }
    region.clock.advance(Duration::seconds(4));
    for tokens in [&ada, &bob] {
        replicas[2]
            .service
            .erasure_until(&tokens.user_id(), "done_at IS NOT NULL")
            .await;
    }
    assert_eq!(replicas[0].service.count("accounts").await, 0);
}
