//! A child process that never outlives the launcher, not even one that is killed with SIGKILL.
//!
//! The kernel sends a child its "parent death signal" when the *thread* that started it ends. `setpriv` (util-linux)
//! asks for that signal and then becomes the program, which spares this crate any `unsafe`. So start processes from a
//! thread that lives as long as the stack: the main thread, or a test's own.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use crate::account::Account;
use crate::{Failure, environment, repository};

/// How long a dropped process may take before it is killed.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// What to start, and how it is to end.
pub(crate) struct Launch<'a> {
    pub(crate) name: &'a str,
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// The whole environment: nothing is inherited but `PATH`, so a stray variable changes nothing.
    pub(crate) environment: Vec<(String, OsString)>,
    /// Takes standard output and error; appended to.
    pub(crate) log: &'a Path,
    pub(crate) account: Option<&'a Account>,
    /// What the program understands as a request to stop; also sent when it is dropped.
    pub(crate) stop: Signal,
    /// What the kernel sends it should the launcher die.
    pub(crate) orphaned: Signal,
}

/// A running child in a process group of its own, so that Ctrl-C reaches only the launcher, which stops it in order.
pub(crate) struct Process {
    name: String,
    pid: u32,
    child: Child,
    /// Names this very process even after its number has been given to another; readable once it has ended.
    handle: OwnedFd,
    log: PathBuf,
    stop: Signal,
}

impl Process {
    pub(crate) fn start(launch: Launch<'_>) -> Result<Self, Failure> {
        let doing = || format!("start {}", launch.name);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(launch.log)
            .map_err(Failure::when(format!("open {}", launch.log.display())))?;
        let mut command = dying_with_us(launch.program, launch.orphaned);
        command
            .args(&launch.arguments)
            .env_clear()
            .env("PATH", environment::path())
            .envs(launch.environment)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(Failure::when(doing()))?)
            .stderr(log);
        if let Some(account) = launch.account {
            command.uid(account.uid).gid(account.gid);
        }
        let child = tokio::process::Command::from(command)
            .spawn()
            .map_err(Failure::when(doing()))?;
        let handle = handle(&child).map_err(Failure::when(doing()))?;
        Ok(Self {
            name: launch.name.to_owned(),
            pid: child.id().unwrap_or_default(),
            child,
            handle,
            log: launch.log.to_path_buf(),
            stop: launch.stop,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Memory that is really in RAM, from the kernel's own count, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, Failure> {
        let doing = || format!("measure {}", self.name);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .map_err(Failure::when(doing()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| Failure::new(format!("{}: the kernel does not say", doing())))
    }

    /// Returns once the process has ended, by itself or not.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        self.child
            .wait()
            .await
            .map_err(Failure::when(format!("wait for {}", self.name)))
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to stop, waits at most `limit`, then kills it.
    pub(crate) async fn stop(&mut self, limit: Duration) -> Result<ExitStatus, Failure> {
        self.signal(self.stop);
        if let Ok(status) = tokio::time::timeout(limit, self.wait()).await {
            return status;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // An error means that it has ended already, which is what is wanted.
        let _ = rustix::process::pidfd_send_signal(&self.handle, signal);
    }

    /// The end of its log, for the message about its death.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.log, 15)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal(self.stop);
        if !ends_within(self.handle.as_fd(), DROP_LIMIT) {
            self.signal(Signal::KILL);
            ends_within(self.handle.as_fd(), DROP_LIMIT);
        }
        let _ = self.child.try_wait();
    }
}

/// How long a tool may take to end what it has started.
const TOOL_LIMIT: Duration = Duration::from_secs(20);

/// A program of the toolchain and what it starts, in a process group of its own: cargo with its compilers, a runner with
/// its tests. Dropping it asks all of them to stop and waits.
pub struct Tool {
    child: Child,
    handle: OwnedFd,
}

impl Tool {
    /// Starts it in the repository, without input.
    pub fn start(program: &str, prepare: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        let doing = || format!("start {program}");
        let mut command = dying_with_us(program.as_ref(), Signal::TERM);
        command
            .current_dir(repository::root())
            .process_group(0)
            .stdin(Stdio::null());
        prepare(&mut command);
        let child = tokio::process::Command::from(command)
            .spawn()
            .map_err(Failure::when(doing()))?;
        let handle = handle(&child).map_err(Failure::when(doing()))?;
        Ok(Self { child, handle })
    }

    /// How it ended, and what it wrote where standard output is piped.
    pub async fn output(&mut self) -> Result<(ExitStatus, Vec<u8>), Failure> {
        let mut written = Vec::new();
        if let Some(mut output) = self.child.stdout.take() {
            let reading = output.read_to_end(&mut written).await;
            reading.map_err(Failure::when("read what a tool writes"))?;
        }
        let ended = self.child.wait().await;
        Ok((ended.map_err(Failure::when("wait for a tool"))?, written))
    }

    fn signal(&self, signal: Signal) {
        // It leads its group, whose number is free again only once all of them have ended.
        let leader = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(leader) = leader {
            let _ = rustix::process::kill_process_group(leader, signal);
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_some() {
            return;
        }
        self.signal(Signal::TERM);
        if !ends_within(self.handle.as_fd(), TOOL_LIMIT) {
            self.signal(Signal::KILL);
            ends_within(self.handle.as_fd(), DROP_LIMIT);
        }
        let _ = self.child.try_wait();
    }
}

fn handle(child: &Child) -> std::io::Result<OwnedFd> {
    let pid = child
        .id()
        .and_then(|id| Pid::from_raw(id.cast_signed()))
        .ok_or_else(|| std::io::Error::other("it has no process id"))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A command that the kernel stops when this thread ends.
pub fn dying_with_us(program: &Path, orphaned: Signal) -> Command {
    let Some(setpriv) = environment::program("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command
        .arg("--pdeathsig")
        .arg(signal_name(orphaned))
        .arg("--")
        .arg(program);
    command
}

/// As `setpriv` knows them.
fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "INT",
        Signal::TERM => "TERM",
        _ => "KILL",
    }
}

fn ends_within(exit: BorrowedFd<'_>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).ok();
    let mut watched = [PollFd::from_borrowed_fd(exit, PollFlags::IN)];
    rustix::event::poll(&mut watched, limit.as_ref()).is_ok_and(|ready| ready > 0)
}

/// The last `count` lines of a file, reading no more than its last 16 KiB.
pub(crate) fn last_lines(path: &Path, count: usize) -> String {
    let read = || {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(16 * 1024)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(count);
    let shown: Vec<String> = lines
        .into_iter()
        .skip(first)
        .map(|line| format!("  | {line}"))
        .collect();
    shown.join("\n")
}
