//! The launcher as a person runs it: `stack up` as a process, watched from outside.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use stack::{env_file, ports, suite_log, until};
use tokio::process::{Child, Command};

const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A folder of the test's own with a name that breaks careless quoting; removed when dropped.
pub(crate) struct Folder {
    path: PathBuf,
    /// Tests run side by side: each has ports of its own.
    port_base: u16,
}

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let unique = format!("stack test '{name}' {}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            path,
            port_base: ports::free().unwrap(),
        }
    }

    /// Another folder whose launcher wants the same ports.
    pub(crate) fn with_the_ports_of(name: &str, other: &Self) -> Self {
        let mut folder = Self::new(name);
        folder.port_base = other.port_base;
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        suite_log::keep_folder(&self.path.join("data/logs"));
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A running `stack up`, not necessarily ready. Killed when dropped.
pub(crate) struct Launcher {
    child: Child,
    data_dir: PathBuf,
    output: PathBuf,
}

/// A process, told apart from a later one with the same number by its start time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pid: u32,
    started: String,
    name: String,
}

impl Seen {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn uid(&self) -> u32 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The server itself, not one of the processes that Postgres makes, whose parent has the same name.
    pub(crate) fn is_a_server_called(&self, name: &str) -> bool {
        let is_called = |seen: &str| seen.starts_with(name);
        let parent_is_too = processes()
            .any(|(other, _)| Some(other.pid) == self.parent() && is_called(&other.name));
        is_called(&self.name) && !parent_is_too
    }

    fn parent(&self) -> Option<u32> {
        processes().find_map(|(process, parent)| (process == *self).then_some(parent))
    }
}

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_stack"))
}

impl Launcher {
    /// `stack up` in this folder with the binaries of this build, on free ports.
    pub(crate) fn spawn(folder: &Folder) -> Self {
        let mut command = Command::new(program());
        command
            .arg("up")
            .arg("--binaries")
            .arg(program().parent().unwrap());
        Self::spawn_as(command, folder)
    }

    /// The same in the data folder of another one.
    pub(crate) fn spawn_in(folder: &Folder, data_dir: &Path) -> Self {
        let mut command = Command::new(program());
        command
            .arg("up")
            .arg("--binaries")
            .arg(program().parent().unwrap());
        Self::spawned(command, folder, data_dir)
    }

    pub(crate) fn spawn_as(command: Command, folder: &Folder) -> Self {
        Self::spawned(command, folder, &folder.path().join("data"))
    }

    fn spawned(mut command: Command, folder: &Folder, data_dir: &Path) -> Self {
        let output = folder.path().join("output");
        let file = std::fs::File::create(&output).unwrap();
        for servers in [
            "DATABASE_URL_IDENTITY",
            "DATABASE_URL_VAULT",
            "DATABASE_URL_JOURNAL",
            "REDIS_URL",
        ] {
            command.env_remove(servers);
        }
        let child = command
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--port-base")
            .arg(folder.port_base.to_string())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            child,
            data_dir: data_dir.to_path_buf(),
            output,
        }
    }

    /// Waits until it has said that everything is up.
    pub(crate) async fn ready(mut self) -> Self {
        until("the launcher to be ready", START_LIMIT, async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Ok(Err(status));
            }
            match env_file::read(&self.data_dir).unwrap() {
                Some(_) => Ok(Ok(())),
                None => Err("no env file yet"),
            }
        })
        .await
        .unwrap()
        .map_err(|status| format!("it ended ({status}):\n{}", self.said()))
        .unwrap();
        self
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap()
    }

    /// What it has said, once that is part of it: the last words come after the env file.
    pub(crate) async fn said_until(&self, words: &str) -> String {
        let said = async || {
            let said = self.said();
            if said.contains(words) {
                Ok(said)
            } else {
                Err(said)
            }
        };
        until(words, START_LIMIT, said).await.unwrap()
    }

    /// A variable of `.stack/env`.
    pub(crate) fn variable(&self, name: &str) -> String {
        let variables = env_file::read(&self.data_dir)
            .unwrap()
            .expect("the env file is there");
        variables
            .into_iter()
            .find_map(|(known, value)| (known == name).then_some(value))
            .unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.child.id().expect("it is running"), signal);
    }

    /// How it ended, after at most the time that an orderly stop takes.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// Everything it has started, directly or not.
    pub(crate) fn descendants(&self) -> Vec<Seen> {
        descendants_of(self.child.id().expect("it is running"))
    }
}

/// Everything that a process has started, directly or not.
pub(crate) fn descendants_of(ancestor: u32) -> Vec<Seen> {
    let mut found = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for (process, its_parent) in processes() {
            if its_parent == parent {
                parents.push(process.pid);
                found.push(process);
            }
        }
    }
    found
}

pub(crate) fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits until none of these exists any more.
pub(crate) async fn all_gone(seen: &[Seen]) {
    until("every process gone", Duration::from_secs(15), async || {
        let left: Vec<String> = processes()
            .filter(|(process, _)| seen.contains(process))
            .map(|(process, _)| format!("{} {}", process.pid, process.name))
            .collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(left.join(", "))
        }
    })
    .await
    .unwrap();
}

/// All live processes of the machine with their parents, from `/proc/<pid>/stat` (proc(5)).
fn processes() -> impl Iterator<Item = (Seen, u32)> {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name is in parentheses and may contain anything, so fields are counted from its end.
            let (before, after) = stat.rsplit_once(')')?;
            let fields: Vec<&str> = after.split_whitespace().collect();
            let name = before.split_once('(')?.1.to_owned();
            let is_alive = *fields.first()? != "Z";
            let process = Seen {
                pid,
                started: (*fields.get(19)?).to_owned(),
                name,
            };
            is_alive.then_some((process, fields.get(1)?.parse().ok()?))
        })
}
