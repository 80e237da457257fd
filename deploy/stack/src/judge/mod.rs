//! The outside judges of `cargo stack test --full`: programs that are not ours look at the release build.
//!
//! Each is one named step with an outcome. What cannot be run is said to be skipped and why; in CI that is a failure.

mod authenticator;
mod browser;
mod cookie_sessions;
mod explorer;
mod footprint;
mod forward_auth;
mod nginx;
mod openapi_documents;
mod python;
mod smtp;
mod summary;

use std::time::Instant;

use stack::{Binaries, Failure, Profile, Progress, Stack};

pub(crate) use summary::{Outcome, Summary};

/// Builds and starts the release binaries and lets every judge look at them.
pub(crate) async fn all(summary: &mut Summary, progress: Progress) -> Result<(), Failure> {
    let started = Instant::now();
    let binaries = Binaries::build(Profile::Release, progress).await?;
    let mut stack = Stack::builder()
        .ephemeral()
        .binaries(binaries)
        .loose_rate_limits()
        .progress(progress)
        .start()
        .await?;
    summary.add(
        "release build starts",
        started.elapsed(),
        Outcome::Passed(String::new()),
    );

    let started = Instant::now();
    let outcome = openapi_documents::judge(stack.addresses(), progress).await;
    summary.add("OpenAPI documents are valid", started.elapsed(), outcome);

    let started = Instant::now();
    let outcome = explorer::judge(stack.addresses(), progress).await;
    summary.add("API explorer in Chromium", started.elapsed(), outcome);

    let started = Instant::now();
    let outcome = cookie_sessions::judge(&mut stack, progress).await;
    summary.add("cookie sessions in Chromium", started.elapsed(), outcome);

    let started = Instant::now();
    let outcome = authenticator::judge(stack.addresses(), progress).await;
    summary.add("oathtool's codes log in", started.elapsed(), outcome);

    let started = Instant::now();
    let outcome = forward_auth::judge(&mut stack, progress).await;
    summary.add("forward auth in nginx", started.elapsed(), outcome);

    let started = Instant::now();
    let outcome = smtp::judge(&mut stack, progress).await;
    summary.add("mail through an SMTP server", started.elapsed(), outcome);

    // Last, so that what the other judges asked for counts as use.
    let started = Instant::now();
    let outcome = footprint::judge(&mut stack).await;
    summary.add("memory and time to ready", started.elapsed(), outcome);
    stack.stop().await
}
