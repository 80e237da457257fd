//! `cargo stack openapi`: the committed descriptions of the APIs, from the services themselves.

use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use stack::{Binaries, Failure, Progress, Service, repository};

#[derive(Args)]
pub(crate) struct Options {
    /// Change nothing; fail when a committed file is not what its service says
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let progress = Progress::told();
    let binaries = Binaries::build_with_tests(progress).await?;
    let folder = repository::root().join("openapi");
    std::fs::create_dir_all(&folder).map_err(Failure::when("make the folder openapi"))?;
    let mut drifted = Vec::new();
    for service in Service::ALL {
        let document = describe(&binaries, service)?;
        let path = folder.join(format!("{}.json", service.name()));
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        if committed == document {
            progress.step("openapi", format_args!("{} is up to date", path.display()));
        } else if options.check {
            drifted.push(path.display().to_string());
        } else {
            std::fs::write(&path, document)
                .map_err(Failure::when(format!("write {}", path.display())))?;
            progress.step("openapi", format_args!("{} written", path.display()));
        }
    }
    if drifted.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(format!(
        "{} differ from what the services say: run `cargo stack openapi` and commit the result",
        drifted.join(", ")
    )))
}

/// The document the binary prints; it needs neither settings nor servers for that.
fn describe(binaries: &Binaries, service: Service) -> Result<String, Failure> {
    let output = Command::new(binaries.path(service))
        .arg("openapi")
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(Failure::when(format!("run {} openapi", service.binary())))?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{} openapi failed ({})",
            service.binary(),
            output.status
        )));
    }
    let text = String::from_utf8(output.stdout).map_err(Failure::when("read the document"))?;
    serde_json::from_str::<serde_json::Value>(&text).map_err(Failure::when(format!(
        "parse the document of {}",
        service.name()
    )))?;
    Ok(format!("{}\n", text.trim_end()))
}
