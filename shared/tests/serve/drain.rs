//! The end: what is in flight is finished, what is stuck does not hold the process up.

use std::time::Duration;

use shared::serve::Limits;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::host::{Host, SHORT};

#[tokio::test]
async fn a_request_in_flight_is_answered_and_then_the_loop_ends() {
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: here\r\n\r\n").await;
    host.gate.entered.notified().await;
    host.request_shutdown();
    host.gate.leave.notify_one();
    assert_eq!(raw.answer().await.status(), 200);
    host.ended().await;
}

#[tokio::test]
async fn half_a_header_and_an_idle_connection_do_not_hold_the_end_up() {
    let host = Host::plain(Limits::default()).await;
    let mut half = host.connect().await;
    half.send("GET /peer HTTP/1.1\r\nHo").await;
    let mut idle = host.connect().await;
    idle.send("GET /peer HTTP/1.1\r\nHost: here\r\n\r\n").await;
    assert_eq!(idle.answer().await.status(), 200);
    let started = Instant::now();
    host.request_shutdown();
    host.ended().await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "far below the drain limit"
    );
}

#[tokio::test]
async fn a_handler_that_never_ends_is_cut_off_after_the_drain_limit() {
    let limits = Limits {
        drain: SHORT,
        ..Limits::default()
    };
    let host = Host::plain(limits).await;
    let mut raw = host.connect().await;
    raw.send("GET /gate HTTP/1.1\r\nHost: here\r\n\r\n").await;
    host.gate.entered.notified().await;
    host.request_shutdown();
    host.ended().await;
    assert_eq!(raw.closed().await, "");
}

#[tokio::test]
async fn nobody_is_accepted_after_the_shutdown() {
    let host = Host::plain(Limits::default()).await;
    let address = host.address;
    host.request_shutdown();
    host.ended().await;
    assert!(TcpStream::connect(address).await.is_err());
}
