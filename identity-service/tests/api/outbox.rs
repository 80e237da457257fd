//! Waiting mail that somebody with access to the database has touched: never sent, and in nobody's way.

use std::time::Duration as Pause;

use stack::until;
use time::Duration;

use crate::{
    accounts::{PASSWORD, somebody},
    replica::{Region, Replica},
    service::{PATIENCE, Service},
};

/// More than the worker could skip in time if each of them made it pause.
const JUNK: i64 = 40;

impl Region {
    /// Stops its only service, and waits until that does nothing in the database any more.
    pub(crate) async fn stopped(&self, replica: Replica) {
        drop(replica);
        let db = self.database().await;
        let gone = async || {
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                          AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
            let others: i64 = db.query_one(sql, &[]).await.expect("a count").get(0);
            (others == 0).then_some(()).ok_or(others)
        };
        let gone = until("the end of a service", PATIENCE, gone).await;
        gone.expect("it leaves the database");
    }
}

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

#[tokio::test]
async fn a_message_that_another_replica_is_at_is_left_to_it_and_holds_up_no_other() {
    let region = Region::new().await;
    let first = region.start().await;
    first.service.person().await;
    region.stopped(first).await;
    let mut db = region.database().await;
    let waiting = "INSERT INTO outbox (message_id, user_id, notice, created_at, due_at)
                   SELECT gen_random_uuid(), user_id, 'mfa_enabled', created_at, created_at FROM accounts";
    assert_eq!(db.execute(waiting, &[]).await.ok(), Some(1));
    let acting = db.transaction().await.expect("a transaction");
    let locked = acting.execute("SELECT FROM outbox FOR UPDATE", &[]).await;
    assert_eq!(locked.ok(), Some(1));
    let second = region.start().await;
    second.service.person().await;
    acting.rollback().await.expect("rolled back");
    second.service.outbox_empties().await;
}

#[tokio::test]
async fn every_further_try_waits_twice_as_long_and_none_longer_than_about_four_hours() {
    let region = Region::new().await;
    let replica = region.start().await;
    replica.service.person().await;
    let db = region.database().await;
    let now = region.clock.now();
    // They do not open, so each try fails.
    let broken =
        "INSERT INTO outbox (message_id, sealed, service_key_id, created_at, due_at, attempts)
                  SELECT gen_random_uuid(), '\\x00', key_id, $1, $1, attempts
                    FROM service_keys, unnest(ARRAY[0, 1, 6, 7, 8, 1000]) AS attempts";
    assert_eq!(db.execute(broken, &[&now]).await.ok(), Some(6));
    let waits = async || {
        let sql = "SELECT attempts, extract(epoch FROM due_at - $1)::bigint FROM outbox ORDER BY attempts";
        let rows = db.query(sql, &[&now]).await.expect("the table");
        let waits = rows.iter().map(|row| (row.get(0), row.get(1)));
        waits.collect::<Vec<(i64, i64)>>()
    };
    let tried = async || {
        let waits = waits().await;
        let all = waits.iter().all(|(_, wait)| *wait > 0);
        all.then_some(()).ok_or_else(|| format!("{waits:?}"))
    };
    let tried = until("a try of each", PATIENCE, tried).await;
    tried.expect("the worker tries them");
    let longest = 15_360;
    let expected = [
        (1, 120),
        (2, 240),
        (7, 7_680),
        (8, longest),
        (9, longest),
        (1_001, longest),
    ];
    assert_eq!(waits().await, expected);
}
