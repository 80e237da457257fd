//! What a service costs: memory in RAM, and the time from its start to ready on a migrated database.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use stack::{Failure, Person, Service, Stack, mebibytes};
use tokio::task::JoinSet;

use super::Outcome;

const MEMORY_LIMIT_KIB: u64 = 30 * 1024;
const READY_LIMIT: Duration = Duration::from_millis(150);

/// More at once than the hashing queue takes, so that every thread has worked.
const AT_ONCE: usize = 60;

/// The best of these counts, and the median is told: the machine does other things, the service does not get quicker by
/// luck. While none was quick enough there are more of them.
const STARTS: usize = 5;
const STARTS_AT_MOST: usize = 25;

pub(crate) async fn judge(stack: &mut Stack) -> Outcome {
    match measure(stack).await {
        Ok((complaints, praise)) => Outcome::of(&complaints, praise),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

async fn measure(stack: &mut Stack) -> Result<(Vec<String>, String), Failure> {
    let mut complaints = Vec::new();
    let mut praise = String::new();
    // Idle memory is that of a service that has worked, and logs no more than it does for users.
    stack.set("LOG_LEVEL", "info");
    for service in Service::ALL {
        stack.start_service(service).await?;
    }
    put_to_use(stack).await?;
    let used = stack.footprints()?;
    for service in Service::ALL {
        let mut memory = used
            .iter()
            .find(|footprint| footprint.service == service)
            .map(|footprint| footprint.resident_kib)
            .ok_or_else(|| Failure::new(format!("{service:?} does not run")))?;
        let mut starts = Vec::new();
        let quick_enough = |starts: &[Duration]| starts.iter().any(|it| *it <= READY_LIMIT);
        while starts.len() < STARTS || starts.len() < STARTS_AT_MOST && !quick_enough(&starts) {
            stack.stop_service(service).await?;
            let footprint = stack.start_service(service).await?;
            memory = memory.max(footprint.resident_kib);
            starts.push(footprint.ready_in);
        }
        starts.sort();
        let start = |at: usize| starts.get(at).copied().unwrap_or(Duration::MAX);
        let (ready, median) = (start(0), start(starts.len() / 2));
        let name = service.name();
        let text = format!(
            "{name} {:.1} MiB, ready in {} ms (median {})",
            mebibytes(memory),
            ready.as_millis(),
            median.as_millis()
        );
        if memory > MEMORY_LIMIT_KIB || ready > READY_LIMIT {
            complaints.push(format!("{text} (limits: 30 MiB, 150 ms)"));
        }
        let _ = write!(
            praise,
            "{}{text}",
            if praise.is_empty() { "" } else { "; " }
        );
    }
    Ok((complaints, praise))
}

/// A person's whole way, and a rush of sign-ups and logins: they load whatever is loaded at first use.
async fn put_to_use(stack: &Stack) -> Result<(), Failure> {
    let ada = Arc::new(Person::try_new(stack.addresses(), "footprint").await?);
    let entry = json!({ "date": "2026-11-24", "title": "at work", "body": "at work" });
    ada.journal(Method::POST, "/entries", Some(entry)).await?;
    let mut rush = JoinSet::new();
    for number in 0..AT_ONCE {
        let ada = Arc::clone(&ada);
        rush.spawn(async move {
            let email = format!("rush.{number}@example.test");
            let body = json!({ "email": email, "password": "plough candle orbit 1843" });
            ada.identity(Method::POST, "/signup", Some(body.clone()))
                .await?;
            ada.identity(Method::POST, "/login", Some(body)).await
        });
    }
    for answered in rush.join_all().await {
        answered?;
    }
    Ok(())
}
