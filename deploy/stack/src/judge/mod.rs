//! The outside judges of `cargo stack test --full`: programs that are not ours look at the release build.
//!
//! Each is one named step with an outcome. What cannot be run is said to be skipped and why; in CI that is a failure.

mod authenticator;
mod browser;
mod cookie_sessions;
mod explorer;
mod footprint;
mod forward_auth;
mod generated_client;
mod nginx;
mod openapi_documents;
mod python;
mod schemathesis;
mod smtp;
mod summary;
mod tls_scan;

use std::time::Instant;

use stack::{Binaries, Failure, Profile, Progress, Stack};

use crate::command::search;

pub(crate) use summary::{Outcome, Summary};

/// Builds and starts the release binaries and lets every judge look at them.
pub(crate) async fn all(summary: &mut Summary, progress: Progress) -> Result<(), Failure> {
    let started = Instant::now();
    let stack = release(progress).await;
    let outcome = match &stack {
        Ok(_) => Outcome::Passed(String::new()),
        Err(failure) => Outcome::Failed(failure.to_string()),
    };
    summary.add("release build starts", started.elapsed(), outcome);
    let Ok(mut stack) = stack else { return Ok(()) };

    let judged = openapi_documents::judge(stack.addresses(), progress);
    summary.watch("OpenAPI documents are valid", judged).await;
    let judged = explorer::judge(stack.addresses(), progress);
    summary.watch("API explorer in Chromium", judged).await;
    // Before there are accounts at the cost of production, whose work every later login would have to match.
    let judged = schemathesis::judge(&mut stack, progress);
    summary
        .watch("every operation under schemathesis", judged)
        .await;
    let judged = cookie_sessions::judge(&mut stack, progress);
    summary.watch("cookie sessions in Chromium", judged).await;
    let judged = authenticator::judge(stack.addresses(), progress);
    summary.watch("oathtool's codes log in", judged).await;
    let judged = generated_client::judge(stack.addresses(), progress);
    summary.watch("a generated client's story", judged).await;
    let judged = forward_auth::judge(&mut stack, progress);
    summary.watch("forward auth in nginx", judged).await;
    let judged = tls_scan::judge(stack.addresses(), progress);
    summary.watch("the vault's TLS under sslyze", judged).await;
    let judged = smtp::judge(&mut stack, progress);
    summary.watch("mail through an SMTP server", judged).await;
    // Last: it restarts everything.
    let judged = footprint::judge(&mut stack);
    summary.watch("memory and time to ready", judged).await;
    search::all("search of the judges' logs", &mut stack, summary, progress).await?;
    stack.stop().await
}

async fn release(progress: Progress) -> Result<Stack, Failure> {
    let binaries = Binaries::build(Profile::Release, progress).await?;
    Stack::builder()
        .ephemeral()
        .binaries(binaries)
        .searched()
        .loose_rate_limits()
        .progress(progress)
        .start()
        .await
}
