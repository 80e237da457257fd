//! No path leads past the one gate before tokens.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::{
    device::{befall, claims, unauthorized},
    service::Service,
};

/// What happens to an account between two requests of its owner.
pub(crate) const FATES: [&str; 3] = [
    "UPDATE accounts SET disabled_at = now() WHERE user_id = $1::text::uuid",
    "UPDATE accounts SET session_epoch = session_epoch + 1 WHERE user_id = $1::text::uuid",
    "DELETE FROM accounts WHERE user_id = $1::text::uuid",
];

#[tokio::test]
async fn a_session_of_a_disabled_renewed_or_erased_account_is_worth_nothing() {
    let identity = Service::of_the_test_run();
    for fate in FATES {
        let current = identity.logged_in(&identity.person().await).await;
        let next = identity.refresh(&current.refresh).await.tokens();
        befall(&identity, &next, fate).await;
        for answer in [
            // The current token, and its predecessor within the time of grace.
            identity.refresh(&next.refresh).await,
            identity.refresh(&current.refresh).await,
            identity.me(&next.access).await,
            identity.logout(&next.access).await,
        ] {
            assert_eq!(answer.problem(), unauthorized("session_ended"), "{fate}");
        }
    }
}

#[tokio::test]
async fn a_disabled_or_erased_account_opens_no_session() {
    let identity = Service::of_the_test_run();
    for fate in [FATES[0], FATES[2]] {
        let ada = identity.person().await;
        let tokens = identity.logged_in(&ada).await;
        befall(&identity, &tokens, fate).await;
        for answer in [
            identity.login(&ada.email, &ada.password).await,
            identity.mistyped(&ada).await,
        ] {
            assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
        }
    }
}

#[tokio::test]
async fn a_refresh_waits_for_whoever_is_disabling_the_account_and_gives_nothing_then() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let user = claims(&tokens.access)["sub"].as_str().map(str::to_owned);
    let mut db = identity.database().await;
    let disabling = db.transaction().await.expect("a transaction");
    let changed = disabling.execute(FATES[0], &[&user]).await;
    assert_eq!(changed.expect("an update"), 1);

    let (service, token) = (identity.clone(), tokens.refresh.clone());
    let mut refreshing = tokio::spawn(async move { service.refresh(&token).await });
    let (service, person) = (identity.clone(), ada.clone());
    let mut login =
        tokio::spawn(async move { service.login(&person.email, &person.password).await });
    // Neither may answer while it is open what the account is.
    let early = tokio::time::timeout(Duration::from_millis(500), async {
        tokio::select! {
            answer = &mut refreshing => answer,
            answer = &mut login => answer,
        }
    });
    assert!(early.await.is_err());
    disabling.commit().await.expect("committed");
    let refreshed = refreshing.await.expect("no panic");
    assert_eq!(refreshed.problem(), unauthorized("session_ended"));
    let logged_in = login.await.expect("no panic");
    assert_eq!(logged_in.problem(), unauthorized("invalid_credentials"));
}

#[tokio::test]
async fn an_account_of_a_newer_epoch_opens_new_sessions() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let before = identity.logged_in(&ada).await;
    befall(&identity, &before, FATES[1]).await;
    let after = identity.logged_in(&ada).await;
    assert_eq!(identity.me(&after.access).await.status, 200);
    assert_eq!(identity.refresh(&after.refresh).await.status, 200);
}

#[tokio::test]
async fn the_database_holds_no_token() {
    let identity = Service::of_the_test_run();
    let first = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    let db = identity.database().await;
    let tables =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let tables = db.query(tables, &[]).await.expect("the catalogue");
    assert!(tables.len() >= 6);
    for table in tables {
        let table: String = table.get(0);
        // Bytes show as hexadecimal, so every column is searched in both spellings.
        let rows = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let dump: String = db.query_one(&rows, &[]).await.expect("a dump").get(0);
        for token in [
            &first.access,
            &first.refresh,
            &second.access,
            &second.refresh,
        ] {
            let bytes = token.as_bytes();
            for part in [&bytes[..24], &bytes[bytes.len() - 24..]] {
                // The head of all access tokens is the same; of refresh tokens it is the session's id.
                let text = std::str::from_utf8(part).expect("tokens are ASCII");
                assert!(!dump.contains(text), "{table}");
                assert!(!dump.contains(&hex::encode(part)), "{table}");
            }
            assert!(!dump.contains(&hex::encode(mac(token))), "{table}");
        }
    }
}

/// The last 32 bytes of a token: the signature's half, or the whole MAC.
fn mac(token: &str) -> Vec<u8> {
    // `_` is a digit of base64url too: only a dot or the whole prefix ends what is before.
    let encoded = token.rsplit('.').next().unwrap_or_default();
    let encoded = encoded.strip_prefix("kst_r_").unwrap_or(encoded);
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
    let start = bytes.len().saturating_sub(32);
    bytes[start..].to_vec()
}
