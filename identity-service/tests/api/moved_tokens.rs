//! Whoever writes to the database lets no token count for another subject than it was made for, and makes none up.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody},
    device::{Tokens, unauthorized},
    replica::Region,
    service::Service,
};

/// Gives her row of a table, which has a person and the epoch of their account, to him.
async fn give(identity: &Service, table: &str, hers: &Tokens, his: &Tokens) {
    let sql = format!(
        "UPDATE {table} SET (user_id, epoch) =
             (SELECT user_id, session_epoch FROM accounts WHERE user_id = $2::text::uuid)
         WHERE user_id = $1::text::uuid"
    );
    let db = identity.database().await;
    let moved = db.execute(&sql, &[&hers.user_id(), &his.user_id()]).await;
    assert_eq!(moved.ok(), Some(1));
}

#[tokio::test]
async fn a_reset_that_was_mailed_to_one_replaces_no_password_of_another() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ((mallory, hers), (bob, his)) = (identity.newcomer().await, identity.newcomer().await);
    let token = identity.mailed_reset(&mallory.email).await;
    give(identity, "password_resets", &hers, &his).await;
    let answer = identity.reset(&token, OTHER_PASSWORD).await;
    assert_eq!(answer.problem(), (400, "invalid_reset_token".to_owned()));
    assert_eq!(identity.me(&his.access).await.status, 200);
    assert!(identity.logs_in(&bob.email, PASSWORD).await);
}

#[tokio::test]
async fn a_reset_that_is_rewritten_to_name_another_replaces_no_password() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ((mallory, hers), (bob, his)) = (identity.newcomer().await, identity.newcomer().await);
    let token = identity.mailed_reset(&mallory.email).await;
    give(identity, "password_resets", &hers, &his).await;
    let encoded = token.strip_prefix("kst_p_").expect("a token for a reset");
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).expect("base64url");
    let id: Uuid = his.user_id().parse().expect("an id");
    bytes[..16].copy_from_slice(id.as_bytes());
    let rewritten = format!("kst_p_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let answer = identity.reset(&rewritten, OTHER_PASSWORD).await;
    assert_eq!(answer.problem(), (400, "invalid_reset_token".to_owned()));
    assert!(identity.logs_in(&bob.email, PASSWORD).await);
}

#[tokio::test]
async fn a_reset_that_nobody_mailed_replaces_no_password() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (bob, his) = identity.newcomer().await;
    let id: Uuid = his.user_id().parse().expect("an id");
    let bytes = [id.as_bytes().as_slice(), &[7; 32]].concat();
    let token = format!("kst_p_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let sql = "INSERT INTO password_resets (token_hash, user_id, epoch, created_at, expires_at)
               SELECT sha256($1), user_id, session_epoch, now(), now() + interval '1 h' FROM accounts";
    let made_up = identity
        .database()
        .await
        .execute(sql, &[&token.as_bytes()])
        .await;
    assert_eq!(made_up.ok(), Some(1));
    let answer = identity.reset(&token, OTHER_PASSWORD).await;
    assert_eq!(answer.problem(), (400, "invalid_reset_token".to_owned()));
    assert!(identity.logs_in(&bob.email, PASSWORD).await);
}

#[tokio::test]
async fn a_password_that_one_proved_is_none_that_another_proved() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (mallory, bob) = region.two_protected(identity).await;
    let token = identity.challenge(&mallory.person).await;
    give(identity, "mfa_challenges", &mallory.tokens, &bob.tokens).await;
    // Even with a code of his.
    let code = region.code(&bob.authenticator);
    let answer = identity.verify_code(&token, &code).await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_token"));
}

#[tokio::test]
async fn a_sign_up_that_one_was_mailed_confirms_no_address_of_another() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let bob = somebody();
    let token = identity.mailed_sign_up(&somebody(), PASSWORD).await;
    identity.mailed_sign_up(&bob, OTHER_PASSWORD).await;
    let sql = "WITH gone AS (DELETE FROM verification_tokens RETURNING *),
                    hers AS (SELECT pending_id FROM pending_signups ORDER BY created_at LIMIT 1)
               INSERT INTO verification_tokens (token_hash, pending_id)
               SELECT a.token_hash, b.pending_id FROM gone a, gone b
               WHERE a.pending_id = (SELECT pending_id FROM hers) AND b.pending_id <> a.pending_id";
    let moved = identity.database().await.execute(sql, &[]).await;
    assert_eq!(moved.ok(), Some(1));
    assert_eq!(identity.verify(&token).await.problem(), invalid_token());
    assert_eq!(identity.cancel(&token).await.status, 204);
    assert_eq!(identity.count("pending_signups").await, 2);
    assert!(!identity.logs_in(&bob, OTHER_PASSWORD).await);
}

#[tokio::test]
async fn a_new_address_that_one_was_mailed_at_confirms_none_of_another() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ((_, hers), (bob, his)) = (identity.newcomer().await, identity.newcomer().await);
    let token = identity.mailed_address(&hers, &somebody()).await;
    identity.mailed_address(&his, &somebody()).await;
    let sql = "WITH gone AS (DELETE FROM address_changes WHERE user_id = $1::text::uuid RETURNING token_hash)
               SELECT token_hash FROM gone";
    let db = identity.database().await;
    let row = db.query_one(sql, &[&hers.user_id()]).await;
    let hash: Vec<u8> = row.expect("her change").get(0);
    let sql = "UPDATE address_changes SET token_hash = $1 WHERE user_id = $2::text::uuid";
    let moved = db.execute(sql, &[&hash, &his.user_id()]).await;
    assert_eq!(moved.ok(), Some(1));
    let answer = identity.confirm_address(&token).await;
    assert_eq!(answer.problem(), (400, "invalid_address_token".to_owned()));
    assert_eq!(identity.me(&his.access).await.json()["email"], bob.email);
}
