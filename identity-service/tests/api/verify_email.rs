//! Confirming an address: once, in time, and by the reader of the mail alone.

use serde_json::{Value, json};
use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody},
    replica::Region,
    service::Service,
};

/// Confirms all at once, and one of them makes the account.
async fn one_is_made(identity: &Service, confirmations: Vec<Value>) {
    let mut confirming = JoinSet::new();
    for body in confirmations {
        let service = identity.clone();
        confirming.spawn(async move { service.post("verify-email", &body).await });
    }
    let answers = confirming.join_all().await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert_eq!(made.len(), 1);
    for answer in refused {
        assert_eq!(answer.problem(), invalid_token());
    }
    assert_eq!(identity.count("accounts").await, 1);
    assert_eq!(identity.count("pending_signups").await, 0);
}

#[tokio::test]
async fn of_twenty_confirmations_at_once_one_makes_the_account() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let token = identity.mailed_sign_up(&somebody(), PASSWORD).await;
    one_is_made(identity, vec![json!({ "token": token }); 20]).await;
}

#[tokio::test]
async fn of_the_confirmations_of_two_sign_ups_at_once_one_makes_the_account() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    let mut confirmations = Vec::new();
    for password in [PASSWORD, OTHER_PASSWORD] {
        let token = identity.mailed_sign_up(&email, password).await;
        let body = json!({ "token": token, "password": password });
        // As many as may be compared at once.
        confirmations.extend([body.clone(), body]);
    }
    one_is_made(identity, confirmations).await;
}

/// What is answered while nobody knows whose account it is to be.
fn password_required() -> (u16, String) {
    (409, "password_required".to_owned())
}

fn wrong_password() -> (u16, String) {
    (403, "wrong_password".to_owned())
}

#[tokio::test]
async fn a_stranger_whose_sign_ups_use_up_the_mail_of_an_address_prepares_no_account_for_it() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(identity.mailed_sign_up(&email, OTHER_PASSWORD).await);
        region.clock.advance(Duration::MILLISECOND);
    }
    // The owner's own sign-up comes after the last mail that the address gets.
    identity.sign_up(&email, PASSWORD).await;
    identity.outbox_empties().await;
    assert_eq!(identity.mails(&email).len(), 5);
    for token in &tokens {
        let answer = identity.verify(token).await;
        assert_eq!(answer.problem(), password_required());
    }
    // They go on, from several networks, before the owner is back with one of their mails.
    for _ in 0..15 {
        region.clock.advance(Duration::MILLISECOND);
        identity.sign_up(&email, OTHER_PASSWORD).await;
    }
    // The oldest of them, and it is not used up.
    let answer = identity.verify_as(&tokens[0], PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(identity.logs_in(&email, PASSWORD).await);
    assert!(!identity.logs_in(&email, OTHER_PASSWORD).await);
    assert_eq!(identity.count("pending_signups").await, 0);
}

#[tokio::test]
async fn a_mail_confirms_its_own_sign_up_however_many_came_after_it() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    let token = identity.mailed_sign_up(&email, PASSWORD).await;
    for _ in 0..6 {
        region.clock.advance(Duration::MILLISECOND);
        identity.sign_up(&email, OTHER_PASSWORD).await;
    }
    assert_eq!(identity.verify(&token).await.problem(), password_required());
    assert_eq!(identity.verify_as(&token, PASSWORD).await.status, 200);
    assert!(identity.logs_in(&email, PASSWORD).await);
}

