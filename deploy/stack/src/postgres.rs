//! A private Postgres on a free port: TCP on the loopback interface only, passwords only, one role and one database
//! per service, and no role may so much as connect to another's database.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio_postgres::{Client, NoTls};

use crate::cluster::{Cluster, SUPERUSER};
use crate::data_dir::DataDir;
use crate::process::{Launch, Process};
use crate::secrets::Secrets;
use crate::{Failure, Progress, Service, ports, until};

const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How often another port is tried when the drawn one was taken in the same moment.
const PORT_TRIES: u32 = 3;

/// A Postgres server of this stack.
pub(crate) struct Postgres {
    process: Option<Process>,
    cluster: Cluster,
    log: PathBuf,
    port: u16,
    password: String,
    spares_the_disk: bool,
}

impl Postgres {
    pub(crate) async fn start(
        data: &DataDir,
        logs: &Path,
        secrets: &Secrets,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let password = secrets.password("postgres_password")?;
        let made = Instant::now();
        let cluster = Cluster::open(data, &password, progress)?;
        let prepared = made.elapsed();
        let log = logs.join("postgres.log");
        let spares_the_disk = data.spares_the_disk();
        let mut postgres = Self {
            process: None,
            cluster,
            log,
            port: 0,
            password,
            spares_the_disk,
        };
        let took = postgres.first_start().await?;
        progress.step(
            "postgres",
            format_args!(
                "ready in {:.2} s   127.0.0.1:{}   (cluster {:.2} s, {})",
                took.as_secs_f64(),
                postgres.port,
                prepared.as_secs_f64(),
                postgres.cluster.folder.display()
            ),
        );
        Ok(postgres)
    }

    async fn first_start(&mut self) -> Result<Duration, Failure> {
        let mut tries = 1;
        loop {
            self.port = ports::free()?;
            match self.resume().await {
                Err(_) if tries < PORT_TRIES && !ports::is_free(self.port) => tries += 1,
                answer => return answer,
            }
        }
    }

    /// Starts the server (again) on its port; the time until it answered.
    pub(crate) async fn resume(&mut self) -> Result<Duration, Failure> {
        let started = Instant::now();
        let mut process = Process::start(Launch {
            name: "postgres",
            program: &self.cluster.postgres,
            arguments: self.arguments(),
            environment: vec![("LC_ALL".into(), "C".into())],
            log: &self.log,
            account: self.cluster.account.as_ref(),
            // "Fast shutdown": clients are disconnected, the cluster is left clean.
            stop: Signal::INT,
            orphaned: Signal::INT,
        })?;
        until("postgres ready", READY_LIMIT, async || {
            match process.ended() {
                Some(status) => Ok(Err(status)),
                None => self.administrator().await.map(|_| Ok(())),
            }
        })
        .await?
        .map_err(|status| {
            let words = process.last_words();
            Failure::new(format!("postgres ended while starting ({status})\n{words}"))
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

    /// Ends it as a crash would: nothing that it has in memory reaches a file any more.
    pub(crate) async fn crash(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            // "Immediate shutdown".
            process.signal(Signal::QUIT);
            process.stop(STOP_LIMIT).await?;
        }
        Ok(())
    }

    pub(crate) fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    pub(crate) fn url(&self, service: Service, password: &str) -> String {
        let name = service.name();
        format!(
            "postgres://{name}:{password}@127.0.0.1:{}/{name}",
            self.port
        )
    }

    /// Makes the service's role and database, or brings them to this state.
    pub(crate) async fn provide(&self, service: Service, password: &str) -> Result<(), Failure> {
        let name = service.name();
        let doing = || format!("prepare the database {name}");
        let admin = self.administrator().await.map_err(Failure::when(doing()))?;
        // Names are ours and passwords hexadecimal: nothing to escape.
        let role = "select 1 from pg_roles where rolname = $1";
        if admin
            .query(role, &[&name])
            .await
            .map_err(Failure::when(doing()))?
            .is_empty()
        {
            admin
                .batch_execute(&format!("create role {name}"))
                .await
                .map_err(Failure::when(doing()))?;
        }
        let database = "select 1 from pg_database where datname = $1";
        if admin
            .query(database, &[&name])
            .await
            .map_err(Failure::when(doing()))?
            .is_empty()
        {
            let create = format!("create database {name} owner {name}");
            admin
                .batch_execute(&create)
                .await
                .map_err(Failure::when(doing()))?;
        }
        let rights = format!(
            "alter role {name} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password '{password}';
             revoke all on database {name}, postgres, template1 from public;"
        );
        admin
            .batch_execute(&rights)
            .await
            .map_err(Failure::when(doing()))
    }

    pub(crate) fn administrator_url(&self) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/postgres",
            self.password, self.port
        )
    }

    async fn administrator(&self) -> Result<Client, tokio_postgres::Error> {
        connect(&self.administrator_url()).await
    }

    fn arguments(&self) -> Vec<OsString> {
        let port = self.port.to_string();
        let mut settings = vec![
            ("listen_addresses", "127.0.0.1"),
            ("port", port.as_str()),
            // No socket: its path would have to be short, and nothing here needs it.
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            // A failed statement's parameters would be a person's data.
            ("log_parameter_max_length", "0"),
            ("log_parameter_max_length_on_error", "0"),
            // So would the row that breaks a constraint.
            ("log_error_verbosity", "terse"),
        ];
        if self.spares_the_disk {
            settings.extend([
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("wal_writer_delay", "10s"),
                ("full_page_writes", "off"),
                ("autovacuum", "off"),
                ("wal_level", "minimal"),
                ("max_wal_senders", "0"),
                ("shared_buffers", "32MB"),
            ]);
        }
        let mut arguments = vec![
            OsString::from("-D"),
            self.cluster.folder.clone().into_os_string(),
        ];
        for (name, value) in settings {
            arguments.push("-c".into());
            arguments.push(format!("{name}={value}").into());
        }
        arguments
    }
}

/// A client whose connection is driven by a task of the current runtime.
pub(crate) async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = url.parse()?;
    config.connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
