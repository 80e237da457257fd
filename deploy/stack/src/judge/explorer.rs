//! The API explorer of each service in a real browser without network: every operation is shown, nothing is refused
//! by the content security policy, and the console stays empty.

use std::time::Duration;

use serde_json::Value;
use stack::{Addresses, Failure, Progress, Service, until};

use super::Outcome;
use super::browser::Browser;
use super::openapi_documents::{count_operations, served};

const RENDER_LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn judge(addresses: &Addresses, progress: Progress) -> Outcome {
    let browser = match Browser::start(progress).await {
        Ok(browser) => browser,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let mut complaints = Vec::new();
    for service in Service::ALL {
        if let Err(failure) = look_at(&browser, addresses, service).await {
            complaints.push(format!("{}: {failure}", service.name()));
        }
    }
    if let Err(failure) = browser.quit().await {
        complaints.push(failure.to_string());
    }
    Outcome::of(&complaints, format!("(Chromium {})", browser.version()))
}

async fn look_at(
    browser: &Browser,
    addresses: &Addresses,
    service: Service,
) -> Result<(), Failure> {
    let operations = count_operations(&served(addresses, service).await?);
    let base = match service {
        Service::Vault => addresses.ops.of(service),
        Service::Identity | Service::Journal => addresses.api.of(service),
    };
    browser.open(&format!("{base}/docs")).await?;
    until("all operations shown", RENDER_LIMIT, async || {
        let shown = browser
            .evaluate("return document.querySelectorAll('.opblock').length")
            .await
            .map_err(|failure| failure.to_string())?;
        if shown.as_u64() == u64::try_from(operations).ok() {
            Ok(())
        } else {
            Err(format!("{shown} of {operations}"))
        }
    })
    .await?;
    let console = browser.console().await?;
    if console.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = console
        .iter()
        .map(|entry| {
            entry
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        })
        .collect();
    Err(Failure::new(format!(
        "the console says: {}",
        lines.join(" / ")
    )))
}
