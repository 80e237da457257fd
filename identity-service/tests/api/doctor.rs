//! What `doctor` says about faults of every kind.

use std::{
    collections::HashMap,
    process::Output,
    time::{Duration, Instant},
};

use shared::{
    clock::Clock,
    doctor::{self, Finding},
};
use stack::{
    Redis, RedisCluster,
    smtp_sink::{Misbehaviour, SmtpSink},
};

use crate::{accounts::somebody, replica::Region};

const CHECKS: [&str; 10] = [
    "settings",
    "database",
    "database clock",
    "redis",
    "vault",
    "vault clock",
    "secret",
    "signing keys",
    "mail",
    "outbox",
];

/// The Postgres of tests keeps nothing beyond a crash, and the doctor says so.
const CARELESS: (&str, &str, &str) = ("database", "warn", "off in Postgres");

/// What it found: word and text by check.
struct Diagnosis {
    code: Option<i32>,
    lines: HashMap<String, (String, String)>,
    all: String,
}

impl Diagnosis {
    fn read(output: &Output) -> Self {
        let all = String::from_utf8(output.stdout.clone()).expect("text");
        let line = |line: &str| {
            let (word, rest) = line.split_at(6);
            let (name, text) = rest.split_at(16);
            let of = |part: &str| part.trim().to_owned();
            (of(name), (of(word), of(text)))
        };
        Self {
            code: output.status.code(),
            lines: all.lines().map(line).collect(),
            all,
        }
    }

    fn of(&self, check: &str) -> (&str, &str) {
        let (word, text) = &self.lines[check];
        (word, text)
    }

    /// All is well but these, each with a word that its line must hold.
    fn expect(&self, code: i32, wrong: &[(&str, &str, &str)]) {
        assert_eq!(self.lines.len(), CHECKS.len(), "{}", self.all);
        for check in CHECKS {
            let (word, text) = self.of(check);
            let mut expected = wrong.iter().chain([&CARELESS]);
            let expected = expected.find(|(name, ..)| *name == check);
            let (_, expected, part) = expected.unwrap_or(&("", "ok", ""));
            assert!(
                word == *expected && text.contains(part),
                "{check}: {}",
                self.all
            );
            assert_eq!(text.contains(" -> "), word != "ok", "{}", self.all);
        }
        assert_eq!(self.code, Some(code), "{}", self.all);
    }
}

async fn examined(region: &Region) -> Diagnosis {
    Diagnosis::read(&region.run(&["doctor"]).await)
}

/// A region whose service has run, so that there are signing keys.
async fn region_that_ran(settings: &[(&str, &str)]) -> Region {
    let region = Region::with(settings).await;
    drop(region.start().await);
    region
}

async fn change(region: &Region, sql: &str) {
    let db = region.database().await;
    db.batch_execute(sql).await.expect("the change is made");
}

#[tokio::test]
async fn where_all_is_well_every_check_says_so_and_none_repeats_a_secret() {
    let region = region_that_ran(&[]).await;
    let diagnosis = examined(&region).await;
    diagnosis.expect(0, &[]);
    let secret = region.secret().trim_start_matches("v1:");
    assert!(!diagnosis.all.contains(secret));
}

#[tokio::test]
async fn what_a_first_start_will_do_by_itself_is_no_failure_and_the_doctor_does_none_of_it() {
    let region = Region::new().await;
    change(&region, "ALTER TABLE migrations RENAME TO before").await;
    for _ in 0..2 {
        examined(&region).await.expect(
            0,
            &[
                ("database", "warn", "0001_accounts.sql"),
                ("signing keys", "warn", "none yet"),
            ],
        );
    }
}

#[tokio::test]
async fn without_the_database_the_rest_is_told_all_the_same() {
    let mut region = region_that_ran(&[]).await;
    region.set(
        "DATABASE_URL",
        "postgres://identity:hunter2@127.0.0.1:1/none",
    );
    let diagnosis = examined(&region).await;
    diagnosis.expect(
        1,
        &[
            ("database", "FAIL", "DATABASE_URL"),
            ("database clock", "warn", "see the check before"),
            ("secret", "FAIL", "cannot be told"),
            ("signing keys", "FAIL", "cannot be told"),
            ("outbox", "FAIL", "cannot be told"),
        ],
    );
    assert!(!diagnosis.all.contains("hunter2"), "{}", diagnosis.all);
}

