//! An access token whose session is over is worth nothing, though it is genuine and its own time is not up.

use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::PASSWORD,
    device::{Tokens, claims, unauthorized},
    replica::Region,
    service::{Answer, Service},
};

/// What ends a session, each by itself: `$1` is the session, `$2` another person.
const ENDS: [(&str, &str); 6] = [
    (
        "it was ended",
        "UPDATE sessions SET ended_at = now() WHERE session_id::text = $1 AND user_id::text <> $2",
    ),
    (
        "it has reached its end",
        "UPDATE sessions SET expires_at = created_at WHERE session_id::text = $1 AND user_id::text <> $2",
    ),
    (
        "it is of an older epoch",
        "UPDATE sessions SET epoch = epoch - 1 WHERE session_id::text = $1 AND user_id::text <> $2",
    ),
    (
        "its account is closed",
        "UPDATE accounts SET disabled_at = now() FROM sessions
          WHERE accounts.user_id = sessions.user_id AND session_id::text = $1 AND accounts.user_id::text <> $2",
    ),
    (
        "it is another person's now",
        "UPDATE sessions SET user_id = $2::text::uuid WHERE session_id::text = $1",
    ),
    (
        "it is gone",
        "DELETE FROM sessions WHERE session_id::text = $1 AND user_id::text <> $2",
    ),
];

async fn asked(identity: &Service, tokens: &Tokens) -> [Answer; 7] {
    let password = json!({ "password": PASSWORD, "new_email": "new@example.test" });
    [
        identity.me(&tokens.access).await,
        identity.judged(&tokens.access).await,
        identity.as_person(Method::GET, "sessions", tokens).await,
        identity
            .as_person(Method::GET, "security-events", tokens)
            .await,
        identity.as_person(Method::GET, "key-records", tokens).await,
        identity
            .authorised(Method::POST, "email", tokens, &password)
            .await,
        identity.as_person(Method::POST, "logout-all", tokens).await,
    ]
}

#[tokio::test]
async fn a_genuine_token_of_a_session_that_is_over_however_it_ended_is_worth_nothing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (_, other) = identity.newcomer().await;
    let db = region.database().await;
    for (why, sql) in ENDS {
        let (ada, tokens) = identity.newcomer().await;
        // Another session of hers, which must not answer for the one that is over.
        identity.logged_in(&ada).await;
        assert_eq!(identity.me(&tokens.access).await.status, 200);
        let active = identity.introspect(&tokens.access).await;
        assert_eq!(active.json()["active"], true);
        let session = claims(&tokens.access)["sid"].as_str().map(str::to_owned);
        let ended = db.execute(sql, &[&session, &other.user_id()]).await;
        assert_eq!(ended.ok(), Some(1), "{why}");
        for answer in asked(identity, &tokens).await {
            assert_eq!(answer.problem(), unauthorized("session_ended"), "{why}");
        }
        let active = identity.introspect(&tokens.access).await;
        assert_eq!(active.json(), json!({ "active": false }), "{why}");
    }
    assert_eq!(identity.me(&other.access).await.status, 200);
}
