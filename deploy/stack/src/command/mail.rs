//! `cargo stack mail`: what would have been sent, newest last.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use stack::{Failure, Progress, mail};

use crate::Running;
use crate::command::interrupt::Interrupt;

#[derive(Args)]
pub(crate) struct Options {
    /// Only mails to this address
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Go on showing new ones until Ctrl-C
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    running: Running,
}

pub(crate) async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let folder = PathBuf::from(options.running.variable("MAIL_DIR")?);
    let progress = Progress::told();
    let mut shown = HashSet::new();
    let mut interrupt = Interrupt::listen()?;
    loop {
        for mail in mail::all(&folder, options.to.as_deref())? {
            if shown.insert(mail.file.clone()) {
                progress.line(format_args!(
                    "To: {}\nSubject: {}\n\n{}\n",
                    mail.to,
                    mail.subject,
                    mail.text.trim()
                ));
                progress.line("-".repeat(72));
            }
        }
        if !options.follow {
            if shown.is_empty() {
                progress.line(format_args!("No mail in {} yet.", folder.display()));
            }
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(300)) => {}
            _ = interrupt.came() => return Ok(ExitCode::SUCCESS),
        }
    }
}
