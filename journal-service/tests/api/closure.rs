//! `/internal/people`: closing, opening again and erasing a journal, for identity alone.

use std::{fs, sync::Arc};

use reqwest::{Client, Method};
use serde_json::json;
use shared::{
    clock::Clock,
    service_token::{BodyDigest, Operation, Signer},
};
use stack::Addresses;
use time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    import::{Upload, imported, long_file, until_it_is_stored},
    journal::{Answer, Journal, PATIENCE, database, draft, sent},
};

const NOTHING: &str = "{}";

/// A service that closes journals, or tries to.
#[derive(Clone)]
pub(crate) struct Closer {
    signer: Arc<Signer>,
    url: String,
    http: Client,
}

impl Closer {
    /// With the key of that service.
    pub(crate) fn named(service: &str) -> Self {
        let addresses = Addresses::of_the_test_run();
        let key = format!("secrets/{service}_service_key.pem");
        let pem = fs::read_to_string(addresses.stack_dir.join(key)).expect("a key");
        Self {
            signer: Arc::new(Signer::from_pem(service, &pem).expect("a key")),
            url: addresses.api.journal,
            http: Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    fn token(&self, method: &Method, path: &str) -> String {
        let operation = Operation::new(method.as_str(), path);
        let digest = BodyDigest::of(NOTHING.as_bytes());
        let now = Clock::system().now();
        self.signer.token_for("journal", &operation, digest, now)
    }

    async fn with(&self, token: &str, method: &Method, path: &str, body: &'static str) -> Answer {
        let request = self
            .http
            .request(method.clone(), format!("{}{path}", self.url))
            .bearer_auth(token)
            .header("Content-Type", "application/json");
        sent(request.body(body)).await
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        let token = self.token(&method, path);
        self.with(&token, &method, path, NOTHING).await
    }

    pub(crate) async fn close(&self, person: Uuid) -> Answer {
        self.ask(Method::PUT, &closure(person)).await
    }

    pub(crate) async fn reopen(&self, person: Uuid) -> Answer {
        self.ask(Method::DELETE, &closure(person)).await
    }

    pub(crate) async fn erase(&self, person: Uuid) -> Answer {
        self.ask(Method::DELETE, &rows(person)).await
    }
}

fn closure(person: Uuid) -> String {
    format!("/internal/people/{person}/closure")
}

fn rows(person: Uuid) -> String {
    format!("/internal/people/{person}")
}

pub(crate) fn closed() -> (u16, String) {
    (410, "account_closed".to_owned())
}

/// Rows of that person in every table, less the note that their journal is closed.
pub(crate) async fn left_of(person: Uuid) -> i64 {
    let db = database().await;
    let tables = "SELECT table_name::text FROM information_schema.columns
                  WHERE table_schema = 'public' AND column_name = 'user_id' AND table_name <> 'closed_journals'";
    let mut left = 0;
    for table in db
        .query(tables, &[])
        .await
        .expect("the catalog can be read")
    {
        let table: String = table.get(0);
        let sql = format!("SELECT count(*) FROM {table} WHERE user_id = $1::text::uuid");
        let row = db.query_one(&sql, &[&person.to_string()]).await;
        left += row.expect("a number").get::<_, i64>(0);
    }
    left
}

#[tokio::test]
async fn a_closed_journal_answers_its_own_person_nothing_until_it_is_opened_again() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    let bob = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    let other = bob.write(&draft("2026-11-24", "bob's")).await;
    let named = |title| {
        let request = ada.request(Method::POST, "");
        let request = request.json(&draft("2026-11-24", title));
        sent(request.header("Idempotency-Key", "named"))
    };
    assert_eq!(named("named").await.status, 201);
    // Twice: safe to repeat.
    for _ in 0..2 {
        assert_eq!(identity.close(ada.user_id).await.status, 204);
    }
    let changed = draft("2026-11-24", "after");
    for answer in [
        ada.create(&changed).await,
        named("named").await,
        named("another").await,
        ada.read(&id).await,
        ada.read("0198c0de-0000-7000-8000-00000000dead").await,
        ada.list("").await,
        ada.list("?after=AAAA").await,
        ada.replace(&id, &changed, None).await,
        ada.delete(&id, None).await,
        sent(ada.elsewhere(Method::GET, "/changes")).await,
        sent(ada.elsewhere(Method::GET, "/changes?since=AAAA")).await,
        sent(ada.elsewhere(Method::GET, "/export")).await,
        sent(ada.elsewhere(Method::GET, "/export?format=markdown")).await,
        imported(&ada, "?dry_run=true", Vec::new()).await,
        imported(&ada, "", Vec::new()).await,
    ] {
        assert_eq!(answer.problem(), closed(), "{}", answer.text);
    }
    assert_eq!(bob.read(&other).await.status, 200);
    bob.write(&changed).await;

    for _ in 0..2 {
        assert_eq!(identity.reopen(ada.user_id).await.status, 204);
    }
    assert_eq!(ada.read(&id).await.json()["title"], "before");
    ada.write(&changed).await;
}

/// Another replica closes it: here the key stays in memory, and only the database knows.
#[tokio::test]
async fn a_journal_that_another_replica_closed_takes_nothing_though_its_key_is_open_here() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    let named = |name: &'static str| {
        let request = ada.request(Method::POST, "");
        let request = request.json(&draft("2026-11-24", "named"));
        sent(request.header("Idempotency-Key", name))
    };
    assert_eq!(named("before").await.status, 201);
    let close = "INSERT INTO closed_journals (user_id, closed_at) VALUES ($1, now())";
    let closing = database().await.execute(close, &[&ada.user_id]).await;
    assert_eq!(closing.expect("another replica may"), 1);
    let mut about = draft("2026-11-24", "about a pillar");
    about["pillar_ids"] = serde_json::json!(["0198c0de-0000-7000-8000-00000000dead"]);
    for answer in [
        ada.create(&draft("2026-11-24", "after")).await,
        ada.create(&about).await,
        named("before").await,
        named("after").await,
        ada.read(&id).await,
    ] {
        assert_eq!(answer.problem(), closed(), "{}", answer.text);
    }
}

