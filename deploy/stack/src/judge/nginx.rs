//! A real nginx with the configuration that a judge needs, in a folder of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use stack::process::dying_with_us;
use stack::{Failure, Progress, install, until};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const LIMIT: Duration = Duration::from_secs(30);

/// Runs until it is dropped.
pub(crate) struct Nginx {
    _running: Child,
}

impl Nginx {
    /// The program, installed where it may be.
    pub(crate) fn program(progress: Progress) -> Result<std::path::PathBuf, Failure> {
        install::program("nginx", "nginx-light", progress)
    }

    /// Starts it with what belongs into its `http` block; returns when `port` answers.
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        http: &str,
        port: u16,
    ) -> Result<Self, Failure> {
        write(folder, http)?;
        let running = Command::from(dying_with_us(program, Signal::KILL))
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::when("start nginx"))?;
        until("nginx ready", LIMIT, async || {
            let answers = TcpStream::connect(("127.0.0.1", port)).await;
            answers.map(|_| ()).map_err(|error| {
                let told = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
                format!("{error}; {told}")
            })
        })
        .await?;
        Ok(Self { _running: running })
    }
}

/// The least that nginx needs around it. One process, so that nothing outlives the launcher.
fn write(folder: &Path, http: &str) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(Failure::when("make nginx a folder"))?;
    let own = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {own}/{kind};\n"))
        .concat();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {own}/pid;\nerror_log {own}/error.log;\nevents {{}}\n\
         http {{\n    access_log off;\n{temporary}{http}}}\n"
    );
    std::fs::write(folder.join("nginx.conf"), whole).map_err(Failure::when("write nginx.conf"))
}