#[tokio::test]
async fn a_schema_of_another_program_is_told() {
    let region = region_that_ran(&[]).await;
    change(
        &region,
        "INSERT INTO migrations (name, checksum) VALUES ('9999_new.sql', '')",
    )
    .await;
    examined(&region)
        .await
        .expect(0, &[("database", "warn", "newer program: 9999_new.sql")]);
    change(
        &region,
        "UPDATE migrations SET checksum = '' WHERE name LIKE '0002%'",
    )
    .await;
    examined(&region)
        .await
        .expect(1, &[("database", "FAIL", "0002_sessions.sql")]);
}

#[tokio::test]
async fn a_redis_that_is_away_or_silent_is_told_in_time() {
    let mut region = region_that_ran(&[]).await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("it is bound").port();
    for port in [1, silent] {
        region.set("REDIS_URL", format!("redis://:hunter2@127.0.0.1:{port}"));
        let begun = Instant::now();
        let diagnosis = examined(&region).await;
        diagnosis.expect(1, &[("redis", "FAIL", "REDIS_URL")]);
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(!diagnosis.all.contains("hunter2"), "{}", diagnosis.all);
    }
}

#[tokio::test]
async fn a_redis_that_forgets_counts_when_it_is_full_is_told_be_it_one_master_of_three() {
    let mut region = region_that_ran(&[]).await;
    let single = Redis::for_a_test("").await.expect("redis starts");
    let cluster = RedisCluster::for_a_test().await.expect("a cluster starts");
    for (url, node, well) in [
        (single.url(), &single, "and counts"),
        (
            cluster.url(),
            &cluster.nodes()[2],
            "a cluster of 3 masters that all answer",
        ),
    ] {
        region.set("REDIS_URL", url);
        let diagnosis = examined(&region).await;
        diagnosis.expect(0, &[("redis", "ok", well)]);
        for (policy, word) in [("volatile-ttl", "ok"), ("allkeys-lru", "warn")] {
            let set = format!("CONFIG SET maxmemory-policy {policy}");
            node.command(&set).await.expect("redis takes it");
            let diagnosis = examined(&region).await;
            let part = if word == "ok" { well } else { "noeviction" };
            diagnosis.expect(0, &[("redis", word, part)]);
        }
    }
}

#[tokio::test]
async fn a_vault_that_is_away_and_one_that_refuses_are_told_apart() {
    let mut region = region_that_ran(&[]).await;
    let folder = stack::Addresses::of_the_test_run().stack_dir;
    let file = |name: &str| folder.join(name).display().to_string();
    region.set("SERVICE_KEY_FILE", file("secrets/journal_service_key.pem"));
    let unopened = ("signing keys", "FAIL", "invalid_service_token");
    let refused = (
        "vault",
        "FAIL",
        "refuses this service: invalid_service_token",
    );
    examined(&region).await.expect(1, &[refused, unopened]);
    region.set("VAULT_URL", "https://127.0.0.1:1/");
    examined(&region).await.expect(
        1,
        &[
            ("vault", "FAIL", "VAULT_URL"),
            ("vault clock", "warn", "see the check before"),
            ("signing keys", "warn", "see the check of the vault"),
        ],
    );
}

#[tokio::test]
async fn clocks_that_disagree_are_told_by_whichever_knows_the_time() {
    let region = Region::new().await;
    for (hours, direction) in [(1, "behind"), (-1, "ahead of")] {
        let now = Clock::system().now();
        let wrong = || Clock::manual(now + time::Duration::hours(hours));
        for finding in [
            doctor::clock_of_vault(region.vault_client(), wrong()).await,
            doctor::clock_of_postgres(region.pool(), wrong()).await,
        ] {
            let told = finding.to_string();
            assert!(matches!(finding, Finding::Failure { .. }), "{told}");
            assert!(told.contains(direction) && told.contains("NTP"), "{told}");
        }
        let refused = doctor::vault(region.vault_client(), wrong()).await;
        assert!(matches!(refused, Finding::Failure { .. }), "{refused}");
    }
    let right = doctor::clock_of_vault(region.vault_client(), Clock::system()).await;
    assert!(matches!(right, Finding::Ok(_)), "{right}");
}

