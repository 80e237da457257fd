//! What a thief of the database gets, and what somebody who writes to it achieves.

use reqwest::Method;
use shared::vault_client::KeyOf;
use stack::Addresses;
use uuid::Uuid;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody},
    device::unauthorized,
    old_address::operator_is_told,
    replica::Region,
    service::{connected, sent},
};

#[tokio::test]
async fn no_table_holds_an_address_a_password_or_a_token() {
    let region = Region::new().await;
    let replica = region.start().await;
    let (confirmed, waiting) = (somebody(), somebody());
    replica.service.account(&confirmed, PASSWORD).await;
    let token = replica
        .service
        .mailed_sign_up(&waiting, OTHER_PASSWORD)
        .await;
    let reset = replica.service.mailed_reset(&confirmed).await;
    let db = replica.service.database().await;
    let mut rows = 0;
    for table in [
        "accounts",
        "pending_signups",
        "verification_tokens",
        "outbox",
        "service_keys",
        "password_resets",
        "mail_allowances",
    ] {
        let sql = format!("SELECT row_to_json(t)::text FROM {table} t");
        for row in db.query(&sql, &[]).await.expect("a table of identity's") {
            rows += 1;
            let text: String = row.get(0);
            for secret in [
                &confirmed,
                &waiting,
                PASSWORD,
                OTHER_PASSWORD,
                &token,
                &reset,
            ] {
                let hidden = hex::encode(secret);
                assert!(
                    !text.contains(secret) && !text.contains(&hidden),
                    "{table}: {text}"
                );
            }
        }
    }
    assert!(rows >= 8, "only {rows} rows were looked at");
}

#[tokio::test]
async fn a_password_pasted_into_another_account_opens_nothing() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (mallory, bob) = (identity.person().await, identity.person().await);
    let (hers, his) = (
        identity.logged_in(&mallory).await,
        identity.logged_in(&bob).await,
    );
    let paste = "UPDATE accounts SET (password_hash, pepper_version) =
                 (SELECT password_hash, pepper_version FROM accounts WHERE user_id = $1::text::uuid)
                 WHERE user_id = $2::text::uuid";
    let db = identity.database().await;
    let rows = db.execute(paste, &[&hers.user_id(), &his.user_id()]).await;
    assert_eq!(rows.ok(), Some(1));
    let answer = identity.login(&bob.email, &mallory.password).await;
    assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
    identity.logged_in(&mallory).await;
}

#[tokio::test]
async fn a_session_given_to_another_person_is_not_continued() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (mallory, bob) = (identity.person().await, identity.person().await);
    let hers = identity.logged_in(&mallory).await;
    let his = identity.logged_in(&bob).await;
    let paste = "UPDATE sessions SET user_id = $2::text::uuid WHERE user_id = $1::text::uuid";
    let db = identity.database().await;
    let rows = db.execute(paste, &[&hers.user_id(), &his.user_id()]).await;
    assert_eq!(rows.ok(), Some(1));
    let answer = identity.refresh(&hers.refresh).await;
    assert_eq!(answer.problem(), unauthorized("session_ended"));
    assert_eq!(identity.refresh(&his.refresh).await.status, 200);
}

