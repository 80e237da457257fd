//! Somebody who can write to the journal's database changes what is there: nothing of it is ever shown, the
//! refusal is the designed one, and nobody else is affected.

use reqwest::Method;
use serde_json::{Value, json};
use stack::Addresses;
use uuid::Uuid;

use crate::journal::{Answer, Journal, connected, database, draft, log, sent};

const COLUMNS: [&str; 3] = ["title_sealed", "body_sealed", "details_sealed"];

fn id_of(text: &str) -> Uuid {
    text.parse().expect("an id is a UUID")
}

async fn attack(sql: &str, parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)]) {
    let changed = database()
        .await
        .execute(sql, parameters)
        .await
        .expect("the attack is valid SQL");
    assert_eq!(changed, 1, "the attack changed one row: {sql}");
}

/// The entry is refused by every operation that needs its text, and the log says which one it is.
async fn assert_unreadable(journal: &Journal, id: &str) {
    let unreadable = (409, "entry_unreadable".to_owned());
    let read = journal.read(id).await;
    assert_eq!(read.problem(), unreadable, "{}", read.text);
    assert_says_nothing(&read);
    let edited = journal
        .replace(id, &draft("2026-11-24", "instead"), None)
        .await;
    assert_eq!(edited.problem(), unreadable, "{}", edited.text);
    let page = journal.list("").await.json();
    let listed = |part: &str| {
        let ids = page[part]
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| entry["id"].as_str());
        ids.flatten().any(|listed| listed == id)
    };
    assert!(listed("unreadable") && !listed("entries"), "{page}");
    let log = log();
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["entry.id"] == id)
        .expect("the log names the entry");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["user.id"], journal.user_id.to_string());
}