#[tokio::test]
async fn a_reader_of_the_mail_guesses_the_password_five_times_however_many_mails_there_are() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    let one = identity.mailed_sign_up(&email, PASSWORD).await;
    let other = identity.mailed_sign_up(&email, PASSWORD).await;
    let mut guessing = JoinSet::new();
    for token in [&one, &other].into_iter().cycle().take(20) {
        let (service, token) = (identity.clone(), token.clone());
        guessing.spawn(async move { service.verify_as(&token, OTHER_PASSWORD).await });
    }
    let answers = guessing.join_all().await;
    let of = |answer: (u16, String)| {
        answers
            .iter()
            .filter(move |it| it.problem() == answer)
            .count()
    };
    let waits = (429, "too_many_attempts".to_owned());
    assert_eq!((of(wrong_password()), of(waits.clone())), (5, 15));
    let right = identity.verify_as(&one, PASSWORD).await;
    assert_eq!(right.problem(), waits);
    assert_eq!(right.header("retry-after"), Some("900"));
    // Somebody else's address, and everybody's login, are another matter.
    assert_eq!(identity.login(&email, PASSWORD).await.status, 401);
    // The vault has no manual clock, so the rows grow old and not the world.
    let aged = "UPDATE lockouts SET over_at = over_at - interval '15 min'";
    let db = region.database().await;
    db.execute(aged, &[]).await.expect("they are there");
    assert_eq!(identity.verify_as(&one, PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_password_that_is_sent_has_to_be_that_of_the_only_sign_up_too() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    let token = identity.mailed_sign_up(&email, OTHER_PASSWORD).await;
    let answer = identity.verify_as(&token, PASSWORD).await;
    assert_eq!(answer.problem(), wrong_password());
    assert!(!identity.logs_in(&email, OTHER_PASSWORD).await);
    assert_eq!(identity.verify_as(&token, OTHER_PASSWORD).await.status, 200);
}

#[tokio::test]
async fn a_sign_up_that_was_tampered_with_is_in_no_others_way() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (email, another) = (somebody(), somebody());
    let token = identity.mailed_sign_up(&email, PASSWORD).await;
    for address in [&email, &another] {
        region.clock.advance(Duration::MILLISECOND);
        identity.mailed_sign_up(address, OTHER_PASSWORD).await;
    }
    let tampering = "UPDATE pending_signups SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)
                      WHERE pending_id = (SELECT pending_id FROM pending_signups ORDER BY pending_id OFFSET 1 LIMIT 1);
                     UPDATE pending_signups SET email_index =
                        (SELECT email_index FROM pending_signups ORDER BY pending_id LIMIT 1)";
    let done = identity.database().await.batch_execute(tampering).await;
    done.expect("the rows are there");
    assert_eq!(identity.verify(&token).await.status, 200);
    assert!(identity.logs_in(&email, PASSWORD).await);
}

#[tokio::test]
async fn a_sign_up_whose_time_is_over_is_in_no_others_way() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    identity.mailed_sign_up(&email, OTHER_PASSWORD).await;
    let over = "UPDATE pending_signups SET expires_at = created_at";
    let aged = region.database().await.execute(over, &[]).await;
    assert_eq!(aged.ok(), Some(1));
    let token = identity.mailed_sign_up(&email, PASSWORD).await;
    assert_eq!(identity.verify(&token).await.status, 200);
    assert!(!identity.logs_in(&email, OTHER_PASSWORD).await);
    assert!(identity.logs_in(&email, PASSWORD).await);
}

#[tokio::test]
async fn a_sign_up_that_is_cancelled_while_it_is_confirmed_makes_no_account() {
    let region = Region::new().await;
    let replica = region.start().await;
    let token = replica.service.mailed_sign_up(&somebody(), PASSWORD).await;
    let mut db = region.database().await;
    let cancelling = db.transaction().await.expect("a transaction");
    let gone = cancelling.execute("DELETE FROM pending_signups", &[]).await;
    assert_eq!(gone.expect("the sign-up"), 1);
    let service = replica.service.clone();
    let confirming = tokio::spawn(async move { service.verify(&token).await });
    region.waiting(1).await;
    cancelling.commit().await.expect("committed");
    let answer = confirming.await.expect("no panic");
    assert_eq!(answer.problem(), invalid_token());
    assert_eq!(replica.service.count("accounts").await, 0);
}

