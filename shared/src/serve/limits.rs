//! How much time and memory one client may take.

use std::time::Duration;

/// The limits of one listener. [`Limits::default`] is for production; tests shorten single ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections; beyond it new ones wait in the kernel's backlog until one ends.
    pub connections: usize,
    /// From the accepted socket to the finished TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request (or from the start of a connection) to the end of its header.
    pub header: Duration,
    /// Between requests, and for a client that takes nothing of a long answer.
    pub idle: Duration,
    /// From the end of the header to the last byte of the body: 408.
    pub body: Duration,
    /// From the end of the header to the start of the answer: 504.
    pub total: Duration,
    /// For requests in flight after the shutdown was asked for.
    pub drain: Duration,
    /// Bytes of a request's body: 413.
    pub body_bytes: usize,
    /// Bytes of headers and bodies that all requests being answered hold together: 503. A body counts
    /// as it arrives, so declaring a length costs nobody else anything.
    pub held_bytes: usize,
    /// Bytes of a request's header (HTTP/1.1 answers 431 from 32 KiB on), at least 8 KiB.
    pub header_bytes: usize,
    /// Fields in a request's header: 431.
    pub header_fields: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
}

/// The limits of an operation whose body is read as it arrives, in place of those of its listener.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// From the end of the header to the last byte of the body: 408.
    pub body: Duration,
    /// From the end of the header to the start of the answer: 504.
    pub total: Duration,
    /// Bytes of the body: 413.
    pub body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            body: Duration::from_secs(30),
            total: Duration::from_mins(1),
            drain: Duration::from_secs(20),
            body_bytes: 64 * 1024,
            held_bytes: 32 * 1024 * 1024,
            header_bytes: 32 * 1024,
            header_fields: 64,
            streams: 100,
        }
    }
}

impl Limits {
    /// For the ops port: probes and a scraper, so few connections suffice.
    pub fn ops() -> Self {
        Self {
            connections: 64,
            drain: Duration::from_secs(2),
            body_bytes: 0,
            ..Self::default()
        }
    }
}
