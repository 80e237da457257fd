//! An answer that comes before the end of the request reaches even a client that sends all of it first.

use std::time::Duration;

use shared::serve::{ClientCertificates, Limits};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::host::{Files, Host, PATIENCE, Raw};

/// More than the buffers of both sides take, so that the server must read for the client to finish.
const LONG: usize = 6 << 20;

#[tokio::test]
async fn a_client_that_sends_its_whole_body_first_still_reads_the_answer() {
    let host = Host::plain(Limits::default()).await;
    let length = format!("Content-Length: {LONG}");
    for (path, framing, status, code) in [
        ("/notes", length.as_str(), 413, "payload_too_large"),
        (
            "/notes",
            "Transfer-Encoding: chunked",
            413,
            "payload_too_large",
        ),
        ("/nowhere", length.as_str(), 404, "not_found"),
        ("/peer", length.as_str(), 405, "method_not_allowed"),
        ("/mine", "Transfer-Encoding: chunked", 401, "unauthorized"),
    ] {
        let mut raw = host.connect().await;
        send_all(&mut raw, path, framing).await;
        raw.answer().await.assert_problem(status, code);
    }
}

#[tokio::test]
async fn an_answer_that_ends_its_connection_says_so_and_one_that_does_not_keeps_it() {
    let host = Host::plain(Limits::default()).await;
    let head = |path: &str, framing: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
        )
    };
    for path in ["/nowhere", "/peer", "/mine"] {
        for framing in [
            "Content-Length: 2",
            "Content-Length: 6000000",
            "Transfer-Encoding: chunked",
            "Content-Length: 2\r\nExpect: 100-continue",
        ] {
            // The body is still to come.
            let mut raw = host.connect().await;
            raw.send(&head(path, framing)).await;
            let answer = raw.answer().await;
            assert!(answer.status() >= 400, "{path}");
            assert_eq!(answer.field("connection"), Some("close"), "{framing}");
            raw.closed().await;
        }
        // It has come.
        let mut raw = host.connect().await;
        for _ in 0..3 {
            let whole = format!("{}{{}}", head(path, "Content-Length: 2"));
            raw.send(&whole).await;
            let answer = raw.answer().await;
            assert!(answer.status() >= 400, "{path}");
            assert_eq!(answer.field("connection"), None);
        }
    }
}

#[tokio::test]
async fn a_chunked_body_that_was_read_keeps_its_connection() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    for _ in 0..3 {
        let head = header("/notes", "Transfer-Encoding: chunked");
        let body = r#"{"text":"a note"}"#;
        raw.send(&format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
            .await;
        let answer = raw.answer().await;
        assert_eq!(answer.field("connection"), None, "{answer:?}");
    }
}

#[tokio::test]
async fn so_does_one_that_speaks_tls() {
    let files = Files::make("linger");
    let host = Host::tls(Limits::default(), &files, ClientCertificates::Ignored).await;
    let mut raw = files
        .connect(host.address, None, "http/1.1")
        .await
        .expect("TLS");
    send_all(&mut raw, "/notes", &format!("Content-Length: {LONG}")).await;
    raw.answer().await.assert_problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_cut_off() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    raw.send(&header("/notes", "Content-Length: 1000000000"))
        .await;
    let started = Instant::now();
    let filling = vec![b' '; 64 * 1024];
    let mut sent = 0;
    let sending = async {
        while raw.0.write_all(&filling).await.is_ok() {
            sent += filling.len();
        }
    };
    timeout(PATIENCE, sending).await.expect("it is cut off");
    assert!(started.elapsed() < Duration::from_secs(5));
    // Twice the longest body, and what the kernel keeps for both sides.
    assert!(sent < 40 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_client_that_drips_or_keeps_its_side_open_loses_its_place_soon() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let host = Host::plain(limits).await;
    for pause in [Duration::from_millis(50), PATIENCE] {
        let mut raw = host.connect().await;
        raw.send(&header("/notes", "Content-Length: 1000000000"))
            .await;
        raw.answer().await.assert_problem(413, "payload_too_large");
        let dripping = tokio::spawn(async move { raw.drip(&" ".repeat(200), pause).await });
        let started = Instant::now();
        assert_eq!(host.get("/peer").await.status(), 200);
        assert!(started.elapsed() < Duration::from_secs(5));
        dripping.abort();
    }
}

fn header(path: &str, framing: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    )
}

/// The whole request, before a byte of the answer is read.
async fn send_all<S: AsyncRead + AsyncWrite + Unpin>(raw: &mut Raw<S>, path: &str, framing: &str) {
    raw.send(&header(path, framing)).await;
    if framing.starts_with("Content-Length") {
        return raw.send(&" ".repeat(LONG)).await;
    }
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..LONG / 0x10000 {
        raw.send(&chunk).await;
    }
    raw.send("0\r\n\r\n").await;
}
