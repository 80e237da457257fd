//! Free TCP ports on the loopback interface.

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::Failure;

/// Below Linux's default range for outgoing connections (32768 and up), so that no connection takes a port between
/// its choice here and its use, nor while a stopped service is about to start again.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// What this process has chosen. A port is free until whoever it was chosen for listens there, so that launchers would
/// choose the same one: each holds a name for it that the kernel gives once, and takes back when the process ends
/// (unix(7), abstract addresses).
static HELD: LazyLock<Mutex<HashMap<u16, UnixListener>>> = LazyLock::new(Mutex::default);

/// A port nobody listens on, and never the same twice.
pub fn free() -> Result<u16, Failure> {
    for _ in 0..1000 {
        let mut drawn = [0; 2];
        aws_lc_rs::rand::fill(&mut drawn).map_err(Failure::when("draw a port"))?;
        let port = FIRST + u16::from_be_bytes(drawn) % COUNT;
        if is_free(port) && hold(port) == Some(Hold::New) {
            return Ok(port);
        }
    }
    Err(Failure::new(
        "no free TCP port between 20000 and 32000 on 127.0.0.1",
    ))
}

/// Whether this process may have that port: nobody listens there, and no other launcher has chosen it.
pub(crate) fn take(port: u16) -> bool {
    is_free(port) && hold(port).is_some()
}

#[derive(PartialEq, Eq)]
enum Hold {
    New,
    Known,
}

/// `None` when another process holds it.
fn hold(port: u16) -> Option<Hold> {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.contains_key(&port) {
        return Some(Hold::Known);
    }
    let name = SocketAddr::from_abstract_name(format!("keystead-port-{port}")).ok()?;
    held.insert(port, UnixListener::bind_addr(&name).ok()?);
    Some(Hold::New)
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_drawn_twice() {
        let drawn: HashSet<_> = (0..300).map(|_| free().unwrap()).collect();
        assert_eq!(drawn.len(), 300);
    }

    #[test]
    fn what_another_launcher_has_chosen_is_not_to_be_had() {
        let port = free().unwrap();
        assert!(take(port));
        // As if the other one had come first.
        let others = HELD.lock().unwrap().remove(&port).unwrap();
        assert!(is_free(port) && !take(port));
        drop(others);
        assert!(take(port));
    }
}
