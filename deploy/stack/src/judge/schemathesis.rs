//! schemathesis tries every operation of the documents: examples, borders, random requests right and wrong, and chains of
//! them. No answer is a 5xx, each is of a status and shape that the document names, what is wrong is refused, what is
//! right is taken, and nothing answers without credentials that should not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use stack::process::dying_with_us;
use stack::{Failure, Person, Progress, Service, Stack, repository};
use tokio::process::Command;
use tokio::time::timeout;

use super::{Outcome, python};

const VERSION: &str = "4.32.5";
const JWT_VERSION: &str = "2.15.1";
const HOOKS: &str = include_str!("schemathesis_hooks.py");
const CONFIGURATION: &str = include_str!("schemathesis.toml");
/// The same requests each time.
const SEED: &str = "20261124";
/// Random requests for each operation; borders and examples come on top.
const EXAMPLES: &str = "40";
/// What Python 3.11 says when two threads parse at the same time (issue 106905 of `CPython`). It says nothing about the answers.
const LOST_COUNT: &str = "AST constructor recursion depth mismatch";
/// For one document.
const LIMIT: Duration = Duration::from_mins(3);
/// Of what it says about failures.
const LONGEST: usize = 8_000;

pub(crate) async fn judge(stack: &mut Stack, progress: Progress) -> Outcome {
    let tools = async {
        python::with_package("pyjwt[crypto]", JWT_VERSION, progress).await?;
        python::with_package("schemathesis", VERSION, progress).await
    };
    let program = match tools.await {
        Ok(python) => python.with_file_name("st"),
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let judged = with_cheap_logins(stack, &program).await;
    stack.set("ALLOW_WEAK_BCRYPT_FOR_TESTS", "");
    stack.set("BCRYPT_COST", "");
    let restored = stack.start_service(Service::Identity).await;
    match (judged, restored) {
        (Ok(counts), Ok(_)) => Outcome::Passed(format!("(schemathesis {VERSION}: {counts})")),
        (Err(failure), _) | (_, Err(failure)) => Outcome::Failed(failure.to_string()),
    }
}

/// Most requests log in first.
async fn with_cheap_logins(stack: &mut Stack, program: &Path) -> Result<String, Failure> {
    stack.set("ALLOW_WEAK_BCRYPT_FOR_TESTS", "yes");
    stack.set("BCRYPT_COST", "4");
    stack.start_service(Service::Identity).await?;
    let ada = Person::try_new(stack.addresses(), "ada").await?;
    let folder = stack.folder().join("schemathesis");
    std::fs::create_dir_all(&folder).map_err(Failure::when("make schemathesis a folder"))?;
    for (name, text) in [("hooks.py", HOOKS), ("schemathesis.toml", CONFIGURATION)] {
        std::fs::write(folder.join(name), text).map_err(Failure::when(format!("write {name}")))?;
    }
    let (mut counts, mut complaints) = (Vec::new(), Vec::new());
    for service in [Service::Identity, Service::Journal, Service::Vault] {
        let mut tried = try_operations(stack, program, &folder, &ada, service).await;
        if tried
            .as_ref()
            .is_err_and(|it| it.to_string().contains(LOST_COUNT))
        {
            tried = try_operations(stack, program, &folder, &ada, service).await;
        }
        match tried {
            Ok(count) => counts.push(format!("{} {count}", service.name())),
            Err(failure) => complaints.push(format!("{}: {failure}", service.name())),
        }
    }
    if complaints.is_empty() {
        Ok(counts.join(", "))
    } else {
        Err(Failure::new(complaints.join("\n")))
    }
}

/// How many requests were made.
async fn try_operations(
    stack: &Stack,
    program: &Path,
    folder: &Path,
    person: &Person,
    service: Service,
) -> Result<String, Failure> {
    let addresses = stack.addresses();
    let document = format!("openapi/{}.json", service.name());
    let mut command = Command::from(dying_with_us(program, Signal::KILL));
    command
        .current_dir(folder)
        .args(["--config-file", "schemathesis.toml", "run"])
        .arg(repository::root().join(document))
        .args(["--url", addresses.api.of(service)])
        .args(["--seed", SEED, "--max-examples", EXAMPLES])
        .args(["--generation-database", "none", "--continue-on-failure"])
        .args(["--workers", "2", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "hooks.py")
        .env("IDENTITY_URL", &addresses.api.identity)
        .env("EMAIL", &person.email)
        .env("PASSWORD", &person.password)
        .env("SECRETS", stack.folder().join("secrets"))
        // Who signs service tokens for whom.
        .env("SERVICE", caller_of(service).name())
        .env("AUDIENCE", service.name());
    if service == Service::Vault {
        let tls = addresses.stack_dir.join("tls");
        let file = |name: &str| tls.join(format!("{}.{name}", caller_of(service).name()));
        command
            .arg("--request-cert")
            .arg(file("pem"))
            .arg("--request-cert-key")
            .arg(file("key"))
            .arg("--tls-verify")
            .arg(&addresses.ca_file);
    }
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(LIMIT, running)
        .await
        .map_err(|_| Failure::new(format!("not through after {LIMIT:?}")))?
        .map_err(Failure::when("run schemathesis"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        count(&said).ok_or_else(|| Failure::new("it counts no requests"))
    } else {
        let failures = said
            .find("= ERRORS =")
            .or_else(|| said.find("= FAILURES ="));
        let failures = said.get(failures.unwrap_or_default()..).unwrap_or_default();
        Err(Failure::new(
            failures.chars().take(LONGEST).collect::<String>(),
        ))
    }
}

fn caller_of(service: Service) -> Service {
    match service {
        Service::Identity => Service::Journal,
        Service::Journal | Service::Vault => Service::Identity,
    }
}

/// From `  1715 generated, 1715 passed, 23 skipped`.
fn count(said: &str) -> Option<String> {
    let line = said.lines().find(|line| line.contains(" generated, "))?;
    line.split_whitespace().next().map(str::to_owned)
}
