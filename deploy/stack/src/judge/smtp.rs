//! Mail through a server that is not ours: nothing to one whose certificate nobody vouches for, and through one of a
//! private authority, after STARTTLS and AUTH, everything that a person needs to get an account.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use stack::process::dying_with_us;
use stack::{Failure, Person, Progress, Service, Stack, mail, ports, until};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Outcome, python};

const VERSION: &str = "1.4.6";
const SERVER: &str = include_str!("smtp_server.py");
const USER: &str = "keystead";
/// Of a server that lives for seconds and is reached from this machine only.
const PASSWORD: &str = "a word for the judge";
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn judge(stack: &mut Stack, progress: Progress) -> Outcome {
    let python = match python::with_package("aiosmtpd", VERSION, progress).await {
        Ok(python) => python,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let before = stack.addresses().mail_dir.display().to_string();
    let judged = send_through(stack, &python).await;
    stack.set("SMTP_HOST", "");
    stack.set("MAIL_DIR", &before);
    let restored = stack.start_service(Service::Identity).await;
    match judged.and(restored.map(|_| ())) {
        Ok(()) => Outcome::Passed(format!("(aiosmtpd {VERSION})")),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

async fn send_through(stack: &mut Stack, python: &std::path::Path) -> Result<(), Failure> {
    let port = ports::free()?;
    let _server = start_server(stack, python, port).await?;
    for (name, value) in [
        ("MAIL_DIR", ""),
        ("SMTP_HOST", "localhost"),
        ("SMTP_PORT", &port.to_string()),
        ("SMTP_TLS", "starttls"),
        ("SMTP_USER", USER),
        ("SMTP_PASSWORD", PASSWORD),
    ] {
        stack.set(name, value);
    }
    stack.start_service(Service::Identity).await?;
    let nobody = Person::try_new(stack.addresses(), "mallory").await;
    if nobody.is_ok() || !mail::all(&stack.addresses().mail_dir, Some("mallory"))?.is_empty() {
        return Err(Failure::new(
            "mail went to a server that nobody vouches for",
        ));
    }
    let authority = stack.addresses().ca_file.display().to_string();
    stack.set("SMTP_CA_FILE", &authority);
    stack.start_service(Service::Identity).await?;
    Person::try_new(stack.addresses(), "ada").await.map(|_| ())
}

/// Its mails end up where the stack's mails usually are.
async fn start_server(
    stack: &Stack,
    python: &std::path::Path,
    port: u16,
) -> Result<Child, Failure> {
    let tls = stack.folder().join("tls");
    let told = File::create(stack.folder().join("smtp.log"));
    let server = Command::from(dying_with_us(python, Signal::KILL))
        .args(["-c", SERVER, &port.to_string()])
        .arg(tls.join("vault.pem"))
        .arg(tls.join("vault.key"))
        .arg(&stack.addresses().mail_dir)
        .args([USER, PASSWORD])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(told.map_err(Failure::when("write smtp.log"))?)
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::when("start a mail server"))?;
    until("the mail server", LIMIT, async || {
        TcpStream::connect(("127.0.0.1", port)).await.map(|_| ())
    })
    .await?;
    Ok(server)
}
