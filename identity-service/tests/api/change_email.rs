//! Another address for an account.

use reqwest::Method;
use serde_json::json;
use stack::mail::Mail;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody, token},
    device::{Person, Tokens, befall, unauthorized},
    gate::FATES,
    lockout::locked,
    no_enumeration::Standing,
    replica::Region,
    service::{Answer, Service, sent},
};

const ASKED: &str = "Confirm your new address";
const WANTED: &str = "Your address was asked for";
const CHANGED: &str = "Your account has another address";

impl Service {
    pub(crate) async fn want_address(
        &self,
        tokens: &Tokens,
        password: &str,
        email: &str,
    ) -> Answer {
        let body = json!({ "password": password, "new_email": email });
        self.authorised(Method::POST, "email", tokens, &body).await
    }

    pub(crate) async fn confirm_address(&self, token: &str) -> Answer {
        self.post("email/confirm", &json!({ "token": token })).await
    }

    /// Asks for the address and waits for the mail; its token.
    pub(crate) async fn mailed_address(&self, tokens: &Tokens, email: &str) -> String {
        let before = self.mails_about(email, ASKED).len();
        let answer = self.want_address(tokens, PASSWORD, email).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        token(&self.nth_mail_about(email, ASKED, before + 1).await)
    }

    pub(crate) async fn address_of(&self, tokens: &Tokens) -> String {
        let me = self.me(&tokens.access).await;
        assert_eq!(me.status, 200, "{}", me.text);
        me.json()["email"].as_str().expect("an address").to_owned()
    }

    /// A new person, logged in.
    pub(crate) async fn newcomer(&self) -> (Person, Tokens) {
        let person = self.person().await;
        let tokens = self.logged_in(&person).await;
        (person, tokens)
    }
}

pub(crate) fn invalid() -> (u16, String) {
    (400, "invalid_address_token".to_owned())
}

fn taken() -> (u16, String) {
    (409, "address_taken".to_owned())
}

fn says(mail: &Mail, part: &str) -> bool {
    mail.text.contains(part)
}

#[tokio::test]
async fn an_address_changes_when_it_is_confirmed_where_it_leads_and_the_old_one_is_told() {
    let identity = Service::of_the_test_run();
    let (ada, here) = identity.newcomer().await;
    let there = identity.logged_in(&ada).await;
    let new = somebody();
    let asked = identity.want_address(&here, PASSWORD, &new).await;
    assert_eq!(asked.status, 202);
    assert_eq!(asked.json(), json!({ "status": "confirmation_sent" }));
    let mail = identity.mail_about(&new, ASKED).await;
    let token = token(&mail);
    for part in ["from 127.0.0.1", &format!("/confirm-email#token={token}\n")] {
        assert!(says(&mail, part), "{part} is missing: {}", mail.text);
    }
    assert!(!says(&mail, &ada.email), "{}", mail.text);
    // Nothing has happened yet.
    assert_eq!(identity.address_of(&here).await, ada.email);
    assert!(!identity.logs_in(&new, PASSWORD).await);

    let answer = identity.confirm_address(&token).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["status"], "changed");
    assert_eq!(identity.address_of(&here).await, new);
    assert_eq!(identity.refresh(&there.refresh).await.status, 200);
    assert!(identity.logs_in(&new, PASSWORD).await);
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    let trail = identity.events(&here, "").await;
    let changed = trail.iter().find(|it| it["kind"] == "address_changed");
    assert_eq!(changed.expect("noted")["network"], "127.0.0.1");
    let notice = identity.mail_about(&ada.email, CHANGED).await;
    assert!(says(&notice, "from 127.0.0.1"), "{}", notice.text);
    assert!(
        !says(&notice, &new) && notice.token().is_none(),
        "{}",
        notice.text
    );
    assert_eq!(identity.confirm_address(&token).await.problem(), invalid());
    // The old one is anybody's, and no way in.
    assert_eq!(identity.forgot(&ada.email).await.status, 202);
    identity.account(&ada.email, OTHER_PASSWORD).await;
    assert!(identity.logs_in(&ada.email, OTHER_PASSWORD).await);
    assert!(identity.logs_in(&new, PASSWORD).await);
    assert!(
        identity
            .mails_about(&ada.email, "Choose a new password")
            .is_empty()
    );
}

