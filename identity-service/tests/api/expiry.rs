//! What is over is really deleted, and nothing else is.

use stack::until;
use time::Duration;

use crate::{
    accounts::{PASSWORD, somebody},
    replica::{Region, Replica},
    service::PATIENCE,
};

async fn counts(replica: &Replica) -> [i64; 4] {
    [
        replica.service.count("accounts").await,
        replica.service.count("sessions").await,
        replica.service.count("pending_signups").await,
        replica.service.count("verification_tokens").await,
    ]
}

/// Starts a service, which forgets what is over before anything else, and looks at what is left then.
async fn left_over(region: &Region) -> [i64; 4] {
    // Sessions go last: a very old one that is gone tells that the service has looked.
    let old = "INSERT INTO sessions (session_id, user_id, advanced_at, created_at, expires_at, auth_time, amr, epoch)
               SELECT gen_random_uuid(), user_id, at, at, at, at, '{}', 0
                 FROM accounts, CAST('2000-01-01' AS timestamptz) AS at";
    let db = region.database().await;
    assert_eq!(db.execute(old, &[]).await.expect("a session"), 1);
    // The vault has the true time and refuses whoever lives in another: no waiting for the signing key.
    let replica = region.launch().await;
    let gone = async || {
        let old = "sessions WHERE expires_at < '2001-01-01'";
        let found = replica.service.count(old).await;
        (found == 0).then_some(()).ok_or(found)
    };
    let looked = until("the expiry", PATIENCE, gone).await;
    looked.expect("what is over is forgotten");
    counts(&replica).await
}

#[tokio::test]
async fn sign_ups_tokens_and_sessions_are_deleted_at_their_end_and_not_before() {
    let region = Region::new().await;
    let first = region.start().await;
    let identity = &first.service;
    let ada = identity.person().await;
    let (kept, ended) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    assert_eq!(identity.logout(&ended.access).await.status, 204);
    identity.mailed_sign_up(&somebody(), PASSWORD).await;
    region.clock.advance(Duration::hours(23));
    let young = somebody();
    identity.mailed_sign_up(&young, PASSWORD).await;
    identity.resend(&young).await;
    identity.mail_number(&young, 2).await;
    assert_eq!(counts(&first).await, [1, 2, 2, 3]);

    region.clock.advance(Duration::minutes(59));
    assert_eq!(left_over(&region).await, [1, 2, 2, 3]);
    region.clock.advance(Duration::minutes(1));
    assert_eq!(left_over(&region).await, [1, 2, 1, 2]);
    region.clock.advance(Duration::hours(23));
    assert_eq!(left_over(&region).await, [1, 2, 0, 0]);
    // Work keeps a session for 30 days in all, and one that ended stays as long.
    let mut held = identity.refresh(&kept.refresh).await.tokens().refresh;
    for _ in 0..4 {
        region.clock.advance(Duration::days(6));
        held = identity.refresh(&held).await.tokens().refresh;
    }
    region.clock.advance(Duration::hours(97) - Duration::SECOND);
    assert_eq!(left_over(&region).await, [1, 2, 0, 0]);
    region.clock.advance(Duration::SECOND);
    assert_eq!(left_over(&region).await, [1, 0, 0, 0]);
}

#[tokio::test]
async fn an_authenticator_is_forgotten_only_if_it_was_never_confirmed() {
    let region = Region::new().await;
    let first = region.start().await;
    let (bob, tokens) = first.service.newcomer().await;
    first.service.enrolled(&bob, &tokens).await;
    let ada = region.protected(&first.service).await;
    assert_eq!(first.service.count("totp_factors").await, 2);
    region.clock.advance(Duration::HOUR + Duration::SECOND);
    let second = region.launch().await;
    let forgotten = async || {
        let left = second.service.count("totp_factors").await;
        (left == 1).then_some(()).ok_or(left)
    };
    let forgotten = until("the expiry", PATIENCE, forgotten).await;
    forgotten.expect("one of the two is forgotten");
    first.service.challenge(&ada.person).await;
}

/// Tables, the columns of a row whose time is `at`, and for how long that is kept.
const KEPT: [(&str, &str, &str); 7] = [
    (
        "password_resets (token_hash, user_id, epoch, created_at, expires_at)",
        "hash, user_id, 0, at, at",
        "0 s",
    ),
    (
        "address_changes (change_id, token_hash, user_id, epoch, email_sealed, created_at, expires_at)",
        "gen_random_uuid(), hash, user_id, 0, '', at, at",
        "0 s",
    ),
    (
        "mfa_challenges (token_hash, user_id, epoch, created_at, expires_at)",
        "hash, user_id, 0, at, at",
        "0 s",
    ),
    (
        "lockouts (bucket, user_id, attempts, over_at)",
        "hash, user_id, 1, at",
        "0 s",
    ),
    (
        "mail_allowances (email_index, kind, spent_until)",
        "hash, 'notice', at",
        "0 s",
    ),
    (
        "security_events (user_id, event_id, kind, created_at)",
        "user_id, gen_random_uuid(), 'logged_in', at",
        "180 days",
    ),
    (
        "failed_logins (attempt_id, sealed, service_key_id, created_at)",
        "gen_random_uuid(), '', (SELECT key_id FROM service_keys), at",
        "1 day",
    ),
];

#[tokio::test]
async fn what_nobody_needs_any_more_is_deleted_and_what_is_a_few_minutes_younger_stays() {
    let mut region = Region::new().await;
    let first = region.start().await;
    first.service.person().await;
    region.stopped(first).await;
    let db = region.database().await;
    for (table, columns, kept) in KEPT {
        let name = table.split(' ').next().unwrap_or_default();
        let rows = format!(
            "DELETE FROM {name};
             INSERT INTO {table} SELECT {columns} FROM accounts,
                 LATERAL (VALUES (now() - interval '{kept} 1 minute', decode('00', 'hex')),
                                 (now() - interval '{kept}' + interval '10 minutes', decode('01', 'hex')))
                         AS row (at, hash)"
        );
        db.batch_execute(&rows).await.expect("rows");
    }
    // Without the vault nobody takes a failed login up.
    region.set("VAULT_URL", "https://127.0.0.1:1/");
    let replica = region.launch().await;
    let left = async || {
        let mut left = Vec::new();
        for (table, _, _) in KEPT {
            let name = table.split(' ').next().unwrap_or_default();
            left.push((name, replica.service.count(name).await));
        }
        left
    };
    let forgotten = async || {
        let left = left().await;
        let all = left.iter().all(|(_, rows)| *rows < 2);
        all.then_some(()).ok_or_else(|| format!("{left:?}"))
    };
    let forgotten = until("the expiry", PATIENCE, forgotten).await;
    forgotten.expect("the older ones are deleted");
    for (name, rows) in left().await {
        assert_eq!(rows, 1, "{name}");
    }
}
