//! Failed logins in the trail of whoever has the address, and nothing of them anywhere else.

use reqwest::Method;
use serde_json::{Value, json};
use stack::until;
use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::{Tokens, unauthorized},
    lockout::locked,
    no_enumeration::Standing,
    replica::Region,
    service::{PATIENCE, Service},
};

impl Service {
    /// Keeps a copy of every failed login that is noted, in a table `noted`.
    pub(crate) async fn copy_failed_logins(&self) {
        let trigger = "CREATE TABLE noted (LIKE failed_logins);
            CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN INSERT INTO noted SELECT NEW.*; RETURN NEW; END $$;
            CREATE TRIGGER copy AFTER INSERT ON failed_logins FOR EACH ROW EXECUTE FUNCTION copy()";
        let done = self.database().await.batch_execute(trigger).await;
        done.expect("the tables are the service's own");
    }

    /// Waits until the worker has decided about all of them.
    pub(crate) async fn failed_logins_decided(&self) {
        let decided = async || match self.count("failed_logins").await {
            0 => Ok(()),
            waiting => Err(format!("{waiting} failed logins")),
        };
        until("the trail", PATIENCE, decided)
            .await
            .expect("the worker decides");
    }

    async fn failures(&self, tokens: &Tokens) -> Vec<Value> {
        let mut events = self.events(tokens, "?limit=100").await;
        events.retain(|it| it["kind"] == "login_failed");
        events
    }
}

#[tokio::test]
async fn the_owner_sees_who_failed_to_log_in_and_when() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    let (_, others) = identity.newcomer().await;
    region.clock.advance(Duration::SECOND);
    assert_eq!(identity.mistyped(&ada).await.status, 401);
    let device = identity.login(&ada.email, PASSWORD).await.device_token();
    let known = identity
        .login_from(&device, &ada.email, OTHER_PASSWORD)
        .await;
    assert_eq!(known.status, 401);
    identity.failed_logins_decided().await;
    let failures = identity.failures(&tokens).await;
    assert_eq!(failures.len(), 2, "{failures:?}");
    for failure in &failures {
        assert_eq!(failure["network"], "127.0.0.1", "{failure}");
        assert_eq!(failure["user_agent"], "", "{failure}");
    }
    // In the order in which it happened.
    let trail = identity.events(&tokens, "").await;
    assert_eq!(trail.last().expect("events")["kind"], "logged_in");
    assert!(identity.failures(&others).await.is_empty());
}

#[tokio::test]
async fn a_failed_login_leaves_the_same_row_for_every_address() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let mut addresses = Vec::new();
    for standing in Standing::ALL {
        addresses.push((standing, standing.address(identity).await));
    }
    identity.copy_failed_logins().await;
    for (standing, email) in &addresses {
        // Wrong where there is an account, and right where it is of no use.
        let password = match standing {
            Standing::Known => OTHER_PASSWORD,
            _ => PASSWORD,
        };
        let answer = identity.login(email, password).await;
        assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
    }
    identity.failed_logins_decided().await;
    let db = identity.database().await;
    let sizes = "SELECT count(*), count(DISTINCT length(sealed)) FROM noted";
    let row = db.query_one(sizes, &[]).await.expect("a count");
    assert_eq!((row.get(0), row.get(1)), (4_i64, 1_i64));
    // Of these, two have accounts.
    let events = "security_events WHERE kind = 'login_failed'";
    assert_eq!(identity.count(events).await, 2);
    let dump = "SELECT string_agg(t::text, ' ') FROM noted t";
    let dump: String = db.query_one(dump, &[]).await.expect("a dump").get(0);
    for (_, email) in &addresses {
        assert!(!dump.contains(email.as_str()) && !dump.contains(&hex::encode(email)));
    }
}

#[tokio::test]
async fn a_hundred_guesses_at_once_are_five_in_the_trail_and_what_is_turned_away_is_none() {
    let region = Region::new().await;
    let replicas = [region.start().await, region.start().await];
    let identity = &replicas[0].service;
    let (ada, tokens) = identity.newcomer().await;
    let unknown = somebody();
    identity.copy_failed_logins().await;
    let mut guesses = JoinSet::new();
    for number in 0..200 {
        let service = replicas[number % 2].service.clone();
        let email = if number % 4 < 2 { &ada.email } else { &unknown }.clone();
        guesses.spawn(async move { service.login(&email, OTHER_PASSWORD).await.status });
    }
    let compared = guesses.join_all().await;
    let compared = compared.iter().filter(|status| **status == 401).count();
    assert_eq!(compared, 10);
    assert!(locked(&identity.login(&ada.email, PASSWORD).await));
    identity.failed_logins_decided().await;
    assert_eq!(identity.count("noted").await, 10);
    // Two workers, and each failure once.
    assert_eq!(identity.failures(&tokens).await.len(), 5);
}

