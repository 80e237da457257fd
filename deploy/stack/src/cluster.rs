//! A Postgres cluster on disk: which programs, which folder, which user, and `initdb` once.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::data_dir::DataDir;
use crate::{Failure, Progress, environment, install, private_file};

/// Name of the superuser, the same for every user of the machine.
pub(crate) const SUPERUSER: &str = "postgres";

/// A cluster that exists and whose server may be started.
pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    /// Of the version that made the folder.
    pub(crate) postgres: PathBuf,
    /// `None`: the launcher's own user.
    pub(crate) account: Option<Account>,
}

impl Cluster {
    /// Makes the cluster unless it is there.
    pub(crate) fn open(
        data: &DataDir,
        password: &str,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let account = environment::is_root()
            .then(Account::unprivileged)
            .transpose()?;
        let home = home(data, account.as_ref(), progress)?;
        let folder = home.join("postgres");
        let made_by = private_file::read(&folder.join("PG_VERSION"))?;
        let programs = programs(made_by.as_deref(), progress)?;
        if made_by.is_none() {
            let making = Initdb {
                programs: &programs,
                account: account.as_ref(),
                data,
            };
            making.run(&home, &folder, password)?;
        }
        Ok(Self {
            folder,
            postgres: programs.join("postgres"),
            account,
        })
    }
}

/// The folder that the cluster's folder is made in: the data folder, unless Postgres's user cannot get there.
fn home(data: &DataDir, account: Option<&Account>, progress: Progress) -> Result<PathBuf, Failure> {
    let Some(account) = account else {
        return Ok(data.path().to_path_buf());
    };
    if account.may_enter(data.path()) {
        return Ok(data.path().to_path_buf());
    }
    // The same folder at every start of this data folder, or the data would seem lost.
    let name = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        data.path().as_os_str().as_encoded_bytes(),
    );
    let short = hex::encode(name).chars().take(16).collect::<String>();
    let home = Path::new("/var/tmp").join(format!("keystead-cluster-{short}"));
    private_file::folder(&home, 0o711)?;
    // Anyone may make folders in /var/tmp: do not follow a link, do not use another user's folder.
    let found = home
        .symlink_metadata()
        .map_err(Failure::when(format!("look at {}", home.display())))?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(Failure::new(format!(
            "{} belongs to somebody else",
            home.display()
        )));
    }
    progress.step(
        "postgres",
        format_args!(
            "cluster in {}: user {} may not enter {}",
            home.display(),
            account.name,
            data.path().display()
        ),
    );
    Ok(home)
}

/// The folder with `postgres` and `initdb`: of the cluster's version if there is one already, else the newest.
fn programs(version: Option<&str>, progress: Progress) -> Result<PathBuf, Failure> {
    if let Some(found) = installed(version) {
        return Ok(found);
    }
    let package = version.map_or_else(|| "postgresql".to_owned(), |v| format!("postgresql-{v}"));
    install::package("postgres", &package, progress)?;
    installed(version)
        .ok_or_else(|| Failure::new(format!("{package} is installed, and its initdb is nowhere")))
}

/// The folder with the programs of this version, or of the newest.
pub(crate) fn installed(version: Option<&str>) -> Option<PathBuf> {
    if let Some(version) = version {
        let folder = Path::new("/usr/lib/postgresql").join(version).join("bin");
        return has_server(&folder).then_some(folder).or_else(|| {
            let on_path = beside_initdb_on_path()?;
            (major_version(&on_path)? == version).then_some(on_path)
        });
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| has_server(folder))
        .collect();
    versions.sort();
    versions
        .pop()
        .map(|(_, folder)| folder)
        .or_else(beside_initdb_on_path)
}

fn beside_initdb_on_path() -> Option<PathBuf> {
    let folder = environment::program("initdb")?
        .canonicalize()
        .ok()?
        .parent()?
        .to_path_buf();
    has_server(&folder).then_some(folder)
}

fn has_server(folder: &Path) -> bool {
    ["postgres", "initdb"]
        .iter()
        .all(|name| environment::is_program(&folder.join(name)))
}

fn major_version(programs: &Path) -> Option<String> {
    let output = Command::new(programs.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(
        text.split_whitespace()
            .nth(2)?
            .split('.')
            .next()?
            .to_owned(),
    )
}

/// One run of `initdb`.
struct Initdb<'a> {
    programs: &'a Path,
    account: Option<&'a Account>,
    data: &'a DataDir,
}

impl Initdb<'_> {
    /// Makes the cluster under another name and renames it: an interrupted `initdb` leaves nothing that looks whole.
    fn run(&self, home: &Path, folder: &Path, password: &str) -> Result<(), Failure> {
        let half = home.join("postgres.new");
        let _ = std::fs::remove_dir_all(&half);
        let password_file = home.join("postgres.pw");
        private_file::write(&password_file, password)?;
        private_file::folder(&half, 0o700)?;
        if let Some(account) = self.account {
            account.give(&password_file)?;
            account.give(&half)?;
        }
        let made = self.initdb(&half, &password_file);
        let _ = std::fs::remove_file(&password_file);
        made?;
        std::fs::rename(&half, folder).map_err(Failure::when("put the new cluster in its place"))
    }

    fn initdb(&self, half: &Path, password_file: &Path) -> Result<(), Failure> {
        let mut command = Command::new(self.programs.join("initdb"));
        command
            .args(self.arguments(half, password_file))
            .env_clear()
            .env("PATH", environment::path())
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        let output = command.output().map_err(Failure::when("run initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "initdb failed ({})\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )))
    }

    fn arguments(&self, half: &Path, password_file: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            "--username",
            SUPERUSER,
            "--auth-host=scram-sha-256",
            // There is no socket; should one appear, nobody gets in.
            "--auth-local=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]
        .map(OsString::from)
        .to_vec();
        arguments.push(
            if self.data.spares_the_disk() {
                "--no-sync"
            } else {
                "--data-checksums"
            }
            .into(),
        );
        arguments.push("--pwfile".into());
        arguments.push(password_file.into());
        arguments.push("--pgdata".into());
        arguments.push(half.into());
        arguments
    }
}
