//! Each limit, attacked by a client that ignores it.

use std::time::Duration;

use shared::openapi;
use shared::serve::{ClientCertificates, Edge, Flow, Limits};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::api::service;
use crate::host::{Files, Host, PATIENCE, Raw, SHORT};

const HEAD: &str = "POST /notes HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n";

fn short(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

#[tokio::test]
async fn a_silent_tls_client_is_cut_off_at_the_handshake_limit() {
    let files = Files::make("silent_tls");
    let limits = short(|it| it.handshake = SHORT);
    let host = Host::tls(limits, &files, ClientCertificates::Ignored).await;
    assert_eq!(host.connect().await.closed().await, "");
}

#[tokio::test]
async fn a_client_that_never_sends_a_byte_is_cut_off_at_the_header_limit() {
    let host = Host::plain(short(|it| it.header = SHORT)).await;
    assert_eq!(host.connect().await.closed().await, "");
}

#[tokio::test]
async fn half_a_header_is_cut_off_at_the_header_limit() {
    let host = Host::plain(short(|it| it.header = SHORT)).await;
    let mut raw = host.connect().await;
    raw.send("GET /me HTTP/1.1\r\nHost: he").await;
    assert_eq!(raw.closed().await, "");
}

#[tokio::test]
async fn half_a_header_over_tls_is_cut_off_at_the_header_limit() {
    let files = Files::make("half_header_tls");
    let limits = short(|it| it.header = SHORT);
    let host = Host::tls(limits, &files, ClientCertificates::Ignored).await;
    for protocol in ["http/1.1", "h2"] {
        let mut raw = files
            .connect(host.address, None, protocol)
            .await
            .expect("TLS");
        raw.send(&"PRI * HTTP/2.0\r\n"[..8]).await;
        raw.closed().await;
    }
}

#[tokio::test]
async fn a_header_that_drips_does_not_gain_time_with_each_byte() {
    let host = Host::plain(short(|it| it.header = SHORT)).await;
    let mut raw = host.connect().await;
    let started = Instant::now();
    let long = format!("GET / HTTP/1.1\r\nX-Drip: {}", "x".repeat(10_000));
    let dripped = timeout(PATIENCE, raw.drip(&long, Duration::from_millis(10))).await;
    assert!(dripped.expect("it is cut off").is_err());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_second_header_of_a_connection_is_limited_like_the_first() {
    let host = Host::plain(short(|it| it.header = SHORT)).await;
    let mut raw = host.connect().await;
    raw.send("GET /peer HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(raw.answer().await.status(), 200);
    raw.send("GET /peer HTT").await;
    assert_eq!(raw.closed().await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_the_idle_limit_and_not_at_the_header_limit() {
    let host = Host::plain(short(|it| {
        it.header = Duration::from_millis(100);
        it.idle = Duration::from_millis(600);
    }))
    .await;
    let mut raw = host.connect().await;
    raw.send("GET /peer HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(raw.answer().await.status(), 200);
    let answered = Instant::now();
    assert_eq!(raw.closed().await, "");
    assert!(
        answered.elapsed() > Duration::from_millis(500),
        "{:?}",
        answered.elapsed()
    );
}

#[tokio::test]
async fn a_slow_handler_is_no_idle_connection() {
    let host = Host::plain(short(|it| {
        it.header = Duration::from_millis(50);
        it.idle = Duration::from_millis(50);
    }))
    .await;
    let mut raw = host.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: here\r\n\r\n").await;
    host.gate.entered.notified().await;
    // Longer than both limits: that nothing happens can only be seen by waiting.
    assert!(timeout(SHORT, raw.answer()).await.is_err());
    host.gate.leave.notify_one();
    assert_eq!(raw.answer().await.status(), 200);
}

#[tokio::test]
async fn a_body_that_drips_is_answered_with_408() {
    let host = Host::plain(short(|it| it.body = SHORT)).await;
    let mut raw = host.connect().await;
    raw.send(&format!("{HEAD}Content-Length: 1000\r\n\r\n{{\"ti"))
        .await;
    raw.answer().await.assert_problem(408, "request_timeout");
    let mut raw = host.connect().await;
    raw.send(&format!(
        "{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"ti"
    ))
    .await;
    raw.answer().await.assert_problem(408, "request_timeout");
}

#[tokio::test]
async fn a_body_that_declares_too_much_is_refused_before_it_is_sent() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    raw.send(&format!(
        "{HEAD}Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n"
    ))
    .await;
    raw.answer().await.assert_problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_chunked_body_is_refused_once_it_is_too_large() {
    let host = Host::plain(short(|it| it.body_bytes = 1024)).await;
    let mut raw = host.connect().await;
    raw.send(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"))
        .await;
    raw.send(&format!("401\r\n{}\r\n", "x".repeat(0x401))).await;
    raw.answer().await.assert_problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let host = Host::plain(short(|it| it.body_bytes = 1024)).await;
    let body = format!("{:1024}", r#"{"title": "exactly"}"#);
    assert_eq!(host.post("/notes", &body).await.status(), 201);
}

#[tokio::test]
async fn a_header_of_40_kib_is_refused() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    raw.send(&format!(
        "GET /peer HTTP/1.1\r\nHost: here\r\nX-Long: {}\r\n\r\n",
        "x".repeat(40 * 1024)
    ))
    .await;
    raw.answer().await.assert_problem(431, "header_too_large");
    assert_eq!(raw.closed().await, "");
}

#[tokio::test]
async fn sixty_five_header_fields_are_refused_and_sixty_four_are_not() {
    let host = Host::plain(Limits::default()).await;
    for (fields, status) in [(64, 200), (65, 431)] {
        let mut raw = host.connect().await;
        let others = "X-Field: x\r\n".repeat(fields - 2);
        raw.send(&format!(
            "GET /peer HTTP/1.1\r\nHost: here\r\n{others}Connection: close\r\n\r\n"
        ))
        .await;
        let answer = raw.answer().await;
        assert_eq!(answer.status(), status, "{answer:?}");
        answer.assert_secured();
    }
}

#[tokio::test]
async fn a_handler_that_never_ends_is_given_up() {
    let host = Host::plain(short(|it| it.total = SHORT)).await;
    host.get("/gate").await.assert_problem(504, "timed_out");
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_until_one_ends() {
    let host = Host::plain(short(|it| it.connections = 2)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = host.connect().await;
        raw.send("GET /peer HTTP/1.1\r\nHost: here\r\n\r\n").await;
        raw.answer().await;
        held.push(raw);
    }
    let mut flood: Vec<Raw<TcpStream>> = Vec::new();
    for _ in 0..20 {
        flood.push(host.connect().await);
    }
    let first = flood.first_mut().expect("there are 20");
    first
        .send("GET /peer HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        .await;
    // That nobody is served can only be seen by waiting.
    assert!(timeout(SHORT, first.answer()).await.is_err());
    held.pop();
    assert_eq!(first.answer().await.status(), 200);
}

#[tokio::test]
async fn a_flood_of_silent_connections_passes_by_itself() {
    let host = Host::plain(short(|it| {
        it.connections = 2;
        it.header = SHORT;
    }))
    .await;
    let mut flood = Vec::new();
    for _ in 0..10 {
        flood.push(host.connect().await);
    }
    assert_eq!(host.get("/peer").await.status(), 200);
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let host = Host::plain(short(|it| it.idle = SHORT)).await;
    for path in ["/endless", "/docs/swagger-ui-bundle.js"] {
        let mut raw = host.connect().await;
        // Answers that nobody reads fill the buffers of both sides; the second kind is sent in one piece.
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n");
        raw.send(&request.repeat(40)).await;
        let cut = timeout(PATIENCE, async {
            // Without a byte having been read, writing fails once the server has closed.
            while raw.drip("x", Duration::from_millis(20)).await.is_ok() {}
        });
        cut.await
            .unwrap_or_else(|_| panic!("{path} holds the connection"));
    }
}

#[tokio::test]
async fn a_client_that_takes_a_long_answer_is_not_cut_off() {
    let host = Host::plain(short(|it| {
        it.idle = SHORT;
        it.header = SHORT;
    }))
    .await;
    let mut raw = host.connect().await;
    raw.send("GET /endless HTTP/1.1\r\nHost: here\r\n\r\n")
        .await;
    let started = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    while started.elapsed() < 4 * SHORT {
        let read = timeout(PATIENCE, raw.0.read(&mut buffer)).await;
        assert!(read.expect("it goes on").expect("it is open") > 0);
    }
}

/// A listener that reads the bodies of one operation as they arrive.
async fn flowing(flow: Flow) -> Host {
    let api = service(&std::sync::Arc::default());
    let document = openapi::document(&api, &[], &[]);
    let edge = Edge::new(api, &document).with_flow("create_note", flow);
    let limits = short(|it| {
        it.body_bytes = 1024;
        it.held_bytes = 2048;
    });
    Host::serving(edge, limits).await
}

#[tokio::test]
async fn an_operation_may_read_longer_bodies_within_limits_of_its_own() {
    let flow = Flow {
        body: PATIENCE,
        total: PATIENCE,
        body_bytes: 8192,
    };
    let host = flowing(flow).await;
    let body = format!("{:8192}", r#"{"title": "exactly"}"#);
    assert_eq!(host.post("/notes", &body).await.status(), 201);
    // And no other operation with it.
    host.post("/kept", &body)
        .await
        .assert_problem(413, "payload_too_large");
    let declared = host.post("/notes", &format!("{body} ")).await;
    declared.assert_problem(413, "payload_too_large");
    let mut raw = host.connect().await;
    raw.send(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"))
        .await;
    raw.send(&format!("2001\r\n{body} \r\n0\r\n\r\n")).await;
    raw.answer().await.assert_problem(413, "payload_too_large");
}

#[tokio::test]
async fn a_body_that_is_read_as_it_arrives_has_its_time_too() {
    let flow = Flow {
        body: SHORT,
        total: PATIENCE,
        body_bytes: 8192,
    };
    let host = flowing(flow).await;
    let mut raw = host.connect().await;
    raw.send(&format!("{HEAD}Content-Length: 100\r\n\r\n{{\"ti"))
        .await;
    raw.answer().await.assert_problem(408, "request_timeout");
    let flow = Flow {
        body: PATIENCE,
        total: SHORT,
        ..flow
    };
    let host = flowing(flow).await;
    let mut raw = host.connect().await;
    raw.send(&format!("{HEAD}Content-Length: 100\r\n\r\n{{\"ti"))
        .await;
    raw.answer().await.assert_problem(504, "timed_out");
}
