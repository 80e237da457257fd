//! Nothing that a stranger sees tells whether an address is known.

use time::Duration;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::{Tokens, befall},
    outbox::{hold, release},
    replica::Region,
    service::{Answer, Service},
};

/// What is known of an address, and must not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has an account.
    Known,
    Unknown,
    /// Its sign-up waits to be confirmed.
    Unverified,
    /// It has an account that may not log in.
    Disabled,
}

impl Standing {
    pub(crate) const ALL: [Self; 4] =
        [Self::Known, Self::Unknown, Self::Unverified, Self::Disabled];

    /// An address of that standing, whose password, if it has one, is `PASSWORD`.
    pub(crate) async fn address(self, identity: &Service) -> String {
        let email = somebody();
        match self {
            Self::Unknown => {}
            Self::Unverified => {
                identity.mailed_sign_up(&email, PASSWORD).await;
            }
            Self::Known => identity.account(&email, PASSWORD).await,
            Self::Disabled => {
                identity.account(&email, PASSWORD).await;
                let tokens = identity.login(&email, PASSWORD).await.tokens();
                let disabling =
                    "UPDATE accounts SET disabled_at = now() WHERE user_id = $1::text::uuid";
                befall(identity, &tokens, disabling).await;
            }
        }
        email
    }
}

/// What can be asked about somebody else's address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question<'a> {
    SignUp,
    Resend,
    Login,
    Forgot,
    /// By somebody who has an account and wants the address for it.
    ChangeAddress(&'a Tokens),
}

impl Question<'_> {
    /// Asks. A login names the right password, where that is of no use, and otherwise a wrong one.
    pub(crate) async fn ask(self, identity: &Service, email: &str, standing: Standing) -> Answer {
        match (self, standing) {
            (Self::SignUp, _) => identity.sign_up(email, OTHER_PASSWORD).await,
            (Self::Resend, _) => identity.resend(email).await,
            (Self::Forgot, _) => identity.forgot(email).await,
            (Self::ChangeAddress(asker), _) => identity.want_address(asker, PASSWORD, email).await,
            (Self::Login, Standing::Known) => identity.login(email, OTHER_PASSWORD).await,
            (Self::Login, _) => identity.login(email, PASSWORD).await,
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Login => 401,
            _ => 202,
        }
    }
}

#[tokio::test]
async fn no_answer_tells_known_unknown_unverified_and_disabled_addresses_apart() {
    let identity = Service::of_the_test_run();
    let (_, asker) = identity.newcomer().await;
    for question in [
        Question::SignUp,
        Question::Resend,
        Question::Login,
        Question::Forgot,
        Question::ChangeAddress(&asker),
    ] {
        let mut seen = Vec::new();
        for standing in Standing::ALL {
            let email = standing.address(&identity).await;
            let answer = question.ask(&identity, &email, standing).await;
            assert_eq!(
                answer.status,
                question.status(),
                "{question:?} {standing:?}"
            );
            seen.push(answer.seen());
        }
        assert!(
            seen.iter().all(|one| *one == seen[0]),
            "{question:?}: {seen:#?}"
        );
    }
}

#[tokio::test]
async fn a_text_that_is_no_address_logs_in_like_an_unknown_one() {
    let identity = Service::of_the_test_run();
    let unknown = identity.login(&somebody(), PASSWORD).await.seen();
    for text in ["", "no address", "a@b@c", "ada@example.com\u{0}"] {
        assert_eq!(
            identity.login(text, PASSWORD).await.seen(),
            unknown,
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn only_a_waiting_sign_up_is_mailed_again_and_the_mail_before_stays_good() {
    let identity = Service::of_the_test_run();
    let (known, pending, unknown) = (somebody(), somebody(), somebody());
    identity.account(&known, PASSWORD).await;
    let first = identity.mailed_sign_up(&pending, PASSWORD).await;
    for address in [&known, &unknown, &pending] {
        identity.resend(address).await;
    }
    identity.mail_number(&pending, 2).await;
    identity.outbox_worked_off().await;
    assert_eq!(identity.mails(&known).len(), 1);
    assert!(identity.mails(&unknown).is_empty());
    assert_eq!(identity.verify(&first).await.status, 200);
}

#[tokio::test]
async fn of_many_waiting_sign_ups_the_three_newest_are_mailed_again() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    for _ in 0..5 {
        identity.mailed_sign_up(&email, PASSWORD).await;
        region.clock.advance(Duration::MILLISECOND);
    }
    // The newest of them is over, and makes room for an older one.
    let over = "UPDATE pending_signups SET expires_at = created_at
                 WHERE created_at = (SELECT max(created_at) FROM pending_signups)";
    let db = identity.database().await;
    assert_eq!(db.execute(over, &[]).await.ok(), Some(1));
    // As if hours had gone by, and mail had become plenty again.
    let sql = "DELETE FROM mail_allowances";
    assert_eq!(db.execute(sql, &[]).await.ok(), Some(1));
    identity.resend(&email).await;
    identity.outbox_empties().await;
    assert_eq!(identity.mails(&email).len(), 5 + 3);
    let mailed = "SELECT count(*) FROM pending_signups JOIN verification_tokens USING (pending_id)
                  GROUP BY created_at ORDER BY created_at";
    let mailed = db.query(mailed, &[]).await.expect("counts");
    let mailed: Vec<i64> = mailed.iter().map(|row| row.get(0)).collect();
    assert_eq!(mailed, [1, 2, 2, 2, 1]);
}

#[tokio::test]
async fn a_sign_up_that_the_worker_reads_after_its_time_is_mailed_to_nobody() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    // So that there is a key.
    identity.account(&somebody(), PASSWORD).await;
    let email = somebody();
    hold(identity).await;
    assert_eq!(identity.sign_up(&email, PASSWORD).await.status, 202);
    release(
        identity,
        "UPDATE pending_signups SET expires_at = created_at",
    )
    .await;
    identity.outbox_empties().await;
    assert!(identity.mails(&email).is_empty());
}
