//! A client that is not ours: openapi-python-client makes one of each document and leaves no operation out, mypy accepts
//! what it made, and somebody's days with Keystead, from sign-up to logout, are told with nothing else.

use std::path::Path;
use std::time::Duration;

use stack::{Addresses, Failure, Progress, Service, repository};
use tokio::time::timeout;

use super::{Outcome, python};

const VERSION: &str = "0.29.1";
const MYPY_VERSION: &str = "2.4.1";
const STORY: &str = include_str!("generated_client_story.py");
/// Lines of JSON go out as the bytes that they are, as the generator knows no such type of a body. The module's name
/// is also that of a variable in it, which must not be that of the model's one field. Nothing is formatted.
const CONFIGURATION: &str = r#"{
    "content_type_overrides": { "application/x-ndjson": "application/octet-stream" },
    "class_overrides": {
        "RecoveryCodes": { "class_name": "RecoveryCodes", "module_name": "ten_recovery_codes" }
    },
    "post_hooks": []
}"#;
/// For making, checking and telling; most of it is the type checker's.
const LIMIT: Duration = Duration::from_mins(4);

pub(crate) async fn judge(addresses: &Addresses, progress: Progress) -> Outcome {
    let tools = async {
        python::with_package("mypy", MYPY_VERSION, progress).await?;
        python::with_package("openapi-python-client", VERSION, progress).await
    };
    let python = match tools.await {
        Ok(python) => python,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let told = timeout(LIMIT, make_and_tell(addresses, &python)).await;
    let told = told.unwrap_or_else(|_| Err(Failure::new(format!("not through after {LIMIT:?}"))));
    match told {
        Ok(told) => Outcome::Passed(format!("(openapi-python-client {VERSION}: {told})")),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

/// How many operations there are and how many calls the story took.
async fn make_and_tell(addresses: &Addresses, python: &Path) -> Result<String, Failure> {
    let folder = addresses.stack_dir.join("generated_client");
    std::fs::create_dir_all(&folder).map_err(Failure::when("make the clients a folder"))?;
    for (name, text) in [("story.py", STORY), ("generator.json", CONFIGURATION)] {
        std::fs::write(folder.join(name), text).map_err(Failure::when(format!("write {name}")))?;
    }
    for service in [Service::Identity, Service::Journal] {
        make(python, &folder, service).await?;
    }
    python::run(python, |command| {
        command
            .current_dir(&folder)
            .args(["-m", "mypy", "--strict", "story.py"])
            .args(["identity_client", "journal_client"]);
    })
    .await?;
    let told = python::run(python, |command| {
        command
            .current_dir(&folder)
            .arg("story.py")
            .args([&addresses.api.identity, &addresses.api.journal])
            .arg(&addresses.mail_dir)
            .arg(repository::root().join("openapi"));
    });
    Ok(told.await?.trim().to_owned())
}

/// What cannot be read of a document, the generator leaves out with a warning.
async fn make(python: &Path, folder: &Path, service: Service) -> Result<(), Failure> {
    let document = format!("openapi/{}.json", service.name());
    let generated = python::run(python, |command| {
        command
            .current_dir(folder)
            .args(["-m", "openapi_python_client", "generate"])
            .arg("--path")
            .arg(repository::root().join(&document))
            .args(["--meta", "none", "--fail-on-warning"])
            .args(["--config", "generator.json", "--output-path"])
            .arg(format!("{}_client", service.name()));
    });
    let doing = format!("make a client of {document}");
    generated.await.map(|_| ()).map_err(Failure::when(doing))
}