#[tokio::test]
async fn an_address_or_a_key_pasted_from_another_account_is_a_conflict_and_never_a_failure_of_ours()
{
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, hers) = identity.newcomer().await;
    let unreadable = (409, "record_unreadable".to_owned());
    let db = identity.database().await;
    for column in ["email_sealed", "wrapped_key"] {
        let (bob, his) = identity.newcomer().await;
        let paste = format!(
            "UPDATE accounts SET {column} = (SELECT {column} FROM accounts WHERE user_id = $1::text::uuid)
             WHERE user_id = $2::text::uuid"
        );
        let rows = db.execute(&paste, &[&hers.user_id(), &his.user_id()]).await;
        assert_eq!(rows.ok(), Some(1));
        let changed = identity.change_password(&his, &bob.password, OTHER_PASSWORD);
        assert_eq!(changed.await.problem(), unreadable, "{column}");
        assert_eq!(identity.me(&his.access).await.problem(), unreadable);
        assert!(operator_is_told(&his.user_id()), "{column}");
        // What does not need them goes on.
        for path in ["/api/auth/sessions", "/api/auth/security-events"] {
            let request = identity.request(Method::GET, path).bearer_auth(&his.access);
            assert_eq!(sent(request).await.status, 200, "{column}: {path}");
        }
        identity.logged_in(&bob).await;
        assert_eq!(identity.me(&hers.access).await.json()["email"], ada.email);
    }
    assert!(!operator_is_told(&hers.user_id()));
}

#[tokio::test]
async fn a_damaged_slot_of_somebody_who_confirms_is_a_conflict_and_told_to_the_operator() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let token = identity.mailed_sign_up(&somebody(), PASSWORD).await;
    let pending = "SELECT pending_id FROM pending_signups";
    let row = identity.database().await.query_one(pending, &[]).await;
    let subject: Uuid = row.expect("one sign-up").get(0);
    // As a confirmation leaves it that got as far as the vault.
    let of = KeyOf {
        subject,
        purpose: "account",
        generation: 1,
    };
    let now = region.clock.now();
    let made = region.vault_client().create(of, None, now).await;
    made.expect("the vault makes a key");
    let vault = connected(&Addresses::of_the_test_run().database.vault).await;
    let flip =
        "UPDATE subjects SET sealed_salt = set_byte(sealed_salt, 50, get_byte(sealed_salt, 50) # 1)
                 WHERE subject = $1";
    let flipped = vault.execute(flip, &[&subject]).await;
    assert_eq!(flipped.expect("the slot"), 1);
    let answer = identity.verify(&token).await;
    assert_eq!(answer.problem(), (409, "record_unreadable".to_owned()));
    assert!(operator_is_told(&subject.to_string()));
    vault.execute(flip, &[&subject]).await.expect("the slot");
    assert_eq!(identity.verify(&token).await.status, 200);
}

#[tokio::test]
async fn an_address_pasted_from_one_sign_up_into_another_confirms_neither() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let pasted = identity.mailed_sign_up(&somebody(), OTHER_PASSWORD).await;
    let token = identity.mailed_sign_up(&somebody(), PASSWORD).await;
    let paste = "UPDATE pending_signups SET sealed =
                 (SELECT sealed FROM pending_signups ORDER BY created_at LIMIT 1)";
    let db = identity.database().await;
    db.execute(paste, &[]).await.expect("both rows are there");
    assert_eq!(identity.verify(&token).await.problem(), invalid_token());
    assert_eq!(identity.count("accounts").await, 0);
    // The one that was copied is as it was.
    assert_eq!(identity.verify(&pasted).await.status, 200);
}

#[tokio::test]
async fn a_sign_up_that_names_another_key_or_has_a_flipped_bit_cannot_be_confirmed() {
    for tampering in [
        "INSERT INTO service_keys SELECT gen_random_uuid(), 'another', wrapped_key, created_at FROM service_keys;
         UPDATE pending_signups SET service_key_id = (SELECT key_id FROM service_keys WHERE purpose = 'another')",
        "UPDATE pending_signups SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)",
        "UPDATE pending_signups SET sealed = ''",
    ] {
        let region = Region::new().await;
        let replica = region.start().await;
        let identity = &replica.service;
        let token = identity.mailed_sign_up(&somebody(), PASSWORD).await;
        let done = identity.database().await.batch_execute(tampering).await;
        done.expect("the row is there");
        assert_eq!(identity.verify(&token).await.problem(), invalid_token());
        assert_eq!(identity.count("accounts").await, 0);
        assert_eq!(identity.cancel(&token).await.status, 204);
    }
}