#[tokio::test]
async fn who_never_wrote_cannot_begin_once_their_journal_is_closed() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    assert_eq!(identity.close(ada.user_id).await.status, 204);
    assert_eq!(
        ada.create(&draft("2026-11-24", "first")).await.problem(),
        closed()
    );
    assert_eq!(ada.list("").await.problem(), closed());
    assert_eq!(left_of(ada.user_id).await, 0);
}

#[tokio::test]
async fn an_erased_journal_has_no_row_left_and_none_comes_back() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    let bob = Journal::of_a_new_person().await;
    for number in 0..3 {
        ada.write(&draft("2026-11-24", &format!("entry {number}")))
            .await;
    }
    let other = bob.write(&draft("2026-11-24", "bob's")).await;
    for _ in 0..2 {
        assert_eq!(identity.erase(ada.user_id).await.status, 204);
    }
    assert_eq!(left_of(ada.user_id).await, 0);
    // Her token still lives.
    for answer in [
        ada.create(&draft("2026-11-24", "again")).await,
        ada.list("").await,
        identity.reopen(ada.user_id).await,
    ] {
        assert_eq!(answer.problem(), closed());
    }
    assert_eq!(left_of(ada.user_id).await, 0);
    assert_eq!(bob.read(&other).await.status, 200);
}

#[tokio::test]
async fn a_long_journal_goes_in_steps_and_all_of_it() {
    let ada = Journal::of_a_new_person().await;
    ada.write(&draft("2026-11-24", "the first")).await;
    let copies = "INSERT INTO entries SELECT user_id, gen_random_uuid(), date, revision, created_at, updated_at,
                      title_sealed, body_sealed, details_sealed
                  FROM entries, generate_series(1, 450) WHERE user_id = $1::text::uuid";
    let db = database().await;
    let made = db.execute(copies, &[&ada.user_id.to_string()]).await;
    assert_eq!(made.ok(), Some(450));
    let identity = Closer::named("identity");
    assert_eq!(identity.erase(ada.user_id).await.status, 204);
    assert_eq!(left_of(ada.user_id).await, 0);
}

#[tokio::test]
async fn whatever_is_written_while_a_journal_is_erased_goes_too() {
    let identity = Closer::named("identity");
    for first in [true, false] {
        let ada = Journal::of_a_new_person().await;
        if !first {
            ada.write(&draft("2026-11-24", "before")).await;
        }
        let mut racing = JoinSet::new();
        for number in 0..16 {
            let (identity, ada) = (identity.clone(), ada.clone());
            racing.spawn(async move {
                if number == 7 {
                    return identity.erase(ada.user_id).await;
                }
                ada.create(&draft("2026-11-24", &format!("entry {number}")))
                    .await
            });
        }
        for answer in racing.join_all().await {
            let fine = matches!(answer.status, 201 | 204);
            assert!(fine || answer.problem() == closed(), "{}", answer.text);
        }
        assert_eq!(left_of(ada.user_id).await, 0, "first {first}");
    }
}

