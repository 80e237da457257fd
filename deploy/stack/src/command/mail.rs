//! `cargo stack mail`: what would have been sent, newest last.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use stack::mail::{self, Mail};
use stack::{Failure, Progress, until};

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
    /// Print only the token in the newest mail to that address, waiting up to ten seconds for one
    #[arg(long, requires = "to", conflicts_with = "follow")]
    token: bool,
    #[command(flatten)]
    running: Running,
}

pub(crate) async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let folder = PathBuf::from(options.running.variable("MAIL_DIR")?);
    let progress = Progress::told();
    if options.token {
        progress.line(newest_token(&folder, options.to.as_deref()).await?);
        return Ok(ExitCode::SUCCESS);
    }
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

/// Mail is written behind the request that causes it, so the newest may still be on its way.
async fn newest_token(folder: &Path, to: Option<&str>) -> Result<String, Failure> {
    until("a mail with a token", Duration::from_secs(10), async || {
        let mails = mail::all(folder, to).map_err(|failure| failure.to_string())?;
        let newest = mails.iter().rev().find_map(Mail::token);
        newest
            .map(str::to_owned)
            .ok_or_else(|| "there is none".to_owned())
    })
    .await
}