#[tokio::test]
async fn the_answer_does_not_tell_whether_an_address_is_free_and_its_owner_is_told() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    let mut addresses = Vec::new();
    for standing in Standing::ALL {
        addresses.push((standing, standing.address(identity).await));
    }
    let own = identity
        .want_address(&tokens, PASSWORD, &ada.email)
        .await
        .seen();
    for (standing, email) in &addresses {
        let answer = identity.want_address(&tokens, PASSWORD, email).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.seen(), own, "{standing:?}");
    }
    identity.outbox_empties().await;
    for (standing, email) in &addresses {
        let asked = identity.mails_about(email, ASKED).len();
        let wanted = identity.mails_about(email, WANTED);
        let expected = match standing {
            Standing::Known => (0, 1),
            Standing::Unknown | Standing::Unverified => (1, 0),
            Standing::Disabled => (0, 0),
        };
        assert_eq!((asked, wanted.len()), expected, "{standing:?}");
        for mail in wanted {
            assert!(
                mail.token().is_none() && !says(&mail, &ada.email),
                "{}",
                mail.text
            );
        }
    }
    assert_eq!(identity.mails_about(&ada.email, WANTED).len(), 0);
    for wrong in ["", "no address", "a@b@c", "Ada <ada@example.com>"] {
        let answer = identity.want_address(&tokens, PASSWORD, wrong).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
        assert_eq!(answer.json()["errors"][0]["pointer"], "#/new_email");
    }
}

#[tokio::test]
async fn of_two_accounts_that_confirm_one_address_at_once_one_gets_it() {
    let identity = Service::of_the_test_run();
    for _ in 0..5 {
        let ((ada, hers), (bob, his)) = (identity.newcomer().await, identity.newcomer().await);
        let new = somebody();
        let one = identity.mailed_address(&hers, &new).await;
        let other = identity.mailed_address(&his, &new).await;
        let (first, second) = tokio::join!(
            identity.confirm_address(&one),
            identity.confirm_address(&other)
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", first.text, second.text);
        let (loser, old) = if first.status == 409 {
            (first, (&hers, &ada.email))
        } else {
            (second, (&his, &bob.email))
        };
        assert_eq!(loser.problem(), taken());
        assert_eq!(identity.address_of(old.0).await, *old.1);
        assert!(identity.logs_in(old.1, PASSWORD).await);
    }
}

#[tokio::test]
async fn with_a_second_factor_it_takes_both_and_what_was_shown_is_used_up() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let new = somebody();
    let want = async |proof: (&str, &str)| {
        let mut body = json!({ "password": ada.person.password, "new_email": new });
        if !proof.0.is_empty() {
            body[proof.0] = proof.1.into();
        }
        identity
            .authorised(Method::POST, "email", &ada.tokens, &body)
            .await
    };
    let missing = want(("", "")).await;
    let required = (403, "second_factor_required".to_owned());
    assert_eq!(missing.problem(), required);
    let wrong = ada.authenticator.wrong_code(region.clock.now());
    let wrong = want(("code", &wrong)).await;
    assert_eq!(wrong.problem(), (403, "wrong_code".to_owned()));
    identity.outbox_empties().await;
    assert!(identity.mails(&new).is_empty());

    let code = region.code(&ada.authenticator);
    assert_eq!(want(("code", &code)).await.status, 202);
    let recovery = ("recovery_code", ada.recovery_codes[0].as_str());
    assert_eq!(want(recovery).await.status, 202);
    for used in [("code", code.as_str()), recovery] {
        let answer = want(used).await;
        assert_eq!(answer.problem(), (403, "wrong_code".to_owned()));
    }
    let token = token(&identity.mail_about(&new, ASKED).await);
    assert_eq!(identity.confirm_address(&token).await.status, 200);
}

#[tokio::test]
async fn an_address_that_is_signed_up_with_and_wanted_at_once_has_one_account() {
    let identity = Service::of_the_test_run();
    for _ in 0..5 {
        let (ada, hers) = identity.newcomer().await;
        let new = somebody();
        let sign_up = identity.mailed_sign_up(&new, OTHER_PASSWORD).await;
        let change = identity.mailed_address(&hers, &new).await;
        let (verified, confirmed) =
            tokio::join!(identity.verify(&sign_up), identity.confirm_address(&change));
        if verified.status == 200 {
            assert_eq!(confirmed.problem(), taken());
            assert_eq!(identity.address_of(&hers).await, ada.email);
            assert!(identity.logs_in(&new, OTHER_PASSWORD).await);
        } else {
            // The sign-up went with the address.
            assert_eq!(confirmed.status, 200, "{}", confirmed.text);
            assert_eq!(verified.problem(), invalid_token());
            assert!(!identity.logs_in(&new, OTHER_PASSWORD).await);
        }
        assert_eq!(identity.verify(&sign_up).await.problem(), invalid_token());
    }
}

#[tokio::test]
async fn of_twenty_confirmations_with_one_token_at_once_one_succeeds() {
    let identity = Service::of_the_test_run();
    let (_, tokens) = identity.newcomer().await;
    let change = identity.mailed_address(&tokens, &somebody()).await;
    let mut confirming = JoinSet::new();
    for _ in 0..20 {
        let (service, change) = (identity.clone(), change.clone());
        confirming.spawn(async move { service.confirm_address(&change).await });
    }
    let answers = confirming.join_all().await;
    let refused = answers.iter().filter(|it| it.status != 200);
    assert_eq!(refused.clone().count(), 19);
    for answer in refused {
        assert_eq!(answer.problem(), invalid());
    }
}

