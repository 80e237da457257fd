//! The services' binaries: built by cargo, or taken as they are.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use crate::process::Tool;
use crate::{Failure, Progress, Service, environment};

/// How the binaries are optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Dev,
    Release,
}

/// A folder with the three of them.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Builds all three; what is up to date already costs a moment.
    pub async fn build(profile: Profile, progress: Progress) -> Result<Self, Failure> {
        let mut arguments = vec![
            "build",
            "--locked",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ];
        if profile == Profile::Release {
            arguments.push("--release");
        }
        for service in Service::ALL {
            arguments.extend(["-p", service.binary()]);
        }
        Self::built_by(&arguments, progress).await
    }

    /// Builds everything that the tests need, in exactly the features and profile that the test runner asks for, so
    /// that it finds nothing left to compile.
    pub async fn build_with_tests(progress: Progress) -> Result<Self, Failure> {
        let arguments = [
            "build",
            "--workspace",
            "--bins",
            "--tests",
            "--locked",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ];
        Self::built_by(&arguments, progress).await
    }

    /// Runs cargo with these arguments and finds the folder it put the binaries in.
    async fn built_by(arguments: &[&str], progress: Progress) -> Result<Self, Failure> {
        let started = Instant::now();
        progress.step("build", "compiling what is new: minutes the first time …");
        let mut cargo = Tool::start("cargo", |command| {
            command.args(arguments).stdout(Stdio::piped());
        })?;
        let (status, messages) = cargo.output().await?;
        if !status.success() {
            return Err(Failure::new(format!(
                "cargo {} failed ({status})",
                arguments.join(" ")
            )));
        }
        let folder = artifact_folder(&String::from_utf8_lossy(&messages))
            .ok_or_else(|| Failure::new("cargo build named no binary of a service"))?;
        progress.step(
            "build",
            format_args!(
                "done in {:.1} s   {}",
                started.elapsed().as_secs_f64(),
                folder.display()
            ),
        );
        Self::in_folder(&folder)
    }

    /// Those that are there already.
    pub fn in_folder(folder: &Path) -> Result<Self, Failure> {
        // Services run in another folder than the launcher.
        let folder = std::path::absolute(folder).map_err(Failure::when("find the binaries"))?;
        let binaries = Self { folder };
        for service in Service::ALL {
            let path = binaries.path(service);
            if !environment::is_program(&path) {
                return Err(Failure::new(format!(
                    "{} is not there: build it first",
                    path.display()
                )));
            }
        }
        Ok(binaries)
    }

    /// Those that the running test was built together with: `target/debug`, beside `target/debug/deps/<test>`.
    pub fn beside_this_test() -> Result<Self, Failure> {
        let test = std::env::current_exe().map_err(Failure::when("find the running program"))?;
        let folder = test.ancestors().nth(2).unwrap_or(&test);
        Self::in_folder(folder)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, service: Service) -> PathBuf {
        self.folder.join(service.binary())
    }
}

fn artifact_folder(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .find(|path| {
            Service::ALL
                .iter()
                .any(|service| path.file_name() == Some(service.binary().as_ref()))
        })?
        .parent()
        .map(Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_read_from_cargos_own_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","executable":null}"#,
            "\nnot json\n",
            r#"{"reason":"compiler-artifact","executable":"/a b/release/vault-service"}"#,
        );
        assert_eq!(
            artifact_folder(messages),
            Some(PathBuf::from("/a b/release"))
        );
    }
}