fn assert_says_nothing(answer: &Answer) {
    for text in ["secret", "tampered", "commitment", "envelope", "wrong key"] {
        assert!(!answer.text.contains(text), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_row_of_another_person_does_not_open() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let adas = ada.write(&draft("2026-11-24", "ada's secret")).await;
    let bobs = bob.write(&draft("2026-11-24", "bob's secret")).await;
    let other = bob.write(&draft("2026-11-24", "bob's other secret")).await;
    attack(
        "UPDATE entries AS target SET title_sealed = source.title_sealed,
             body_sealed = source.body_sealed, details_sealed = source.details_sealed,
             created_at = source.created_at, updated_at = source.updated_at
         FROM entries AS source WHERE source.entry_id = $1 AND target.entry_id = $2",
        &[&id_of(&adas), &id_of(&bobs)],
    )
    .await;
    assert_unreadable(&bob, &bobs).await;
    // The whole row, under the other person's name and even with its own id.
    attack("DELETE FROM entries WHERE entry_id = $1", &[&id_of(&bobs)]).await;
    attack(
        "INSERT INTO entries SELECT $1, entry_id, date, revision, created_at, updated_at,
             title_sealed, body_sealed, details_sealed FROM entries WHERE entry_id = $2",
        &[&bob.user_id, &id_of(&adas)],
    )
    .await;
    assert_unreadable(&bob, &adas).await;
    assert_eq!(ada.read(&adas).await.json()["title"], "ada's secret");
    assert_eq!(bob.read(&other).await.json()["title"], "bob's other secret");
}

#[tokio::test]
async fn another_persons_data_key_opens_nothing() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let adas = ada.write(&draft("2026-11-24", "ada's secret")).await;
    let bobs = bob.write(&draft("2026-11-24", "bob's secret")).await;
    attack(
        "UPDATE data_keys SET wrapped_key = (SELECT wrapped_key FROM data_keys WHERE user_id = $1)
         WHERE user_id = $2",
        &[&ada.user_id, &bob.user_id],
    )
    .await;
    assert_eq!(
        bob.read(&bobs).await.problem(),
        (409, "journal_unreadable".to_owned())
    );
    assert_eq!(ada.read(&adas).await.status, 200);
}

#[tokio::test]
async fn columns_of_an_older_revision_do_not_open_in_a_newer_one() {
    let ada = Journal::of_a_new_person().await;
    for column in COLUMNS {
        let id = ada.write(&draft("2026-11-24", "first secret")).await;
        let select = format!("SELECT {column}, updated_at FROM entries WHERE entry_id = $1");
        let row = database()
            .await
            .query_one(&select, &[&id_of(&id)])
            .await
            .expect("the row is there");
        let old: Vec<u8> = row.get(0);
        let second = draft("2026-11-24", "second secret");
        assert_eq!(ada.replace(&id, &second, None).await.status, 200);
        attack(
            &format!("UPDATE entries SET {column} = $1 WHERE entry_id = $2"),
            &[&old, &id_of(&id)],
        )
        .await;
        assert_unreadable(&ada, &id).await;
    }
}

#[tokio::test]
async fn a_column_pasted_into_another_does_not_open() {
    let ada = Journal::of_a_new_person().await;
    for (from, to) in [
        ("title_sealed", "body_sealed"),
        ("body_sealed", "title_sealed"),
        ("details_sealed", "title_sealed"),
        ("title_sealed", "details_sealed"),
    ] {
        let id = ada.write(&draft("2026-11-24", "secret")).await;
        attack(
            &format!("UPDATE entries SET {to} = {from} WHERE entry_id = $1"),
            &[&id_of(&id)],
        )
        .await;
        assert_unreadable(&ada, &id).await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_sealed_column_is_refused() {
    let ada = Journal::of_a_new_person().await;
    let untouched = ada.write(&draft("2026-11-24", "untouched")).await;
    for column in COLUMNS {
        // Kind, suite, flags, generation, nonce, commitment, ciphertext, tag.
        for bit in [0, 8, 16, 24, 63, 64, 160, 416, 500, -1] {
            let id = ada.write(&draft("2026-11-24", "secret")).await;
            let position = if bit < 0 {
                format!("octet_length({column}) * 8 - 1")
            } else {
                bit.to_string()
            };
            let sql = format!(
                "UPDATE entries SET {column} =
                     set_bit({column}, {position}, 1 - get_bit({column}, {position}))
                 WHERE entry_id = $1"
            );
            attack(&sql, &[&id_of(&id)]).await;
            let read = ada.read(&id).await;
            assert_eq!(
                read.problem(),
                (409, "entry_unreadable".to_owned()),
                "{column} bit {bit}"
            );
            assert_says_nothing(&read);
        }
    }
    assert_eq!(ada.read(&untouched).await.json()["title"], "untouched");
    let page = ada.list("").await.json();
    assert_eq!(page["entries"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["unreadable"].as_array().map(Vec::len), Some(30));
}

#[tokio::test]
async fn cut_empty_or_foreign_bytes_are_refused() {
    let ada = Journal::of_a_new_person().await;
    for value in [
        "''",
        "'\\x00'",
        "substring(body_sealed for 67)",
        "body_sealed || '\\x00'",
        "decode(repeat('ff', 4096), 'hex')",
    ] {
        let id = ada.write(&draft("2026-11-24", "secret")).await;
        attack(
            &format!("UPDATE entries SET body_sealed = {value} WHERE entry_id = $1"),
            &[&id_of(&id)],
        )
        .await;
        assert_unreadable(&ada, &id).await;
    }
}

#[tokio::test]
async fn the_day_the_times_and_the_revision_in_clear_are_protected_too() {
    let ada = Journal::of_a_new_person().await;
    for change in [
        "date = date + 1",
        "created_at = created_at - interval '1 microsecond'",
        "updated_at = updated_at + interval '1 day'",
        "revision = revision + 1",
    ] {
        let id = ada.write(&draft("2026-11-24", "secret")).await;
        attack(
            &format!("UPDATE entries SET {change} WHERE entry_id = $1"),
            &[&id_of(&id)],
        )
        .await;
        assert_unreadable(&ada, &id).await;
    }
}

#[tokio::test]
async fn a_time_that_no_clock_shows_makes_its_entry_unreadable_and_nothing_else() {
    let ada = Journal::of_a_new_person().await;
    let untouched = ada.write(&draft("2026-11-24", "untouched")).await;
    for column in ["created_at", "updated_at"] {
        for time in ["infinity", "-infinity", "294276-01-01", "4713-01-01 BC"] {
            let id = ada.write(&draft("2026-11-24", "secret")).await;
            let change = format!(
                "UPDATE entries SET {column} = '{time}' WHERE entry_id = '{}'",
                id_of(&id)
            );
            let mut database = database().await;
            let refused = database.execute(&change, &[]).await.map_err(|e| {
                e.as_db_error()
                    .and_then(|e| e.constraint().map(str::to_owned))
            });
            assert_eq!(refused, Err(Some(format!("entries_{column}_check"))));
            past_the_check(&mut database, column, &change).await;
            assert_unreadable(&ada, &id).await;
            assert_eq!(
                ada.delete(&id, Some("\"2\"")).await.problem(),
                (412, "revision_conflict".to_owned())
            );
            assert_eq!(ada.read(&untouched).await.json()["title"], "untouched");
            let page = ada.list("").await.json();
            assert_eq!(page["entries"][0]["id"], untouched.as_str(), "{page}");
            assert_eq!(ada.delete(&id, Some("\"1\"")).await.status, 204);
        }
    }
    let page = ada.list("").await.json();
    assert_eq!(page["unreadable"], json!([]));
}

/// Who owns the table takes its check away, changes the row and puts the check back as it was.
async fn past_the_check(database: &mut tokio_postgres::Client, column: &str, change: &str) {
    let transaction = database.transaction().await.expect("a transaction");
    let check = format!("entries_{column}_check");
    let definition: String = transaction
        .query_one(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1",
            &[&check],
        )
        .await
        .expect("the check is there")
        .get(0);
    transaction
        .batch_execute(&format!(
            "ALTER TABLE entries DROP CONSTRAINT {check}; {change};
             ALTER TABLE entries ADD CONSTRAINT {check} {definition}"
        ))
        .await
        .expect("the owner may do that");
    transaction.commit().await.expect("it is committed");
}

#[tokio::test]
async fn an_entry_that_does_not_open_can_be_deleted() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "secret")).await;
    attack(
        "UPDATE entries SET title_sealed = body_sealed WHERE entry_id = $1",
        &[&id_of(&id)],
    )
    .await;
    assert_unreadable(&ada, &id).await;
    assert_eq!(ada.delete(&id, None).await.status, 204);
    assert_eq!(
        ada.list("").await.json(),
        json!({"entries": [], "unreadable": []})
    );
}

#[tokio::test]
async fn a_flipped_bit_in_the_wrapped_key_closes_this_journal_and_no_other() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let adas = ada.write(&draft("2026-11-24", "ada's secret")).await;
    let bobs = bob.write(&draft("2026-11-24", "bob's secret")).await;
    let closed = (409, "journal_unreadable".to_owned());
    let flip =
        "UPDATE data_keys SET wrapped_key = set_bit(wrapped_key, $2, 1 - get_bit(wrapped_key, $2))
                WHERE user_id = $1";
    // Kind, master key version, id, nonce, commitment, ciphertext, tag.
    for bit in [0_i64, 32, 64, 200, 300, 600, 927] {
        attack(flip, &[&ada.user_id, &bit]).await;
        for answer in [
            ada.read(&adas).await,
            ada.list("").await,
            ada.list("?after=AAAA").await,
            ada.create(&draft("2026-11-24", "more")).await,
            ada.replace(&adas, &draft("2026-11-24", "other"), None)
                .await,
        ] {
            assert_eq!(answer.problem(), closed, "bit {bit}: {}", answer.text);
            assert_says_nothing(&answer);
        }
        attack(flip, &[&ada.user_id, &bit]).await;
        assert_eq!(ada.read(&adas).await.status, 200, "bit {bit} flipped back");
    }
    assert_eq!(bob.read(&bobs).await.status, 200);
}

