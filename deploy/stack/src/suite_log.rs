//! Where tests keep what services log, answer in failing and show under `/metrics`, so that `cargo stack test` can
//! search all of it for what no log may hold.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::secrets::random_hex;
use crate::{Addresses, Failure, environment};

/// For a page of a service on this machine, which may have been frozen by its test.
const SCRAPE_LIMIT: Duration = Duration::from_secs(1);

/// A file for the running test among the logs of the test run, named after both.
///
/// # Panics
///
/// Outside `cargo stack test`.
pub fn path(name: &str) -> PathBuf {
    Addresses::of_the_test_run()
        .log_dir
        .join(of_this_test(name))
}

/// That file, opened for adding to it.
///
/// # Panics
///
/// Outside `cargo stack test`, and when it cannot be opened.
pub fn file(name: &str) -> File {
    appending(&path(name)).expect("a file among the logs of the test run")
}

/// Adds to such a file, under `cargo stack test`.
///
/// # Panics
///
/// When it cannot be written.
pub fn keep(name: &str, text: &[u8]) {
    if let Some(folder) = folder() {
        let mut file = appending(&folder.join(of_this_test(name))).expect("a file among the logs");
        file.write_all(text)
            .and_then(|()| file.write_all(b"\n"))
            .expect("the log takes it");
    }
}

/// Keeps an answer that may have quoted what it refuses. What a 412 shows as current is no quote: it is there to be read.
pub fn keep_problem(status: u16, body: &[u8]) {
    match status {
        412 => keep("problems.log", &without_current(body)),
        400.. => keep("problems.log", body),
        _ => {}
    }
}

fn without_current(body: &[u8]) -> Vec<u8> {
    match serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(body) {
        Ok(mut problem) => {
            problem.remove("current");
            serde_json::Value::Object(problem).to_string().into_bytes()
        }
        Err(_) => body.to_vec(),
    }
}

/// Runs what installs telemetry, whose panic hook tells the place alone, and lets panics be told in full besides: a
/// test that fails must say why.
pub fn telling_panics<T>(install: impl FnOnce() -> T) -> T {
    let full = panic::take_hook();
    let installed = install();
    let logged = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        logged(panic);
        full(panic);
    }));
    installed
}

/// A new folder for the logs of a whole stack, under `cargo stack test`.
pub(crate) fn folder_of_its_own() -> Option<PathBuf> {
    let name = format!("{}.{}", of_this_test("stack"), random_hex(4).ok()?);
    let folder = folder()?.join(name);
    std::fs::create_dir(&folder).ok()?;
    Some(folder)
}

/// Keeps the logs in a folder that is about to go, under `cargo stack test`.
pub fn keep_folder(logs: &Path) {
    for log in std::fs::read_dir(logs).into_iter().flatten().flatten() {
        if let Ok(text) = std::fs::read(log.path()) {
            keep(&log.file_name().to_string_lossy(), &text);
        }
    }
}

/// Writes what `http://host:port/path` answers into a file. A service that is frozen or just ending answers nothing.
pub(crate) fn scrape(url: &str, file: &Path) {
    let _ = page(url).map(|text| appending(file).and_then(|mut file| file.write_all(&text)));
}

fn page(url: &str) -> Result<Vec<u8>, Failure> {
    let doing = || format!("read {url}");
    let place = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let mut page = Vec::new();
    TcpStream::connect(authority)
        .and_then(|mut service| {
            service.set_read_timeout(Some(SCRAPE_LIMIT))?;
            write!(
                service,
                "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
            )?;
            service.read_to_end(&mut page)
        })
        .map_err(Failure::when(doing()))?;
    Ok(page)
}

fn folder() -> Option<PathBuf> {
    Addresses::from_variables(environment::variable).map(|addresses| addresses.log_dir)
}

/// Tests run on threads that are named after them.
fn of_this_test(name: &str) -> String {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed").replace("::", ".");
    format!("{test}.{}.{name}", std::process::id())
}

fn appending(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
