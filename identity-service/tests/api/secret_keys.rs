//! The secret behind peppers, indexes and refresh tokens is replaced, and its old version removed.

use serde_json::{Value, json};
use shared::random;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody, token},
    authenticator::STEP,
    device::{Tokens, unauthorized},
    replica::Region,
    service::Service,
    timing::take_the_same_time,
};

/// A version to follow the one of a region.
fn newer() -> String {
    format!("v2:{}", hex::encode(random::bytes::<32>()))
}

async fn of_pepper(region: &Region, version: i64) -> i64 {
    let sql = "SELECT count(*) FROM accounts WHERE pepper_version = $1";
    let row = region.database().await.query_one(sql, &[&version]).await;
    row.expect("a count").get(0)
}

#[tokio::test]
async fn people_move_to_the_newest_secret_by_logging_in_and_the_old_one_can_go() {
    let mut region = Region::new().await;
    let before = region.start().await;
    let ada = before.service.person().await;
    let bob = before.service.person().await;
    let of_bob = before.service.logged_in(&bob).await;
    let waiting = somebody();
    let token = before.service.mailed_sign_up(&waiting, PASSWORD).await;
    drop(before);

    let newer = newer();
    let both = format!("{newer},{}", region.secret());
    region.set("IDENTITY_SECRET_KEYS", both);
    let during = region.start().await;
    let of_ada = during.service.logged_in(&ada).await;
    assert!(!during.service.logs_in(&ada.email, OTHER_PASSWORD).await);
    assert_eq!(during.service.verify(&token).await.status, 200);
    assert!(during.service.logs_in(&waiting, PASSWORD).await);
    // Found under the old index: the owner is told, and nobody gets a second account.
    during.service.sign_up(&bob.email, OTHER_PASSWORD).await;
    let notice = during.service.mail_number(&bob.email, 2).await;
    assert!(notice.text.contains("You have an account already"));
    let of_bob = during.service.refresh(&of_bob.refresh).await.tokens();
    assert_eq!(of_pepper(&region, 2).await, 2);
    assert_eq!(of_pepper(&region, 1).await, 1);
    assert!(during.service.logs_in(&bob.email, &bob.password).await);
    assert_eq!(of_pepper(&region, 1).await, 0);
    drop(during);

    region.set("IDENTITY_SECRET_KEYS", newer);
    let after = region.start().await;
    for person in [&ada, &bob] {
        after.service.logged_in(person).await;
    }
    assert!(after.service.logs_in(&waiting, PASSWORD).await);
    for refresh in [&of_ada.refresh, &of_bob.refresh] {
        assert_eq!(after.service.refresh(refresh).await.status, 200);
    }
}

#[tokio::test]
async fn whoever_resets_a_password_moves_to_the_newest_secret_with_it() {
    let mut region = Region::new().await;
    let before = region.start().await;
    let ada = before.service.person().await;
    drop(before);
    let newer = newer();
    let both = format!("{newer},{}", region.secret());
    region.set("IDENTITY_SECRET_KEYS", both);
    let during = region.start().await;
    let token = during.service.mailed_reset(&ada.email).await;
    let reset = during.service.reset(&token, OTHER_PASSWORD).await;
    assert_eq!(reset.status, 200, "{}", reset.text);
    drop(during);
    region.set("IDENTITY_SECRET_KEYS", newer);
    let after = region.start().await;
    assert!(after.service.logs_in(&ada.email, OTHER_PASSWORD).await);
}

