//! Changing a password, and choosing a new one for a forgotten one.

use serde_json::json;
use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody, token},
    device::{Tokens, unauthorized},
    gate::FATES,
    replica::Region,
    service::{Answer, Service},
};

pub(crate) const NEW_PASSWORD: &str = "harbour violin meadow 3391";

impl Service {
    pub(crate) async fn forgot(&self, email: &str) -> Answer {
        self.post("password/forgot", &json!({ "email": email }))
            .await
    }

    pub(crate) async fn reset(&self, token: &str, new_password: &str) -> Answer {
        let body = json!({ "token": token, "new_password": new_password });
        self.post("password/reset", &body).await
    }

    /// Asks for a reset and waits for the mail; its token.
    pub(crate) async fn mailed_reset(&self, email: &str) -> String {
        let before = self.mails(email).len();
        let answer = self.forgot(email).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        token(&self.mail_number(email, before + 1).await)
    }

    pub(crate) async fn is_over(&self, tokens: &Tokens) {
        let ended = unauthorized("session_ended");
        assert_eq!(self.refresh(&tokens.refresh).await.problem(), ended);
        assert_eq!(self.me(&tokens.access).await.problem(), ended);
    }
}

fn invalid() -> (u16, String) {
    (400, "invalid_reset_token".to_owned())
}

#[tokio::test]
async fn whoever_reads_the_mail_chooses_a_new_password_and_every_session_ends() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (phone, laptop) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let asked = identity.forgot(&ada.email).await;
    assert_eq!(asked.status, 202);
    assert_eq!(asked.json(), json!({ "status": "reset_sent" }));
    let mail = identity.mail_number(&ada.email, 2).await;
    let token = token(&mail);
    for part in [
        "from 127.0.0.1",
        &format!("/reset-password#token={token}\n"),
    ] {
        assert!(mail.text.contains(part), "{part} is missing: {}", mail.text);
    }
    // Nothing has happened yet.
    assert_eq!(identity.me(&phone.access).await.status, 200);

    let answer = identity.reset(&token, NEW_PASSWORD).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["status"], "replaced");
    identity.is_over(&phone).await;
    identity.is_over(&laptop).await;
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    assert!(identity.logs_in(&ada.email, NEW_PASSWORD).await);
    let notice = identity.mail_number(&ada.email, 3).await;
    assert_eq!(notice.subject, "Your password was changed");
    assert_eq!(
        identity.reset(&token, OTHER_PASSWORD).await.problem(),
        invalid()
    );
}

#[tokio::test]
async fn of_twenty_resets_with_one_token_at_once_one_succeeds() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let token = identity.mailed_reset(&ada.email).await;
    let mut resetting = JoinSet::new();
    for number in 0..20 {
        let (service, token) = (identity.clone(), token.clone());
        let password = format!("{NEW_PASSWORD} {number}");
        resetting.spawn(async move {
            let answer = service.reset(&token, &password).await;
            (answer, password)
        });
    }
    let answers = resetting.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(it, _)| it.status == 200);
    assert_eq!(done.len(), 1);
    for (answer, password) in refused {
        // Hashing sheds what is too much at once; a shed reset has not touched the token.
        assert!(
            answer.status == 503 || answer.problem() == invalid(),
            "{}",
            answer.text
        );
        assert!(!identity.logs_in(&ada.email, password).await);
        // Which also ends the count of failed logins.
        assert!(identity.logs_in(&ada.email, &done[0].1).await);
    }
}

#[tokio::test]
async fn of_two_tokens_for_one_account_used_at_once_one_succeeds_and_the_other_is_void() {
    let identity = Service::of_the_test_run();
    for _ in 0..3 {
        let ada = identity.person().await;
        let one = identity.mailed_reset(&ada.email).await;
        let other = identity.mailed_reset(&ada.email).await;
        let (first, second) = tokio::join!(
            identity.reset(&one, NEW_PASSWORD),
            identity.reset(&other, OTHER_PASSWORD)
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{} {}", first.text, second.text);
        for token in [one, other] {
            assert_eq!(identity.reset(&token, PASSWORD).await.problem(), invalid());
        }
    }
}

#[tokio::test]
async fn a_reset_that_meets_whoever_closes_the_account_waits_and_replaces_nothing() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    for fate in FATES {
        let ada = identity.person().await;
        let tokens = identity.logged_in(&ada).await;
        let token = identity.mailed_reset(&ada.email).await;
        let service = identity.clone();
        let reset = async move { service.reset(&token, NEW_PASSWORD).await };
        let answer = region.meanwhile(fate, &tokens, reset).await;
        assert_eq!(answer.problem(), invalid(), "{fate}");
        assert!(!identity.logs_in(&ada.email, NEW_PASSWORD).await, "{fate}");
    }
}

