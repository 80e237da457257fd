//! A private Redis on a free port, with a password that is in a file and not in its arguments: one of a stack, or
//! one that a test may do anything to.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::data_dir::DataDir;
use crate::process::{Launch, Process};
use crate::secrets::{Secrets, random_hex};
use crate::{Failure, Progress, install, ports, private_file, until};

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A Redis. Dropping it stops it.
pub struct Redis {
    process: Option<Process>,
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    port: u16,
    password: String,
    /// Its own folder, when it belongs to no stack.
    _data: Option<DataDir>,
}

impl Redis {
    pub(crate) async fn start(
        data: &DataDir,
        logs: &Path,
        secrets: &Secrets,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let program = install::program("redis-server", "redis-server", progress)?;
        // Counters outlive a restart of a kept stack; an ephemeral one has nothing to keep.
        let save = if data.spares_the_disk() {
            "\"\""
        } else {
            "60 1"
        };
        let mut redis = Self {
            process: None,
            program,
            configuration: data.folder("redis")?.join("redis.conf"),
            log: logs.join("redis.log"),
            port: ports::free()?,
            password: secrets.password("redis_password")?,
            _data: None,
        };
        redis.configure(&format!("save {save}"))?;
        let took = redis.resume().await?;
        let port = redis.port;
        progress.step(
            "redis",
            format_args!("ready in {:.2} s   127.0.0.1:{port}", took.as_secs_f64()),
        );
        Ok(redis)
    }

    /// One that belongs to a test alone, forgets everything when it is stopped, and is configured further with lines
    /// of `redis.conf`.
    pub async fn for_a_test(further: &str) -> Result<Self, Failure> {
        Self::of_its_own(random_hex(16)?, further).await
    }

    pub(crate) async fn of_its_own(password: String, further: &str) -> Result<Self, Failure> {
        let data = DataDir::ephemeral()?;
        let mut redis = Self {
            process: None,
            program: install::program("redis-server", "redis-server", Progress::silent())?,
            configuration: data.path().join("redis.conf"),
            log: data.path().join("redis.log"),
            port: ports::free()?,
            password,
            _data: Some(data),
        };
        redis.configure(&format!("save \"\"\n{further}"))?;
        redis.resume().await?;
        Ok(redis)
    }

    fn configure(&self, further: &str) -> Result<(), Failure> {
        let Self { port, password, .. } = self;
        let folder = self.configuration.parent().unwrap_or(Path::new("/"));
        let folder = quoted(&folder.display().to_string());
        private_file::write(
            &self.configuration,
            &format!(
                "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\nappendonly no\nmaxmemory-policy noeviction\n{further}\n"
            ),
        )
    }

    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/0", self.password, self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Lets it hang: it keeps its connections, takes new ones, and answers nobody until [`Redis::wake`].
    pub fn hang(&self) {
        self.signal(Signal::STOP);
    }

    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// Starts it (again) on its port; the time until it answered.
    pub async fn resume(&mut self) -> Result<Duration, Failure> {
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
            None => self.command("PING").await.map(Ok),
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

    /// Takes it away; [`Redis::resume`] brings it back.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Has it carry out one command, of words without spaces; the answer as redis-cli would show it, without the
    /// quotes.
    pub async fn command(&self, command: &str) -> Result<String, Failure> {
        let talk = async {
            let socket = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let mut socket = BufReader::new(socket);
            let lines = format!("AUTH {}\r\n{command}\r\n", self.password);
            socket.write_all(lines.as_bytes()).await?;
            match reply(&mut socket).await? {
                Ok(_) => reply(&mut socket).await,
                refused => Ok(refused),
            }
        };
        let answer = talk.await.map_err(Failure::when("talk to redis"))?;
        answer.map_err(|refusal| Failure::new(format!("redis refuses {command}: {refusal}")))
    }
}

/// One value of RESP2; the items of an array one per line. An error of the server's is the inner one.
async fn reply(socket: &mut BufReader<TcpStream>) -> std::io::Result<Result<String, String>> {
    let mut items = Vec::new();
    let mut expected = 1;
    while items.len() < expected {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        let line = line.trim_end();
        let Some((kind, rest)) = line.split_at_checked(1) else {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        match (kind, rest.parse::<usize>()) {
            ("-", _) => return Ok(Err(rest.to_owned())),
            ("*", Ok(count)) => expected = expected - 1 + count,
            ("$", Ok(length)) => {
                let mut bytes = vec![0; length + 2];
                socket.read_exact(&mut bytes).await?;
                bytes.truncate(length);
                items.push(String::from_utf8_lossy(&bytes).into_owned());
            }
            _ => items.push(rest.to_owned()),
        }
    }
    Ok(Ok(items.join("\n")))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
