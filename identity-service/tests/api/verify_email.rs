//! Confirming an address: once, in time, and by the reader of the mail alone.

use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, invalid_token, somebody},
    replica::Region,
    service::Service,
};

#[tokio::test]
async fn of_twenty_confirmations_at_once_one_makes_the_account() {
    let region = Region::new().await;
    let replica = region.start().await;
    let email = somebody();
    let one = replica.service.mailed_sign_up(&email, PASSWORD).await;
    let other = replica.service.mailed_sign_up(&email, OTHER_PASSWORD).await;
    let mut confirming = JoinSet::new();
    for token in [one, other].iter().cycle().take(20) {
        let (service, token) = (replica.service.clone(), token.clone());
        confirming.spawn(async move { service.verify(&token).await });
    }
    let answers = confirming.join_all().await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert_eq!(made.len(), 1);
    for answer in refused {
        assert_eq!(answer.problem(), invalid_token());
    }
    assert_eq!(replica.service.count("accounts").await, 1);
    assert_eq!(replica.service.count("pending_signups").await, 0);
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
    assert_eq!(before.service.verify(&one).await.status, 200);
    let back = "INSERT INTO pending_signups SELECT * FROM kept;
                INSERT INTO verification_tokens SELECT * FROM tokens";
    db.batch_execute(back).await.expect("there is room again");
    assert_eq!(
        before.service.verify(&other).await.problem(),
        invalid_token()
    );
    drop(before);
    // Under a newer secret the index of the account is another one, and it is the account of the address still.
    let newer = format!("v2:{}", hex::encode(shared::random::bytes::<32>()));
    let both = format!("{newer},{}", region.secret());
    region.set("IDENTITY_SECRET_KEYS", both);
    let after = region.start().await;
    assert_eq!(
        after.service.verify(&other).await.problem(),
        invalid_token()
    );
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