async fn backend(db: &tokio_postgres::Client) -> i32 {
    let row = db.query_one("SELECT pg_backend_pid()", &[]).await;
    row.expect("the connection's process").get(0)
}

async fn held_up_by(holder: i32) {
    let url = Addresses::of_the_test_run().database.journal;
    stack::database::somebody_waits_for(&url, holder).await;
}

#[tokio::test]
async fn an_entry_that_is_being_stored_is_waited_for_and_then_erased() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    ada.write(&draft("2026-11-24", "before")).await;
    // What storing an entry holds while it is under way.
    let mut db = database().await;
    let holder = backend(&db).await;
    let storing = db.transaction().await.expect("a transaction");
    let lock = "SELECT 1 FROM data_keys WHERE user_id = $1::text::uuid FOR KEY SHARE";
    storing
        .query(lock, &[&ada.user_id.to_string()])
        .await
        .expect("the lock");
    let copy = "INSERT INTO entries SELECT user_id, gen_random_uuid(), date, revision, created_at, updated_at,
                    title_sealed, body_sealed, details_sealed
                FROM entries WHERE user_id = $1::text::uuid";
    storing
        .execute(copy, &[&ada.user_id.to_string()])
        .await
        .expect("an entry");
    let (service, person) = (identity.clone(), ada.user_id);
    let erasing = tokio::spawn(async move { service.erase(person).await });
    held_up_by(holder).await;
    storing.commit().await.expect("committed");
    assert_eq!(erasing.await.expect("no panic").status, 204);
    assert_eq!(left_of(ada.user_id).await, 0);
}

#[tokio::test]
async fn an_entry_waits_for_an_erasure_that_is_under_way_and_is_not_stored_after_it() {
    let ada = Journal::of_a_new_person().await;
    ada.write(&draft("2026-11-24", "before")).await;
    let person = ada.user_id.to_string();
    let mut db = database().await;
    let holder = backend(&db).await;
    let erasing = db.transaction().await.expect("a transaction");
    for sql in [
        "INSERT INTO closed_journals (user_id, closed_at) VALUES ($1::text::uuid, now())",
        "DELETE FROM data_keys WHERE user_id = $1::text::uuid",
        "DELETE FROM change_counters WHERE user_id = $1::text::uuid",
        "DELETE FROM entries WHERE user_id = $1::text::uuid",
        "DELETE FROM changes WHERE user_id = $1::text::uuid",
    ] {
        erasing
            .execute(sql, &[&person])
            .await
            .expect("what erasing does");
    }
    // Her key is open, and nothing says yet that the journal is closed.
    let writer = ada.clone();
    let writing = tokio::spawn(async move { writer.create(&draft("2026-11-24", "late")).await });
    held_up_by(holder).await;
    erasing.commit().await.expect("committed");
    assert_eq!(writing.await.expect("no panic").problem(), closed());
    assert_eq!(left_of(ada.user_id).await, 0);
}

#[tokio::test]
async fn nobody_but_identity_closes_or_erases_anything() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "before")).await;
    let journal = Closer::named("journal");
    for answer in [
        journal.close(ada.user_id).await,
        journal.reopen(ada.user_id).await,
        journal.erase(ada.user_id).await,
    ] {
        assert_eq!(answer.problem(), (403, "forbidden".to_owned()));
    }
    // The person themselves, and identity's ordinary token.
    let identity = Closer::named("identity");
    let ordinary = identity.signer.token("journal", Clock::system().now());
    for (token, code) in [
        (ada.token(), "wrong_token_type"),
        (&ordinary, "service_token_not_bound"),
        ("nonsense", "invalid_service_token"),
    ] {
        for (method, path) in [
            (Method::PUT, closure(ada.user_id)),
            (Method::DELETE, closure(ada.user_id)),
            (Method::DELETE, rows(ada.user_id)),
        ] {
            let answer = identity.with(token, &method, &path, NOTHING).await;
            assert_eq!(answer.problem(), (401, code.to_owned()), "{method} {path}");
        }
    }
    // Neither does a service token read what people wrote.
    let reading = identity.token(&Method::GET, &format!("/api/entries/{id}"));
    for token in [&ordinary, &reading] {
        let request = ada.unauthenticated(Method::GET, &format!("/{id}"));
        let answer = sent(request.bearer_auth(token)).await;
        assert_eq!(answer.problem(), (401, "wrong_token_type".to_owned()));
    }
    assert_eq!(ada.read(&id).await.status, 200);
}