#[tokio::test]
async fn a_sign_up_that_outlives_the_confirmation_of_another_makes_no_second_account() {
    let mut region = Region::new().await;
    let before = region.start().await;
    let email = somebody();
    let one = before.service.mailed_sign_up(&email, PASSWORD).await;
    let other = before.service.mailed_sign_up(&email, OTHER_PASSWORD).await;
    // As one does that is stored in the same moment.
    let db = region.database().await;
    let kept = "CREATE TABLE kept AS SELECT * FROM pending_signups;
                CREATE TABLE tokens AS SELECT * FROM verification_tokens";
    db.batch_execute(kept).await.expect("the tables are ours");
    let confirmed = before.service.verify_as(&one, PASSWORD).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text);
    let back = "INSERT INTO pending_signups SELECT * FROM kept;
                INSERT INTO verification_tokens SELECT * FROM tokens";
    db.batch_execute(back).await.expect("there is room again");
    let outlived = before.service.verify_as(&other, OTHER_PASSWORD).await;
    assert_eq!(outlived.problem(), invalid_token());
    drop(before);
    // Under a newer secret the index of the account is another one, and it is the account of the address still.
    let newer = format!("v2:{}", hex::encode(shared::random::bytes::<32>()));
    let both = format!("{newer},{}", region.secret());
    region.set("IDENTITY_SECRET_KEYS", both);
    let after = region.start().await;
    let outlived = after.service.verify_as(&other, OTHER_PASSWORD).await;
    assert_eq!(outlived.problem(), invalid_token());
    assert_eq!(after.service.count("accounts").await, 1);
    assert!(after.service.logs_in(&email, PASSWORD).await);
}

#[tokio::test]
async fn a_sign_up_cannot_be_confirmed_after_24_hours() {
    let region = Region::new().await;
    let replica = region.start().await;
    let email = somebody();
    let token = replica.service.mailed_sign_up(&email, PASSWORD).await;
    region.clock.advance(Duration::hours(24));
    assert_eq!(
        replica.service.verify(&token).await.problem(),
        invalid_token()
    );
    assert_eq!(replica.service.count("accounts").await, 0);
}

#[tokio::test]
async fn a_sign_up_can_be_confirmed_until_just_before() {
    let region = Region::new().await;
    let replica = region.start().await;
    let token = replica.service.mailed_sign_up(&somebody(), PASSWORD).await;
    // The vault has no manual clock, so the row grows old and not the world.
    let aged = "UPDATE pending_signups SET created_at = created_at - interval '23 h 55 min',
                                           expires_at = expires_at - interval '23 h 55 min'";
    let db = replica.service.database().await;
    db.execute(aged, &[]).await.expect("the row is there");
    assert_eq!(replica.service.verify(&token).await.status, 200);
}

#[tokio::test]
async fn made_up_tokens_confirm_nothing() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    let token = identity.mailed_sign_up(&email, PASSWORD).await;
    for wrong in [
        "",
        "kst_v_",
        &token.to_lowercase(),
        &format!("{token} "),
        "\0",
    ] {
        assert_eq!(
            identity.verify(wrong).await.problem(),
            invalid_token(),
            "{wrong:?}"
        );
    }
    assert_eq!(identity.verify(&token).await.status, 200);
}

#[tokio::test]
async fn the_reader_of_the_mail_can_discard_the_sign_up_and_no_answer_tells_whether_there_was_one()
{
    let identity = Service::of_the_test_run();
    let email = somebody();
    let cancelled = identity.mailed_sign_up(&email, OTHER_PASSWORD).await;
    let kept = identity.mailed_sign_up(&email, PASSWORD).await;
    assert_eq!(identity.cancel("kst_v_unknown").await.status, 204);
    assert_eq!(identity.cancel(&cancelled).await.status, 204);
    assert_eq!(identity.cancel(&cancelled).await.status, 204);
    assert_eq!(identity.verify(&cancelled).await.problem(), invalid_token());
    assert_eq!(identity.verify(&kept).await.status, 200);
}
