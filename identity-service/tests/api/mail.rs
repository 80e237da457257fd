//! What people are mailed, and what nobody can have them mailed.

use reqwest::Method;
use serde_json::json;
use stack::{
    smtp_sink::{Misbehaviour, SmtpSink},
    until,
};
use time::Duration;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::{befall, unauthorized},
    gate::FATES,
    replica::Region,
    service::{PATIENCE, Service, sent},
};

/// Mails of a kind that an address gets at once.
const BURST: usize = 5;

#[tokio::test]
async fn nobody_is_buried_in_mail_by_somebody_who_knows_an_address() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (unknown, known) = (somebody(), somebody());
    identity.account(&known, PASSWORD).await;
    for _ in 0..100 {
        for email in [&unknown, &known] {
            let body = json!({ "email": email, "password": OTHER_PASSWORD });
            assert_eq!(identity.post("signup", &body).await.status, 202);
            assert_eq!(identity.resend(email).await.status, 202);
        }
    }
    identity.outbox_empties().await;
    assert_eq!(identity.mails(&unknown).len(), BURST);
    // The one that confirmed the account was the first.
    assert_eq!(identity.mails(&known).len(), BURST);
    // What nobody could ever confirm does not wait either.
    assert_eq!(identity.count("pending_signups").await, 100);

    // One an hour from then on, however much is asked for.
    region.clock.advance(Duration::hours(1));
    for _ in 0..3 {
        identity.resend(&unknown).await;
    }
    identity.outbox_empties().await;
    assert_eq!(identity.mails(&unknown).len(), BURST + 1);
}

#[tokio::test]
async fn whoever_makes_up_tags_for_a_mailbox_fills_it_no_further_and_keeps_no_mail_of_its_own_back()
{
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let own = somebody();
    let tagged = |tag: usize| own.replace('@', &format!("+{tag}@"));
    for tag in 0..8 {
        identity.sign_up(&tagged(tag), PASSWORD).await;
    }
    identity.outbox_empties().await;
    let mailed = (0..8).map(|tag| identity.mails(&tagged(tag)).len());
    assert_eq!(mailed.sum::<usize>(), 5);
    identity.mailed_sign_up(&own, PASSWORD).await;
}

#[tokio::test]
async fn the_owner_is_told_when_a_replaced_refresh_token_comes_back_and_a_thief_writes_nothing() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let first = identity.logged_in(&ada).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    identity.refresh(&second.refresh).await.tokens();
    let body = json!({ "refresh_token": first.refresh });
    let request = identity.request(Method::POST, "/api/auth/refresh");
    let bait = "Win a prize at https://eve.example.test";
    let reused = sent(request.header("User-Agent", bait).json(&body)).await;
    assert_eq!(reused.problem(), unauthorized("session_ended"));

    let mail = identity.mail_number(&ada.email, 2).await;
    assert_eq!(mail.subject, "A session was ended for your safety");
    assert!(mail.text.contains("from 127.0.0.1"), "{}", mail.text);
    assert!(mail.text.contains("/forgot-password\n"), "{}", mail.text);
    assert!(!mail.text.contains("eve.example.test"), "{}", mail.text);
    assert_eq!(mail.token(), None);
}

#[tokio::test]
async fn mails_are_written_in_the_language_that_is_set() {
    let region = Region::with(&[("MAIL_LOCALE", "de")]).await;
    let running = region.start().await;
    let email = somebody();
    let token = running.service.mailed_sign_up(&email, PASSWORD).await;
    let mails = running.service.mails(&email);
    assert!(mails[0].text.contains("bestätigen"), "{}", mails[0].text);
    assert_eq!(running.service.verify(&token).await.status, 200);
}

impl Region {
    /// Has services that start from now on send their mail to a server.
    fn mails_through(&mut self, sink: &SmtpSink) {
        self.set("MAIL_DIR", "");
        self.set("SMTP_HOST", "127.0.0.1");
        self.set("SMTP_PORT", sink.port().to_string());
        self.set("SMTP_TLS", "none");
    }
}

impl Service {
    /// Lets the only mail that waits for its next try be due.
    async fn due_again(&self) {
        let due = "UPDATE outbox SET due_at = created_at WHERE due_at > created_at";
        let changed = self.database().await.execute(due, &[]).await;
        assert_eq!(changed.ok(), Some(1));
    }
}

/// Waits until the only mail that waits was tried so often, and in vain.
async fn put_off(identity: &Service, sink: &SmtpSink, times: usize) {
    let vain = || {
        let lines = sink.lines();
        let tries = lines.iter().filter(|it| it.text.starts_with("RCPT"));
        tries.count() - sink.mails().len()
    };
    for number in 1..=times {
        let tried = async || (vain() >= number).then_some(()).ok_or_else(vain);
        let tried = until("a try", PATIENCE, tried).await;
        tried.expect("the worker tries");
        assert_eq!(identity.count("outbox").await, 1);
        if number < times {
            identity.due_again().await;
        }
    }
}