#[tokio::test]
async fn the_states_of_the_signing_keys_are_told() {
    for (sql, code, word, part) in [
        (
            "UPDATE signing_keys SET activated_at = activated_at - interval '31 days'",
            0,
            "warn",
            "more than 30 days",
        ),
        (
            "DELETE FROM signing_keys WHERE state = 'next'",
            0,
            "warn",
            "none waits",
        ),
        (
            "UPDATE signing_keys SET state = 'retired', retired_at = now() WHERE state = 'active'",
            1,
            "FAIL",
            "none is active",
        ),
        (
            "UPDATE signing_keys SET sealed_seed = set_byte(sealed_seed, 60, get_byte(sealed_seed, 60) # 1)
             WHERE state = 'active'",
            1,
            "FAIL",
            "does not open",
        ),
    ] {
        let region = region_that_ran(&[]).await;
        change(&region, sql).await;
        examined(&region).await.expect(code, &[("signing keys", word, part)]);
    }
}

#[tokio::test]
async fn a_mail_server_is_greeted_and_shown_the_password_and_given_no_mail() {
    let sink = SmtpSink::start().await.expect("a free port");
    let port = sink.port().to_string();
    let region = region_that_ran(&[
        ("MAIL_DIR", ""),
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", &port),
        ("SMTP_TLS", "none"),
        ("SMTP_USER", "keystead"),
        ("SMTP_PASSWORD", "hunter2"),
    ])
    .await;
    let said = |word: &str| sink.lines().iter().any(|line| line.text.starts_with(word));
    examined(&region)
        .await
        .expect(0, &[("mail", "ok", "takes the password")]);
    assert!(said("EHLO") && said("AUTH") && said("QUIT") && !said("MAIL"));

    for (word, how, part) in [
        ("AUTH", Misbehaviour::Say("535 5.7.8 no"), "it answers 535"),
        ("", Misbehaviour::Say("554 5.7.1 not you"), "it answers 554"),
        ("EHLO", Misbehaviour::HangUp, "SMTP_HOST"),
        ("", Misbehaviour::Hang, "too long"),
    ] {
        sink.behave();
        sink.misbehave(word, how);
        let begun = Instant::now();
        let diagnosis = examined(&region).await;
        diagnosis.expect(1, &[("mail", "FAIL", part)]);
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(!diagnosis.all.contains("hunter2"), "{}", diagnosis.all);
    }
    assert!(sink.mails().is_empty());
}

#[tokio::test]
async fn a_folder_for_mail_that_takes_no_file_is_told_and_one_that_does_is_left_as_it_was() {
    let mut region = region_that_ran(&[]).await;
    examined(&region).await.expect(0, &[]);
    assert!(region.mail_files().is_empty());
    // Nobody can write there, not even root.
    region.set("MAIL_DIR", "/proc/mail");
    examined(&region)
        .await
        .expect(1, &[("mail", "FAIL", "MAIL_DIR")]);
}

#[tokio::test]
async fn mail_that_has_waited_for_long_is_told() {
    let region = Region::new().await;
    let running = region.start().await;
    running
        .service
        .account(&somebody(), crate::accounts::PASSWORD)
        .await;
    drop(running);
    let queue = |age: &str| {
        format!(
            "INSERT INTO outbox (message_id, user_id, notice, created_at, due_at, attempts)
             SELECT gen_random_uuid(), user_id, 'mfa_enabled', now() - interval '{age}', now() + interval '1 day', 4
             FROM accounts"
        )
    };
    change(&region, &queue("5 minutes")).await;
    examined(&region)
        .await
        .expect(0, &[("outbox", "ok", "1 wait, the oldest for 5 min")]);
    change(&region, &queue("20 minutes")).await;
    examined(&region)
        .await
        .expect(0, &[("outbox", "warn", "tried up to 4 times")]);
}
