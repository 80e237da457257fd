//! Free TCP ports on the loopback interface.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::Failure;

/// Below Linux's default range for outgoing connections (32768 and up), so that no connection takes a port between
/// its choice here and its use, nor while a stopped service is about to start again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// What this process has drawn: a port is free until whoever it was drawn for listens there, and a stack draws a dozen.
static DRAWN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port nobody listens on, and never the same twice. Two launchers may still draw the same one in the same moment: one
/// in twelve thousand.
pub fn free() -> Result<u16, Failure> {
    for _ in 0..1000 {
        let mut drawn = [0; 2];
        aws_lc_rs::rand::fill(&mut drawn).map_err(Failure::when("draw a port"))?;
        let port = FIRST + u16::from_be_bytes(drawn) % COUNT;
        let is_new = || {
            let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
            drawn.insert(port)
        };
        if is_free(port) && is_new() {
            return Ok(port);
        }
    }
    Err(Failure::new(
        "no free TCP port between 20000 and 32000 on 127.0.0.1",
    ))
}

pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_drawn_twice() {
        let drawn: HashSet<_> = (0..2000).map(|_| free().unwrap()).collect();
        assert_eq!(drawn.len(), 2000);
    }
}