#[tokio::test]
async fn a_reset_is_good_for_thirty_minutes() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let email = somebody();
    identity.account(&email, PASSWORD).await;
    let (used, late) = (
        identity.mailed_reset(&email).await,
        identity.mailed_reset(&email).await,
    );
    // Within the time that the vault believes.
    let aged = "UPDATE password_resets SET expires_at = expires_at - interval '29 min 30 s'";
    let db = identity.database().await;
    assert_eq!(db.execute(aged, &[]).await.expect("both rows"), 2);
    // A password that is refused uses nothing up.
    let weak = identity.reset(&used, "passwordpassword").await;
    assert_eq!(weak.problem(), (400, "invalid_request".to_owned()));
    region.clock.advance(Duration::seconds(31));
    assert_eq!(
        identity.reset(&late, NEW_PASSWORD).await.problem(),
        invalid()
    );
    assert_eq!(
        identity.reset(&used, NEW_PASSWORD).await.problem(),
        invalid()
    );
    assert!(identity.logs_in(&email, PASSWORD).await);
}

#[tokio::test]
async fn an_address_without_an_account_gets_no_token_nor_does_a_disabled_one() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (unknown, pending, disabled) = (somebody(), somebody(), somebody());
    identity.mailed_sign_up(&pending, PASSWORD).await;
    identity.account(&disabled, PASSWORD).await;
    let token = identity.mailed_reset(&disabled).await;
    let db = identity.database().await;
    let disable = "UPDATE accounts SET disabled_at = now()";
    assert_eq!(db.execute(disable, &[]).await.expect("an account"), 1);
    for email in [&unknown, &pending, &disabled] {
        assert_eq!(identity.forgot(email).await.status, 202);
    }
    identity.outbox_worked_off().await;
    assert!(identity.mails(&unknown).is_empty());
    assert_eq!(identity.mails(&pending).len(), 1);
    assert_eq!(identity.mails(&disabled).len(), 2);
    assert_eq!(identity.count("password_resets").await, 1);
    // Neither is one that was mailed before of any use.
    assert_eq!(
        identity.reset(&token, NEW_PASSWORD).await.problem(),
        invalid()
    );
}

#[tokio::test]
async fn made_up_tokens_reset_nothing() {
    let identity = Service::of_the_test_run();
    let (ada, pending) = (identity.person().await, somebody());
    let confirmation = identity.mailed_sign_up(&pending, PASSWORD).await;
    let reset = identity.mailed_reset(&ada.email).await;
    assert!(reset.starts_with("kst_p_"));
    for wrong in [
        "",
        "kst_p_",
        &confirmation.replace("kst_v_", "kst_p_"),
        &reset.to_lowercase(),
        &format!("{reset}A"),
        "\0",
    ] {
        let answer = identity.reset(wrong, NEW_PASSWORD).await;
        assert_eq!(answer.problem(), invalid(), "{wrong:?}");
    }
    assert_eq!(identity.reset(&reset, NEW_PASSWORD).await.status, 200);
}

#[tokio::test]
async fn asking_for_resets_fills_no_mailbox() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let email = somebody();
    identity.account(&email, PASSWORD).await;
    for _ in 0..100 {
        assert_eq!(identity.forgot(&email).await.status, 202);
    }
    identity.outbox_worked_off().await;
    // The confirmation, and five resets.
    assert_eq!(identity.mails(&email).len(), 6);
}

#[tokio::test]
async fn whoever_uses_up_the_mail_of_an_address_leaves_a_good_token_in_it_at_all_times() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, wanted) = (identity.person().await, somebody());
    let eve = identity.logged_in(&identity.person().await).await;
    let ask = async || {
        assert_eq!(identity.forgot(&ada.email).await.status, 202);
        let asked = identity.want_address(&eve, PASSWORD, &wanted).await;
        assert_eq!(asked.status, 202);
    };
    for _ in 0..6 {
        ask().await;
    }
    identity.outbox_empties().await;
    // A token is good for half an hour.
    let db = region.database().await;
    for half_hours in 1..4 {
        for tens in 1..=3 {
            // The vault has no manual clock, so the rows grow old and not the world.
            let aged = "UPDATE mail_allowances SET spent_until = spent_until - interval '10 min'";
            db.execute(aged, &[]).await.expect("they are there");
            ask().await;
            ask().await;
            identity.outbox_empties().await;
            let mailed = 5 + half_hours - usize::from(tens < 3);
            // Beside the confirmation.
            assert_eq!(identity.mails(&ada.email).len(), 1 + mailed);
            assert_eq!(identity.mails(&wanted).len(), mailed);
        }
    }
}

#[tokio::test]
async fn what_is_no_address_gets_no_reset() {
    let identity = Service::of_the_test_run();
    let answer = identity.forgot("no address").await;
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn a_reset_is_mailed_to_the_address_as_its_owner_wrote_it() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    assert_eq!(identity.forgot(&ada.email.to_uppercase()).await.status, 202);
    let mail = identity.mail_number(&ada.email, 2).await;
    assert_eq!(mail.to, ada.email);
}
