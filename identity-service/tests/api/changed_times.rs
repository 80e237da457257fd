//! Times that no clock shows, in rows that somebody changed by hand: whatever they are, nobody else notices.

use reqwest::Method;
use serde_json::json;
use stack::until;

use crate::{
    accounts::{PASSWORD, somebody},
    device::{Person, Tokens, header},
    replica::{Region, Replica},
    service::{PATIENCE, Service},
};

/// The ends of what Postgres tells, and one to which nothing can be added.
const TIMES: [&str; 4] = [
    "infinity",
    "-infinity",
    "294000-01-01 00:00+00",
    "9999-12-31 23:30+00",
];

impl Service {
    async fn changed(&self, sql: &str) {
        let done = self.database().await.batch_execute(sql).await;
        done.expect("the tables are the service's own");
    }

    /// Mail comes, failed logins reach the trail, and an account is deleted.
    async fn works_behind_the_requests(&self, ada: &Person, tokens: &Tokens) {
        self.mailed_sign_up(&somebody(), PASSWORD).await;
        let failures = async || {
            let trail = self.events(tokens, "?limit=100").await;
            trail
                .iter()
                .filter(|it| it["kind"] == "login_failed")
                .count()
        };
        let before = failures().await;
        assert_eq!(self.mistyped(ada).await.status, 401);
        let noted = async || {
            let now = failures().await;
            (now > before).then_some(()).ok_or(now)
        };
        let noted = until("a failed login in the trail", PATIENCE, noted).await;
        noted.expect("the worker goes on");
        let (_, leaver) = self.newcomer().await;
        let body = json!({ "password": PASSWORD });
        let left = self.delete_account(&leaver.access, &body).await;
        assert_eq!(left.status, 202, "{}", left.text);
        self.erasure_until(&leaver.user_id(), "others_closed_at IS NOT NULL")
            .await;
    }
}

#[tokio::test]
async fn a_signing_key_that_retired_at_an_impossible_time_stops_nothing_and_signs_nothing() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    // Whose many logins do not fill the trail of the other.
    let bob = identity.person().await;
    let rotated = region.run(&["keys", "rotate"]).await;
    assert!(rotated.status.success(), "{rotated:?}");
    for (number, time) in TIMES.into_iter().enumerate() {
        identity
            .changed(&format!(
                "INSERT INTO signing_keys (kid, key_id, state, sealed_seed, wrapped_key, created_at, retired_at)
                 SELECT 'number {number}', gen_random_uuid(), 'retired', sealed_seed, wrapped_key, created_at, '{time}'
                   FROM signing_keys WHERE state = 'next';
                 UPDATE signing_keys SET retired_at = '{time}'
                  WHERE state = 'retired' AND kid NOT LIKE 'number %' AND '{time}' > now()"
            ))
            .await;
    }
    // Both the copy that runs and one that starts now.
    let other = region.start().await;
    for Replica { service, .. } in [&replica, &other] {
        let another = async || {
            let again = service.logged_in(&bob).await;
            let signed_alike = header(&again.access)["kid"] == header(&tokens.access)["kid"];
            if signed_alike {
                Err("not yet")
            } else {
                Ok(again)
            }
        };
        let again = until("another look at the keys", PATIENCE, another).await;
        let again = again.expect("the loop goes on, and the retired key signs nothing");
        assert_eq!(service.me(&again.access).await.status, 200);
        service.works_behind_the_requests(&ada, &tokens).await;
    }
    // What an operator sees of them.
    let listed = region.run(&["keys", "list"]).await;
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(
        String::from_utf8_lossy(&listed.stdout)
            .matches("9998-12-31")
            .count(),
        4
    );
}

#[tokio::test]
async fn rows_of_impossible_times_end_no_list_and_no_loop() {
    for time in TIMES {
        let region = Region::new().await;
        let replica = region.start().await;
        let identity = &replica.service;
        let (ada, tokens) = identity.newcomer().await;
        let (_, leaver) = identity.newcomer().await;
        let body = json!({ "password": PASSWORD });
        let left = identity.delete_account(&leaver.access, &body).await;
        assert_eq!(left.status, 202, "{}", left.text);
        identity
            .erasure_until(&leaver.user_id(), "others_closed_at IS NOT NULL")
            .await;
        identity.outbox_worked_off().await;
        let key = "(SELECT key_id FROM service_keys)";
        identity
            .changed(&format!(
                "UPDATE accounts SET created_at = '{time}';
                 UPDATE security_events SET created_at = '{time}';
                 UPDATE sessions SET created_at = '{time}', auth_time = '{time}';
                 UPDATE erasures SET requested_at = '{time}', purge_at = '{time}', total_by = '{time}',
                                     due_at = '-infinity';
                 INSERT INTO failed_logins (attempt_id, sealed, service_key_id, created_at)
                 SELECT gen_random_uuid(), '\\x00', {key}, '{time}';
                 INSERT INTO outbox (message_id, sealed, service_key_id, created_at, due_at)
                 SELECT gen_random_uuid(), '\\x00', {key}, '{time}', '-infinity'"
            ))
            .await;
        for path in ["me", "sessions", "security-events", "key-records"] {
            let answer = identity.as_person(Method::GET, path, &tokens).await;
            assert_eq!(answer.status, 200, "{time} {path}: {}", answer.text);
        }
        identity.works_behind_the_requests(&ada, &tokens).await;
        let again = identity.refresh(&tokens.refresh).await;
        assert_eq!(again.status, 200, "{time}: {}", again.text);
        let listed = region.run(&["users", "list", "--json"]).await;
        assert!(listed.status.success(), "{time}: {listed:?}");
    }
}