#[tokio::test]
async fn recovery_codes_that_a_rotation_would_lose_are_told_to_their_owner_and_to_the_operator() {
    let mut region = Region::new().await;
    let before = region.start().await;
    let ada = region.protected(&before.service).await;
    assert_eq!(codes_left(&before.service, &ada.tokens).await, json!(10));
    drop(before);

    let newer = newer();
    let both = format!("{newer},{}", region.secret());
    region.set("IDENTITY_SECRET_KEYS", both);
    let during = region.start().await;
    let login = during.service.challenge(&ada.person).await;
    let code = region.code(&ada.authenticator);
    let tokens = during.service.verify_code(&login, &code).await.tokens();
    // The password has moved; no code could.
    assert_eq!(of_pepper(&region, 1).await, 0);
    assert_eq!(codes_left(&during.service, &tokens).await, json!(0));
    let hangs = "version 2; 0 accounts and the recovery codes of 1 on version 1 hang";
    doctor_says(&region, "ok", hangs).await;
    // They are good until the version is gone.
    let login = during.service.challenge(&ada.person).await;
    let old = &ada.recovery_codes[0];
    during.service.verify_recovery(&login, old).await.tokens();
    region.clock.advance(STEP);
    let code = region.code(&ada.authenticator);
    let proofs = json!({ "password": ada.person.password, "code": code });
    let codes = during.service.new_recovery_codes(&tokens, &proofs).await;
    let codes = codes.recovery_codes();
    assert_eq!(codes_left(&during.service, &tokens).await, json!(10));
    doctor_says(&region, "ok", "all is of version 2").await;
    drop(during);

    region.set("IDENTITY_SECRET_KEYS", newer);
    let after = region.start().await;
    let login = after.service.challenge(&ada.person).await;
    after
        .service
        .verify_recovery(&login, &codes[0])
        .await
        .tokens();
}

async fn codes_left(identity: &Service, tokens: &Tokens) -> Value {
    identity.me(&tokens.access).await.json()["recovery_codes_left"].clone()
}

async fn doctor_says(region: &Region, word: &str, text: &str) {
    let output = region.run(&["doctor"]).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = told.lines().find(|line| line.contains(" secret "));
    let line = line.unwrap_or_else(|| panic!("no line about the secret: {told}"));
    assert!(line.starts_with(word) && line.contains(text), "{told}");
}

#[tokio::test]
async fn a_secret_that_is_lost_locks_out_and_breaks_nothing() {
    let mut region = Region::new().await;
    let before = region.start().await;
    let ada = before.service.person().await;
    let of_ada = before.service.logged_in(&ada).await;
    let confirmed = before.service.mailed_sign_up(&somebody(), PASSWORD).await;
    let (half, waiting) = (somebody(), somebody());
    let of_half = before.service.mailed_sign_up(&half, PASSWORD).await;
    before.service.mailed_sign_up(&waiting, PASSWORD).await;
    assert_eq!(before.service.verify(&confirmed).await.status, 200);
    drop(before);

    // Confirmed under the new secret, so of its index, but of the old pepper, since they never logged in.
    let newer = newer();
    let both = format!("{newer},{}", region.secret());
    region.set("IDENTITY_SECRET_KEYS", both);
    let during = region.start().await;
    assert_eq!(during.service.verify(&of_half).await.status, 200);
    during.service.resend(&waiting).await;
    let of_waiting = token(&during.service.mail_number(&waiting, 2).await);
    drop(during);

    region.set("IDENTITY_SECRET_KEYS", newer);
    let lost = "3 accounts and the recovery codes of 0 on version 1 hang, which is not configured";
    doctor_says(&region, "warn", lost).await;
    let after = region.start().await;
    for email in [&ada.email, &half] {
        assert!(!after.service.logs_in(email, PASSWORD).await);
    }
    let answer = after.service.refresh(&of_ada.refresh).await;
    assert_eq!(answer.problem(), unauthorized("invalid_refresh_token"));
    // An account whose password nobody can ever prove is of no use: the owner is asked to sign up again.
    assert_eq!(
        after.service.verify(&of_waiting).await.problem(),
        invalid_token()
    );
    after.service.account(&waiting, OTHER_PASSWORD).await;
    assert!(after.service.logs_in(&waiting, OTHER_PASSWORD).await);
    take_the_same_time(region, after, &half, &somebody()).await;
}
