//! Migrations against a real Postgres: many replicas at once, and a migration that changed after it ran.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use shared::postgres::{Migration, Pool, migrate};
use shared::problem::Unexpected;
use tokio_postgres::types::Type;

const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "9001_counted.sql",
        sql: "CREATE TABLE counted (run int); INSERT INTO counted VALUES (1)",
    },
    Migration {
        name: "9002_counted.sql",
        sql: "INSERT INTO counted VALUES (2)",
    },
];

fn pool(database: &stack::database::Database) -> Pool {
    Pool::new(&SecretString::from(database.url())).expect("the harness gives a good URL")
}

async fn runs(pool: &Pool) -> Vec<i32> {
    let connection = pool.get().await.expect("a connection");
    let rows = connection
        .query_typed("SELECT run FROM counted ORDER BY run", &[])
        .await
        .expect("the table is there");
    rows.iter().map(|row| row.get("run")).collect()
}

#[tokio::test]
async fn ten_replicas_starting_at_once_migrate_once() {
    let database = stack::database::cloned("identity").await;
    let starts: Vec<_> = (0..10)
        .map(|_| {
            let own = pool(&database);
            tokio::spawn(async move { migrate(&own, MIGRATIONS).await })
        })
        .collect();
    for start in starts {
        start
            .await
            .expect("no panic")
            .expect("every replica starts");
    }
    assert_eq!(runs(&pool(&database)).await, [1, 2]);
}

#[tokio::test]
async fn a_migration_that_changed_after_it_ran_is_refused() {
    let database = stack::database::cloned("identity").await;
    let pool = pool(&database);
    migrate(&pool, MIGRATIONS).await.expect("the first run");
    let changed = Migration {
        sql: "INSERT INTO counted VALUES (3)",
        ..MIGRATIONS[1]
    };
    let refused = migrate(&pool, &[MIGRATIONS[0], changed])
        .await
        .expect_err("refused");
    assert!(
        refused.chain().contains("9002_counted.sql"),
        "{}",
        refused.chain()
    );
    assert_eq!(runs(&pool).await, [1, 2]);
}

#[tokio::test]
async fn a_failing_migration_leaves_nothing_behind() {
    let database = stack::database::cloned("identity").await;
    let pool = pool(&database);
    let broken = Migration {
        name: "9003_broken.sql",
        sql: "CREATE TABLE half (id int); SELECT no_such_function()",
    };
    migrate(&pool, &[MIGRATIONS[0], broken])
        .await
        .expect_err("refused");
    let left = pool
        .get()
        .await
        .expect("a connection")
        .query_typed_one(
            "SELECT count(*) FROM pg_tables WHERE tablename = ANY($1)",
            &[(&["counted", "half"].as_slice(), Type::TEXT_ARRAY)],
        )
        .await
        .expect("counted");
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_use_that_takes_too_long_is_cut_off_and_leaves_nothing_half_written() {
    let database = stack::database::cloned("identity").await;
    let pool = pool(&database);
    pool.get()
        .await
        .expect("a connection")
        .batch_execute("CREATE TABLE written (note text)")
        .await
        .expect("created");
    let started = Instant::now();
    let failed = half_a_transaction(&pool).await.expect_err("cut off");
    assert!(failed.is_unavailable(), "{}", failed.chain());
    let took = started.elapsed();
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(8)).contains(&took),
        "{took:?}"
    );
    // Sixteen at once: none of them is the one that was cut off.
    let mut lent = Vec::new();
    for _ in 0..16 {
        lent.push(pool.get().await.expect("a connection"));
    }
    for connection in &lent {
        let row = connection
            .query_typed_one("SELECT count(*) FROM written", &[])
            .await
            .expect("a good connection");
        assert_eq!(row.get::<_, i64>(0), 0);
    }
}

async fn half_a_transaction(pool: &Pool) -> Result<(), Unexpected> {
    let mut connection = pool.get().await?;
    let transaction = connection.transaction().await?;
    transaction
        .execute_typed("INSERT INTO written VALUES ('half')", &[])
        .await?;
    transaction.query_typed("SELECT pg_sleep(9)", &[]).await?;
    transaction.commit().await?;
    Ok(())
}

#[tokio::test]
async fn time_between_two_uses_does_not_count() {
    let database = stack::database::cloned("identity").await;
    let pool = pool(&database);
    let backend = async || {
        let connection = pool.get().await.expect("a connection");
        let row = connection
            .query_typed_one("SELECT pg_backend_pid()", &[])
            .await
            .expect("answered");
        row.get::<_, i32>(0)
    };
    let first = backend().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(backend().await, first);
}

#[tokio::test]
async fn a_row_that_breaks_a_constraint_is_not_in_the_log() {
    let database = stack::database::cloned("identity").await;
    let pool = pool(&database);
    let connection = pool.get().await.expect("a connection");
    connection
        .batch_execute("CREATE TABLE kept (secret text UNIQUE, number int CHECK (number > 0))")
        .await
        .expect("created");
    for (row, code) in [
        ("('sesame', 1), ('sesame', 2)", "23505"),
        ("('sesame', -1)", "23514"),
        ("('x', 'sesame')", "22P02"),
    ] {
        let failed = connection
            .execute_typed(&format!("INSERT INTO kept VALUES {row}"), &[])
            .await
            .expect_err("refused");
        let chain = Unexpected::from(failed).chain();
        assert!(!chain.contains("sesame"), "{chain}");
        assert!(chain.contains(code), "{chain}");
    }
}