#[tokio::test]
async fn a_token_closes_one_journal_once() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    let bob = Journal::of_a_new_person().await;
    let id = bob.write(&draft("2026-11-24", "bob's")).await;
    let path = closure(ada.user_id);
    let token = identity.token(&Method::PUT, &path);
    let another = (401, "service_token_for_another_request".to_owned());
    for (method, path, body) in [
        (Method::PUT, closure(bob.user_id), NOTHING),
        (Method::DELETE, closure(ada.user_id), NOTHING),
        (Method::DELETE, rows(ada.user_id), NOTHING),
        (Method::PUT, closure(ada.user_id), "{ }"),
    ] {
        let answer = identity.with(&token, &method, &path, body).await;
        assert_eq!(answer.problem(), another, "{method} {path} {body}");
    }
    let mut uses = JoinSet::new();
    for _ in 0..8 {
        let (identity, token, path) = (identity.clone(), token.clone(), path.clone());
        uses.spawn(async move { identity.with(&token, &Method::PUT, &path, NOTHING).await });
    }
    let answers = uses.join_all().await;
    let done = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(done, 1);
    let spent = (401, "service_token_spent".to_owned());
    for answer in answers.iter().filter(|answer| answer.status != 204) {
        assert_eq!(answer.problem(), spent);
    }
    // Whoever kept it does not close again what was opened again.
    assert_eq!(identity.reopen(ada.user_id).await.status, 204);
    let answer = identity.with(&token, &Method::PUT, &path, NOTHING).await;
    assert_eq!(answer.problem(), spent);
    ada.write(&draft("2026-11-24", "still here")).await;
    assert_eq!(bob.read(&id).await.status, 200);

    let operation = Operation::new("PUT", &path);
    let digest = BodyDigest::of(NOTHING.as_bytes());
    let now = Clock::system().now();
    let stale =
        identity
            .signer
            .token_for("journal", &operation, digest, now - Duration::minutes(2));
    let answer = identity.with(&stale, &Method::PUT, &path, NOTHING).await;
    let expired = (401, "service_token_expired".to_owned());
    assert_eq!(answer.problem(), expired);
    let elsewhere = identity.signer.token_for("vault", &operation, digest, now);
    let answer = identity
        .with(&elsewhere, &Method::PUT, &path, NOTHING)
        .await;
    let invalid = (401, "invalid_service_token".to_owned());
    assert_eq!(answer.problem(), invalid);
}

#[tokio::test]
async fn what_is_no_id_or_no_empty_object_is_named() {
    let identity = Closer::named("identity");
    let path = "/internal/people/ada/closure";
    let answer = identity.ask(Method::PUT, path).await;
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    let ada = Journal::of_a_new_person().await;
    let path = closure(ada.user_id);
    let body = r#"{"now":true}"#;
    let digest = BodyDigest::of(body.as_bytes());
    let operation = Operation::new("PUT", &path);
    let now = Clock::system().now();
    let token = identity
        .signer
        .token_for("journal", &operation, digest, now);
    let answer = identity.with(&token, &Method::PUT, &path, body).await;
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    assert_eq!(ada.create(&json!({})).await.status, 400);
}

#[tokio::test]
async fn an_import_under_way_stores_nothing_in_a_journal_that_closes() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    ada.write(&draft("2026-11-24", "before")).await;
    let (most, rest) = long_file();
    let mut upload = Upload::begin(&ada, most.len() + rest.len()).await;
    upload.send(&most).await;
    until_it_is_stored(&ada).await;
    assert_eq!(identity.close(ada.user_id).await.status, 204);
    upload.send(&rest).await;
    let answer = upload.answer().await;
    assert!(answer.contains("account_closed"), "{answer}");
    assert_eq!(identity.reopen(ada.user_id).await.status, 204);
    assert_eq!(ada.entries().await.len(), 1);

    let mut upload = Upload::begin(&ada, most.len() + rest.len()).await;
    upload.send(&most).await;
    until_it_is_stored(&ada).await;
    assert_eq!(identity.erase(ada.user_id).await.status, 204);
    upload.send(&rest).await;
    let answer = upload.answer().await;
    assert!(answer.contains("account_closed"), "{answer}");
    assert_eq!(left_of(ada.user_id).await, 0);
}
