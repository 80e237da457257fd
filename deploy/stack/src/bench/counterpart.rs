//! The measure of the vault's throughput: an example of the vault's crate that answers nothing, with the vault's accept
//! loop, certificate, demand for a client certificate, log and counters.

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

const NAME: &str = "empty_handler";
const LIMIT: Duration = Duration::from_secs(10);

/// Runs until it is dropped.
pub(crate) struct EmptyHandler {
    pub(crate) address: SocketAddr,
    _running: Child,
}

/// Where it is among the binaries of a build.
pub(crate) fn in_folder(folder: &Path) -> PathBuf {
    folder.join("examples").join(NAME)
}

/// Builds it; where it is then.
pub(crate) async fn built() -> Result<PathBuf, Failure> {
    let mut cargo = Tool::start("cargo", |command| {
        command
            .args([
                "build",
                "--release",
                "--locked",
                "--quiet",
                "-p",
                "vault-service",
            ])
            .args([
                "--example",
                NAME,
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
        .find(|path| path.file_name() == Some(NAME.as_ref()));
    program.ok_or_else(|| Failure::new(format!("cargo built no {NAME} ({status})")))
}

impl EmptyHandler {
    pub(crate) async fn start(program: &Path, stack: &Stack) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()?));
        let tls = stack.addresses().stack_dir.join("tls");
        let log = File::create(stack.addresses().log_dir.join(format!("{NAME}.log")))
            .map_err(Failure::when(format!("keep the log of {NAME}")))?;
        let running = Command::from(dying_with_us(program, Signal::KILL))
            .env_clear()
            .env("LISTEN_ADDR", address.to_string())
            .env("TLS_CERT_FILE", tls.join("vault.pem"))
            .env("TLS_KEY_FILE", tls.join("vault.key"))
            .env("TLS_CLIENT_CA_FILE", &stack.addresses().ca_file)
            .stdin(Stdio::null())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::when(format!("start {NAME}")))?;
        until("the empty handler ready", LIMIT, async || {
            let answers = TcpStream::connect(address).await;
            answers.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
        Ok(Self {
            address,
            _running: running,
        })
    }
}