#[tokio::test]
async fn a_stolen_session_has_five_guesses_at_the_password_and_mails_nobody() {
    let identity = Service::of_the_test_run();
    let (_, tokens) = identity.newcomer().await;
    let new = somebody();
    for _ in 0..5 {
        let answer = identity.want_address(&tokens, OTHER_PASSWORD, &new).await;
        assert_eq!(answer.problem(), (403, "wrong_password".to_owned()));
    }
    let right = identity.want_address(&tokens, PASSWORD, &new).await;
    assert!(locked(&right), "{}", right.text);
    identity.outbox_worked_off().await;
    assert!(identity.mails(&new).is_empty());
}

#[tokio::test]
async fn asking_for_an_address_fills_no_mailbox() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (_, tokens) = identity.newcomer().await;
    let (free, owned) = (somebody(), identity.person().await.email);
    for _ in 0..20 {
        for email in [&free, &owned] {
            let answer = identity.want_address(&tokens, PASSWORD, email).await;
            assert_eq!(answer.status, 202);
        }
    }
    identity.outbox_empties().await;
    assert_eq!(identity.mails_about(&free, ASKED).len(), 5);
    assert_eq!(identity.mails_about(&owned, WANTED).len(), 5);
}

#[tokio::test]
async fn whoever_writes_to_the_database_confirms_no_address_of_theirs_for_others() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ((ada, hers), (_, eves)) = (identity.newcomer().await, identity.newcomer().await);
    let mailed = identity.mailed_address(&hers, &somebody()).await;
    let evil = somebody();
    let hers_too = identity.mailed_address(&eves, &evil).await;
    let db = identity.database().await;
    // Her wish is for Eve's address, and Eve's is for Ada's account.
    for paste in [
        "UPDATE address_changes SET email_sealed = other.email_sealed FROM address_changes other
          WHERE other.user_id <> address_changes.user_id",
        "UPDATE address_changes SET user_id = other.user_id FROM address_changes other
          WHERE other.user_id <> address_changes.user_id",
    ] {
        assert_eq!(db.execute(paste, &[]).await.expect("an update"), 2);
        for token in [&mailed, &hers_too] {
            assert_eq!(identity.confirm_address(token).await.problem(), invalid());
        }
    }
    assert_eq!(identity.address_of(&hers).await, ada.email);
    let dump = "SELECT string_agg(t::text, ' ') FROM address_changes t";
    let dump: String = db.query_one(dump, &[]).await.expect("a dump").get(0);
    for secret in [&evil, &hers_too] {
        assert!(!dump.contains(secret.as_str()) && !dump.contains(&hex::encode(secret)));
    }
}

#[tokio::test]
async fn a_person_spells_their_own_address_anew() {
    let identity = Service::of_the_test_run();
    let (ada, tokens) = identity.newcomer().await;
    let shouted = ada.email.replace("somebody", "Somebody");
    let before = identity.mails(&shouted).len();
    assert_eq!(
        identity
            .want_address(&tokens, PASSWORD, &shouted)
            .await
            .status,
        202
    );
    let change = token(&identity.mail_number(&shouted, before + 1).await);
    assert_eq!(identity.confirm_address(&change).await.status, 200);
    assert_eq!(identity.address_of(&tokens).await, shouted);
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn a_page_asks_with_its_csrf_token_and_nobody_without_a_living_session() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let browser = identity.browser(&ada).await;
    let (path, new) = ("/api/auth/email", somebody());
    let body = json!({ "password": PASSWORD, "new_email": new });
    let without = browser.request(&identity, Method::POST, path).json(&body);
    let answer = sent(without).await;
    assert_eq!(answer.problem(), (403, "csrf_token_invalid".to_owned()));
    let answer = sent(browser.post(&identity, path).json(&body)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let change = token(&identity.mail_about(&new, ASKED).await);
    assert_eq!(identity.confirm_address(&change).await.status, 200);
    assert_eq!(browser.refreshed(&identity).await.status, 200);

    let anonymous = identity.request(Method::POST, path).json(&body);
    assert_eq!(sent(anonymous).await.status, 401);
    for fate in FATES {
        let (_, tokens) = identity.newcomer().await;
        befall(&identity, &tokens, fate).await;
        let answer = identity.want_address(&tokens, PASSWORD, &new).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"), "{fate}");
    }
}

#[tokio::test]
async fn made_up_tokens_change_no_address() {
    let identity = Service::of_the_test_run();
    let (_, tokens) = identity.newcomer().await;
    let change = identity.mailed_address(&tokens, &somebody()).await;
    for wrong in [
        "",
        "kst_e_",
        &change.to_lowercase(),
        &format!("{change}A"),
        "\0",
    ] {
        let answer = identity.confirm_address(wrong).await;
        assert_eq!(answer.problem(), invalid(), "{wrong:?}");
    }
    assert_eq!(identity.confirm_address(&change).await.status, 200);
}
