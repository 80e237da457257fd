//! The API explorer of each service in a real browser without network: every operation is shown, nothing is refused
//! by the content security policy, and the console stays empty. Then the policy itself: a script that an attacker gets
//! into the page does not run, and the console says so, which also proves that its silence before meant something.

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
    let complaints = console(browser).await?;
    if !complaints.is_empty() {
        return Err(Failure::new(format!(
            "the console says: {}",
            complaints.join(" / ")
        )));
    }
    inline_script_is_refused(browser).await
}

async fn inline_script_is_refused(browser: &Browser) -> Result<(), Failure> {
    let ran = browser
        .evaluate(
            "const script = document.createElement('script');
             script.textContent = 'window.stolen = true';
             document.body.append(script);
             return window.stolen === true",
        )
        .await?;
    if ran != Value::Bool(false) {
        return Err(Failure::new("an inline script runs in the page"));
    }
    let said = console(browser).await?;
    if said
        .iter()
        .any(|line| line.contains("Content Security Policy"))
    {
        return Ok(());
    }
    Err(Failure::new(format!(
        "an inline script is refused and the console does not say so: {said:?}"
    )))
}

/// What the page's console got since it was last asked.
async fn console(browser: &Browser) -> Result<Vec<String>, Failure> {
    let message = |entry: &Value| {
        let text = entry.get("message").and_then(Value::as_str);
        text.unwrap_or("?").to_owned()
    };
    let entries = browser.console().await?;
    Ok(entries.iter().map(message).collect())
}