#[tokio::test]
async fn a_lost_data_key_is_told_and_never_replaced_behind_entries() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "secret")).await;
    attack("DELETE FROM data_keys WHERE user_id = $1", &[&ada.user_id]).await;
    let closed = (409, "journal_unreadable".to_owned());
    assert_eq!(ada.read(&id).await.problem(), closed);
    assert_eq!(ada.list("").await.problem(), closed);
    assert_eq!(
        ada.replace(&id, &draft("2026-11-24", "other"), None)
            .await
            .problem(),
        closed
    );
    assert_eq!(
        sent(ada.request(Method::GET, "?limit=1")).await.problem(),
        closed
    );
}

#[tokio::test]
async fn somebody_whose_slot_in_the_vault_is_damaged_is_not_told_to_try_again() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let vault = connected(&Addresses::of_the_test_run().database.vault).await;
    let flip =
        "UPDATE subjects SET sealed_salt = set_byte(sealed_salt, 50, get_byte(sealed_salt, 50) # 1)
                 WHERE subject = $1";
    let flipped = vault.execute(flip, &[&ada.user_id]).await;
    assert_eq!(flipped.expect("the slot"), 1);
    // Of somebody who has no key here yet: the vault is asked for one.
    let answer = ada.create(&draft("2026-11-24", "secret")).await;
    assert_eq!(answer.problem(), (409, "journal_unreadable".to_owned()));
    assert!(!answer.headers.contains_key("retry-after"));
    assert_says_nothing(&answer);
    bob.write(&draft("2026-11-24", "secret")).await;
    vault
        .execute(flip, &[&ada.user_id])
        .await
        .expect("the slot");
    ada.write(&draft("2026-11-24", "secret")).await;
}
