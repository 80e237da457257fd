//! A service runs out of file descriptors: it neither spins nor dies, and goes on when there are some again.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use stack::{Service, Stack};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A new descriptor has the lowest number that is free, which must be below the limit: below this, none is.
const NONE: u64 = 0;
/// Long enough for a spinning loop to show.
const DRY: Duration = Duration::from_secs(2);
/// Of `DRY`, in hundredths of a second: a loop that spins uses all 200.
const MOST_TICKS: u64 = 50;

#[tokio::test]
async fn a_service_without_descriptors_waits_for_some_and_goes_on() {
    let stack = Stack::for_a_test().start().await.unwrap();
    let running = stack.footprints().unwrap();
    let journal = running.iter().find(|it| it.service == Service::Journal);
    let pid = journal.unwrap().pid;
    let address = stack.addresses().api.journal.replace("http://", "");
    // Once it answers, it has set the limit that it wants for itself, and does so no more.
    let mut all = Vec::new();
    asking(&address).await.read_to_end(&mut all).await.unwrap();
    let before = limit(pid, NONE, None);

    let mut client = asking(&address).await;
    let used = ticks(pid);
    let mut answer = [0; 12];
    let silence = timeout(DRY, client.read_exact(&mut answer)).await;
    assert!(silence.is_err(), "it answered without a descriptor");
    let spent = ticks(pid) - used;
    assert!(spent < MOST_TICKS, "it used {spent} hundredths of a second");

    limit(pid, before.current.unwrap(), before.maximum);
    // The one that waited is served.
    let answered = timeout(Duration::from_secs(10), client.read_exact(&mut answer));
    answered.await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    stack.stop().await.unwrap();
}

/// A connection with a request on its way.
async fn asking(address: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = "GET /openapi.json HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// Sets how many files the process may have open, and says how many it was.
fn limit(pid: u32, current: u64, maximum: Option<u64>) -> Rlimit {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let maximum = maximum.or_else(|| {
        let now =
            std::fs::read_to_string(format!("/proc/{}/limits", pid?.as_raw_nonzero())).ok()?;
        let line = now
            .lines()
            .find(|line| line.starts_with("Max open files"))?;
        line.split_whitespace().nth(4)?.parse().ok()
    });
    let limit = Rlimit {
        current: Some(current),
        maximum,
    };
    prlimit(pid, Resource::Nofile, limit).unwrap()
}

/// Processor time so far, in hundredths of a second: fields 14 and 15 of `proc_pid_stat(5)`.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().unwrap()).sum()
}