#[tokio::test]
async fn rows_that_somebody_wrote_hold_up_no_mail_and_get_into_no_trail() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    identity.copy_failed_logins().await;
    assert_eq!(identity.mistyped(&ada).await.status, 401);
    identity.failed_logins_decided().await;
    // The genuine one under other ids, one of them again under its own, and junk, all of it older than what comes.
    let junk = "DROP TRIGGER copy ON failed_logins;
        INSERT INTO failed_logins SELECT gen_random_uuid(), sealed, service_key_id, created_at FROM noted;
        INSERT INTO failed_logins SELECT * FROM noted;
        INSERT INTO failed_logins SELECT gen_random_uuid(), decode(repeat('00', n), 'hex'), service_key_id, created_at
          FROM noted, generate_series(1, 300) AS junk (n)";
    let db = identity.database().await;
    db.batch_execute(junk).await.expect("written");
    identity.mailed_sign_up(&somebody(), PASSWORD).await;
    identity.failed_logins_decided().await;
    assert_eq!(identity.failures(&tokens).await.len(), 1);
    // The worker goes on.
    assert_eq!(identity.mistyped(&ada).await.status, 401);
    identity.failed_logins_decided().await;
    assert_eq!(identity.failures(&tokens).await.len(), 2);
}

#[tokio::test]
async fn those_that_have_waited_longest_are_looked_at_first() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    // So that there is a key that they name.
    identity.account(&somebody(), PASSWORD).await;
    let at_once = "CREATE TABLE taken (nth bigserial, created_at timestamptz);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO taken (created_at) VALUES (OLD.created_at); RETURN OLD; END $$;
        CREATE TRIGGER note BEFORE DELETE ON failed_logins FOR EACH ROW EXECUTE FUNCTION note();
        INSERT INTO failed_logins (attempt_id, sealed, service_key_id, created_at)
        SELECT gen_random_uuid(), '', key_id, now() - minutes * interval '1 minute'
          FROM service_keys, unnest(ARRAY[2, 5, 1, 4, 3]) AS minutes";
    let db = identity.database().await;
    db.batch_execute(at_once).await.expect("written");
    identity.failed_logins_decided().await;
    let in_order =
        "SELECT count(*) FROM (SELECT created_at >= lag(created_at) OVER (ORDER BY nth) AS later FROM taken) AS taken
                     WHERE later IS NOT FALSE";
    let row = db.query_one(in_order, &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 5);
}

#[tokio::test]
async fn what_is_no_address_is_not_noted() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    identity.account(&somebody(), PASSWORD).await;
    identity.copy_failed_logins().await;
    for text in ["", "no address", &"x".repeat(10_000)] {
        assert_eq!(identity.login(text, PASSWORD).await.status, 401);
    }
    assert_eq!(identity.count("noted").await, 0);
}

/// What takes the password again, and what it takes beside it.
fn reauthenticated() -> [(Method, &'static str, Value); 6] {
    [
        (Method::POST, "mfa/totp", json!({})),
        (Method::DELETE, "mfa/totp", json!({ "code": "123456" })),
        (
            Method::POST,
            "mfa/recovery-codes",
            json!({ "code": "123456" }),
        ),
        (
            Method::POST,
            "password",
            json!({ "new_password": "harbour violin meadow 3391" }),
        ),
        (Method::POST, "email", json!({ "new_email": somebody() })),
        (Method::DELETE, "account", json!({})),
    ]
}

#[tokio::test]
async fn the_owner_sees_who_guessed_at_the_password_within_a_session() {
    let identity = Service::of_the_test_run();
    let (ada, tokens) = identity.newcomer().await;
    for (nth, (method, path, mut body)) in reauthenticated().into_iter().enumerate() {
        let stolen = identity.logged_in(&ada).await;
        let field = if path == "password" {
            "current_password"
        } else {
            "password"
        };
        body[field] = json!(OTHER_PASSWORD);
        let answer = identity.authorised(method, path, &stolen, &body).await;
        assert_eq!(
            answer.problem(),
            (403, "wrong_password".to_owned()),
            "{path}"
        );
        let mut events = identity.events(&tokens, "?limit=100").await;
        events.retain(|event| event["kind"] == "reauthentication_failed");
        assert_eq!(events.len(), nth + 1, "{path}");
        assert_eq!(events[0]["network"], "127.0.0.1", "{path}");
    }
}
