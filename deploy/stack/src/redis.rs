//! A private Redis on a free port, with a password that is in a file and not in its arguments.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::data_dir::DataDir;
use crate::process::{Launch, Process};
use crate::secrets::Secrets;
use crate::{Failure, Progress, install, ports, private_file, until};

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A Redis of this stack.
pub(crate) struct Redis {
    process: Option<Process>,
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    port: u16,
    password: String,
}

impl Redis {
    pub(crate) async fn start(
        data: &DataDir,
        secrets: &Secrets,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let program = install::program("redis-server", "redis-server", progress)?;
        let password = secrets.password("redis_password")?;
        let folder = data.folder("redis")?;
        let port = ports::free()?;
        let configuration = folder.join("redis.conf");
        // Counters outlive a restart of a kept stack; an ephemeral one has nothing to keep.
        let save = if data.is_ephemeral() { "\"\"" } else { "60 1" };
        private_file::write(
            &configuration,
            &format!(
                "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {}\nsave {save}\nappendonly no\nmaxmemory-policy noeviction\n",
                quoted(&folder.display().to_string())
            ),
        )?;
        let log = data.folder("logs")?.join("redis.log");
        let mut redis = Self {
            process: None,
            program,
            configuration,
            log,
            port,
            password,
        };
        let took = redis.resume().await?;
        progress.step(
            "redis",
            format_args!("ready in {:.2} s   127.0.0.1:{port}", took.as_secs_f64()),
        );
        Ok(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", self.password, self.port)
    }

    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Starts it (again) on its port; the time until it answered.
    pub(crate) async fn resume(&mut self) -> Result<Duration, Failure> {
        let started = Instant::now();
        let mut process = Process::start(Launch {
            name: "redis",
            program: &self.program,
            arguments: vec![self.configuration.clone().into_os_string()],
            environment: Vec::new(),
            log: &self.log,
            account: None,
            stop: Signal::TERM,
            orphaned: Signal::KILL,
        })?;
        until("redis ready", READY_LIMIT, async || match process.ended() {
            Some(status) => Ok(Err(status)),
            None => self.ping().await.map(Ok),
        })
        .await?
        .map_err(|status| {
            Failure::new(format!(
                "redis ended while starting ({status})\n{}",
                process.last_words()
            ))
        })?;
        self.process = Some(process);
        Ok(started.elapsed())
    }

    pub(crate) async fn stop(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), String> {
        let talk = async {
            let mut socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
            socket
                .write_all(format!("AUTH {}\r\nPING\r\n", self.password).as_bytes())
                .await?;
            let mut answer = [0; 12];
            socket.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        match talk.await {
            Ok(answer) if &answer == b"+OK\r\n+PONG\r\n" => Ok(()),
            Ok(answer) => Err(String::from_utf8_lossy(&answer).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
