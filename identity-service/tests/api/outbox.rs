//! Waiting mail that somebody with access to the database has touched: never sent, and in nobody's way.

use std::time::Duration as Pause;

use stack::until;
use time::Duration;

use crate::{
    accounts::{PASSWORD, somebody},
    replica::Region,
    service::Service,
};

/// More than the worker could skip in time if each of them made it pause.
const JUNK: i64 = 40;

/// Keeps what comes into the outbox from being due.
pub(crate) async fn hold(identity: &Service) {
    let trigger = "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN NEW.due_at := NEW.due_at + interval '1 hour'; RETURN NEW; END $$;
                   CREATE TRIGGER hold BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION hold()";
    let done = identity.database().await.batch_execute(trigger).await;
    done.expect("the tables are the service's own");
}

/// Does something to the oldest messages, and lets all of them be due.
pub(crate) async fn release(identity: &Service, tampering: &str) {
    let statements = format!(
        "{tampering};
         DROP TRIGGER hold ON outbox;
         UPDATE outbox SET due_at = created_at"
    );
    let done = identity.database().await.batch_execute(&statements).await;
    done.expect("the rows are there");
}

#[tokio::test]
async fn messages_that_were_tampered_with_are_never_sent_and_hold_up_nobody() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    // So that there is a key, and a mail that went.
    identity.account(&somebody(), PASSWORD).await;
    hold(identity).await;
    let people: Vec<_> = (0..6).map(|_| somebody()).collect();
    for email in &people {
        region.clock.advance(Duration::MILLISECOND);
        assert_eq!(identity.sign_up(email, PASSWORD).await.status, 202);
    }
    // Two rows in each other's place; a bit of the text; a row cut short; one that names another key of the service;
    // a notice of a kind that there is not; and junk ahead of the one that nobody touched.
    let tampering = format!(
        "CREATE TEMP TABLE o AS SELECT *, row_number() OVER (ORDER BY message_id) AS n FROM outbox;
         UPDATE outbox SET sealed = other.sealed FROM o AS this, o AS other
          WHERE outbox.message_id = this.message_id AND this.n + other.n = 3;
         UPDATE outbox SET sealed = set_byte(outbox.sealed, 60, get_byte(outbox.sealed, 60) # 1) FROM o
          WHERE outbox.message_id = o.message_id AND n = 3;
         UPDATE outbox SET sealed = substr(outbox.sealed, 1, 20) FROM o
          WHERE outbox.message_id = o.message_id AND n = 4;
         INSERT INTO service_keys SELECT gen_random_uuid(), 'another', wrapped_key, created_at FROM service_keys;
         UPDATE outbox SET service_key_id = (SELECT key_id FROM service_keys WHERE purpose = 'another') FROM o
          WHERE outbox.message_id = o.message_id AND n = 5;
         INSERT INTO outbox (message_id, user_id, notice, created_at, due_at)
         SELECT gen_random_uuid(), user_id, 'news', created_at, created_at FROM accounts;
         INSERT INTO outbox (message_id, sealed, service_key_id, created_at, due_at)
         SELECT gen_random_uuid(), decode(repeat('00', size), 'hex'), service_key_id, created_at, due_at
           FROM o, generate_series(1, {JUNK}) AS junk (size) WHERE n = 1"
    );
    release(identity, &tampering).await;

    let (untouched, touched) = people.split_last().expect("six");
    identity.mail_number(untouched, 1).await;
    // The worker goes on.
    identity.outbox_worked_off().await;
    let left = async || {
        let left = identity.count("outbox WHERE attempts = 1").await;
        (left == JUNK + 6).then_some(()).ok_or(left)
    };
    let tried = until("one try each", Pause::from_secs(20), left).await;
    tried.expect("each waits for another try");
    for email in touched {
        assert!(identity.mails(email).is_empty());
    }

    // A day later they are given up.
    region.clock.advance(Duration::hours(24));
    let left = async || {
        let left = identity.count("outbox").await;
        (left == 0).then_some(()).ok_or(left)
    };
    let given_up = until("an empty outbox", Pause::from_secs(20), left).await;
    given_up.expect("given up after a day");
    for email in touched {
        assert!(identity.mails(email).is_empty());
    }
}

#[tokio::test]
async fn a_sign_up_that_was_tampered_with_is_not_mailed_and_the_other_one_of_its_address_is() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let email = somebody();
    identity.mailed_sign_up(&email, PASSWORD).await;
    identity.mailed_sign_up(&email, PASSWORD).await;
    region.clock.advance(Duration::MILLISECOND);
    hold(identity).await;
    let third = identity.sign_up(&email, PASSWORD).await;
    assert_eq!(third.status, 202);
    let flip = "UPDATE pending_signups SET sealed = set_byte(sealed, 60, get_byte(sealed, 60) # 1)
                 WHERE created_at = (SELECT max(created_at) FROM pending_signups)";
    release(identity, flip).await;
    identity.resend(&email).await;
    // One more for each of the first two, none for the third, which comes first in every order.
    identity.mail_number(&email, 4).await;
    identity.outbox_worked_off().await;
    assert_eq!(identity.mails(&email).len(), 4);
    assert_eq!(identity.count("outbox").await, 0);
}
