//! How much memory clients can make a service hold, however many they are.

use std::sync::LazyLock;
use std::time::Duration;

use shared::serve::Limits;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::host::{Host, PATIENCE, Raw, SHORT, ran_alone};

const MIB: usize = 1 << 20;

/// What every attacker sends: one buffer for all, so that it is the server's memory that is measured.
static FILLING: LazyLock<Vec<u8>> = LazyLock::new(|| vec![b' '; MIB]);

#[tokio::test]
async fn a_stranger_is_refused_before_a_byte_of_their_body_is_read() {
    let host = Host::plain(Limits::default()).await;
    for framing in [
        "Content-Length: 60000",
        "Content-Length: 60000\r\nExpect: 100-continue",
        "Transfer-Encoding: chunked",
    ] {
        let mut raw = host.connect().await;
        raw.send(&header("/mine", framing)).await;
        raw.answer().await.assert_problem(401, "unauthorized");
    }
    let mut raw = host.connect().await;
    let framing = "Authorization: Bearer ada\r\nContent-Length: 2\r\nExpect: 100-continue";
    raw.send(&header("/mine", framing)).await;
    assert!(
        raw.answer().await.header.starts_with("HTTP/1.1 100 "),
        "the same request of somebody known: now the body is wanted"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_bodies_at_once_hold_no_more_than_the_budget() {
    if ran_alone("memory::two_hundred_bodies_at_once_hold_no_more_than_the_budget") {
        return;
    }
    let limits = Limits {
        body_bytes: 2 * MIB,
        held_bytes: 8 * MIB,
        ..Limits::default()
    };
    let host = Host::plain(limits).await;
    let idle = peak();
    let mut clients = JoinSet::new();
    for _ in 0..200 {
        let mut raw = host.connect().await;
        clients.spawn(async move {
            // One byte short of what is declared: the server has to wait for the last one.
            let length = format!("Content-Length: {}", MIB + 1);
            raw.send(&header("/notes", &length)).await;
            let _ = raw.0.write_all(&FILLING).await;
            let answer = timeout(Duration::from_secs(2), raw.answer()).await;
            (raw, answer.ok())
        });
    }
    let (mut waiting, mut refused) = (Vec::new(), 0);
    while let Some(client) = clients.join_next().await {
        match client.expect("no client panics") {
            (raw, None) => waiting.push(raw),
            (_, Some(answer)) => {
                answer.assert_problem(503, "overloaded");
                assert_eq!(answer.field("retry-after"), Some("1"));
                refused += 1;
            }
        }
    }
    assert!(waiting.len() < 8 && refused > 192, "{}", waiting.len());
    let grown = peak() - idle;
    assert!(grown < 64 * MIB, "{} MiB for a budget of 8", grown / MIB);
    drop(waiting);
    is_free_again(&host).await;
}

#[tokio::test]
async fn a_body_counts_until_its_request_is_answered() {
    let limits = Limits {
        held_bytes: 40_000,
        ..Limits::default()
    };
    let host = Host::plain(limits).await;
    let body = format!("{:30000}", r#"{"title": "kept"}"#);
    let mut first = host.connect().await;
    let length = format!("Content-Length: {}", body.len());
    first.send(&header("/kept", &length)).await;
    first.send(&body).await;
    host.gate.entered.notified().await;
    host.post("/notes", &body)
        .await
        .assert_problem(503, "overloaded");
    assert_eq!(
        host.post("/notes", r#"{"title":"small"}"#).await.status(),
        201
    );
    host.gate.leave.notify_one();
    assert_eq!(first.answer().await.status(), 200);
    assert_eq!(host.post("/notes", &body).await.status(), 201);
}

#[tokio::test]
async fn what_is_declared_and_not_sent_costs_nobody_else_anything() {
    let limits = Limits {
        held_bytes: 64 * 1024,
        ..Limits::default()
    };
    let host = Host::plain(limits).await;
    let mut declaring = Vec::new();
    for _ in 0..100 {
        let mut raw = host.connect().await;
        raw.send(&header("/notes", "Content-Length: 65536")).await;
        declaring.push(raw);
    }
    is_free_again(&host).await;
}

#[tokio::test]
async fn headers_count_as_bodies_do() {
    let limits = Limits {
        held_bytes: 64 * 1024,
        ..Limits::default()
    };
    let host = Host::plain(limits).await;
    let long = format!("X-Long: {}\r\nContent-Length: 9", "x".repeat(20_000));
    let mut waiting: Vec<Raw<TcpStream>> = Vec::new();
    for _ in 0..3 {
        let mut raw = host.connect().await;
        raw.send(&header("/kept", &long)).await;
        waiting.push(raw);
    }
    // Nothing says when the three are in, so ask until the next one is not.
    let refused = async {
        loop {
            let mut raw = host.connect().await;
            raw.send(&header("/notes", &format!("{long}\r\nConnection: close")))
                .await;
            if let Ok(answer) = timeout(SHORT, raw.answer()).await {
                return answer;
            }
        }
    };
    let refused = timeout(PATIENCE, refused).await.expect("the fourth");
    refused.assert_problem(503, "overloaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_pieces_of_a_byte_costs_what_one_in_one_piece_costs() {
    if ran_alone("memory::a_body_in_pieces_of_a_byte_costs_what_one_in_one_piece_costs") {
        return;
    }
    let host = Host::plain(Limits::default()).await;
    let idle = peak();
    let mut waiting = Vec::new();
    for _ in 0..32 {
        let mut raw = host.connect().await;
        raw.send(&header("/notes", "Transfer-Encoding: chunked"))
            .await;
        raw.send(&"1\r\n \r\n".repeat(60_000)).await;
        // What the server has read it has taken into its buffers; the rest of the body never comes.
        assert!(timeout(SHORT, raw.answer()).await.is_err());
        waiting.push(raw);
    }
    let grown = peak() - idle;
    assert!(grown < 24 * MIB, "{} MiB for bodies of 2 MiB", grown / MIB);
}

fn header(path: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{more}\r\n\r\n"
    )
}

/// The server notices by and by that clients have left.
async fn is_free_again(host: &Host) {
    let body = format!("{:40000}", r#"{"title": "again"}"#);
    let served = async {
        while host.post("/notes", &body).await.status() != 201 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, served).await.expect("it is free again");
}

/// The most memory that this process ever had in RAM, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    let kib = line.and_then(|it| it.split_whitespace().next());
    kib.expect("a size").parse::<usize>().expect("a number") * 1024
}