#[tokio::test]
async fn mail_that_a_server_puts_off_goes_later_and_mail_that_it_refuses_goes_never() {
    let sink = SmtpSink::start().await.expect("a free port");
    let mut region = Region::new().await;
    region.mails_through(&sink);
    let running = region.start().await;
    let identity = &running.service;

    sink.misbehave("RCPT", Misbehaviour::Say("451 4.7.1 greylisted"));
    identity.sign_up(&somebody(), PASSWORD).await;
    // More often than the address may be mailed: what did not go does not count.
    put_off(identity, &sink, BURST + 1).await;
    identity.due_again().await;
    sink.behave();
    identity.outbox_empties().await;
    assert_eq!(sink.mails().len(), 1);

    sink.misbehave("RCPT", Misbehaviour::Say("550 5.1.1 nobody here"));
    identity.sign_up(&somebody(), PASSWORD).await;
    identity.outbox_empties().await;
    assert_eq!(sink.mails().len(), 1);
}

#[tokio::test]
async fn mail_that_is_put_off_gives_back_none_of_another_kind_or_address() {
    let sink = SmtpSink::start().await.expect("a free port");
    let mut region = Region::new().await;
    let before = region.start().await;
    let (ada, eve) = (before.service.person().await, before.service.person().await);
    region.stopped(before).await;
    region.mails_through(&sink);
    let running = region.start().await;
    let identity = &running.service;
    // Each has had all that there is of one kind.
    let ask_for_one_more = async || {
        identity.sign_up(&ada.email, OTHER_PASSWORD).await;
        assert_eq!(identity.forgot(&eve.email).await.status, 202);
    };
    for _ in 0..=BURST {
        ask_for_one_more().await;
    }
    identity.outbox_empties().await;
    // That which confirmed the account was the first of its kind.
    let mailed = 2 * BURST - 1;
    assert_eq!(sink.mails().len(), mailed);

    // To the one, and of the kind of the other.
    sink.misbehave("RCPT", Misbehaviour::Say("451 4.7.1 greylisted"));
    assert_eq!(identity.forgot(&ada.email).await.status, 202);
    put_off(identity, &sink, 3).await;
    sink.behave();
    ask_for_one_more().await;
    let decided = async || match identity.count("outbox").await {
        1 => Ok(()),
        waiting => Err(waiting),
    };
    let decided = until("the outbox", PATIENCE, decided).await;
    decided.expect("all but the one that is put off");
    assert_eq!(sink.mails().len(), mailed);
    identity.due_again().await;
    identity.outbox_empties().await;
    assert_eq!(sink.mails().len(), mailed + 1);
}

#[tokio::test]
async fn when_ones_own_mail_comes_does_not_tell_whether_somebody_elses_are_sent() {
    let sink = SmtpSink::start().await.expect("a free port");
    let mut region = Region::new().await;
    let (ada, eve) = (somebody(), somebody());
    {
        let replica = region.start().await;
        for email in [&ada, &eve] {
            replica.service.account(email, PASSWORD).await;
        }
        replica.service.outbox_empties().await;
    }
    region.mails_through(&sink);
    let running = region.start().await;
    let identity = &running.service;
    let begun_are = async |number: usize| {
        let begun = async || {
            let lines = sink.lines();
            match lines.iter().filter(|it| it.text == "DATA").count() {
                begun if begun == number => Ok(()),
                other => Err(other),
            }
        };
        until("mails on their way", PATIENCE / 2, begun)
            .await
            .expect("none waits for another");
    };

    // As many as an address is sent, each of them without an end.
    sink.misbehave(".", Misbehaviour::Hang);
    for _ in 0..BURST {
        assert_eq!(identity.forgot(&ada).await.status, 202);
    }
    begun_are(BURST).await;
    assert_eq!(identity.forgot(&eve).await.status, 202);
    begun_are(BURST + 1).await;
}

#[tokio::test]
async fn the_owner_of_a_disabled_account_is_mailed_nothing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, tokens) = identity.newcomer().await;
    let (_, eve) = identity.newcomer().await;
    befall(identity, &tokens, FATES[0]).await;
    let notice = "INSERT INTO outbox (message_id, user_id, notice, created_at, due_at)
                  SELECT gen_random_uuid(), user_id, 'mfa_enabled', created_at, created_at
                    FROM accounts WHERE user_id = $1::text::uuid";
    befall(identity, &tokens, notice).await;
    let wanted = identity.want_address(&eve, PASSWORD, &ada.email).await;
    assert_eq!(wanted.status, 202, "{}", wanted.text);
    assert_eq!(identity.forgot(&ada.email).await.status, 202);
    identity.outbox_empties().await;
    // The one that confirmed the account.
    assert_eq!(identity.mails(&ada.email).len(), 1);
}
