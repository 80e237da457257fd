//! What a service is compared with: an example of its crate, which does the same without what is measured.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use stack::process::{Tool, dying_with_us};
use stack::{Failure, Stack, ports, until};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(10);

/// A program that is started with an address to listen on.
pub(crate) struct Counterpart {
    name: &'static str,
    program: PathBuf,
}

/// Runs until it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _process: Child,
}

impl Counterpart {
    /// Among the binaries of a build.
    pub(crate) fn in_folder(name: &'static str, folder: &Path) -> Self {
        let program = folder.join("examples").join(name);
        Self { name, program }
    }

    /// Builds it.
    pub(crate) async fn built(name: &'static str) -> Result<Self, Failure> {
        let mut cargo = Tool::start("cargo", |command| {
            command
                // Of the whole workspace, so that what has been built for the services is good for it, too.
                .args(["build", "--release", "--locked", "--quiet", "--workspace"])
                .args([
                    "--example",
                    name,
                    "--message-format=json-render-diagnostics",
                ])
                .stdout(Stdio::piped());
        })?;
        let (status, messages) = cargo.output().await?;
        let messages = String::from_utf8_lossy(&messages);
        let program = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
            .find(|path| path.file_name() == Some(name.as_ref()));
        let program =
            program.ok_or_else(|| Failure::new(format!("cargo built no {name} ({status})")))?;
        Ok(Self { name, program })
    }

    pub(crate) async fn start(
        &self,
        stack: &Stack,
        settings: &[(&str, String)],
    ) -> Result<Running, Failure> {
        let name = self.name;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let log = File::create(stack.addresses().log_dir.join(format!("{name}.log")))
            .map_err(Failure::when(format!("keep the log of {name}")))?;
        let process = Command::from(dying_with_us(&self.program, Signal::KILL))
            .env_clear()
            .env("LISTEN_ADDR", address.to_string())
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::when(format!("start {name}")))?;
        until(&format!("{name} ready"), LIMIT, async || {
            let answers = TcpStream::connect(address).await;
            answers.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
        Ok(Running {
            address,
            _process: process,
        })
    }
}
