//! What a service costs: memory in RAM, and the time from its start to ready on a migrated database.

use std::fmt::Write as _;
use std::time::Duration;

use stack::{Failure, Service, Stack, mebibytes};

use super::Outcome;

const MEMORY_LIMIT_KIB: u64 = 30 * 1024;
const READY_LIMIT: Duration = Duration::from_millis(150);

/// The best of these counts: the machine does other things, the service does not get quicker by luck.
const STARTS: usize = 3;

pub(crate) async fn judge(stack: &mut Stack) -> Outcome {
    match measure(stack).await {
        Ok((complaints, praise)) => Outcome::of(&complaints, praise),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

async fn measure(stack: &mut Stack) -> Result<(Vec<String>, String), Failure> {
    let mut complaints = Vec::new();
    let mut praise = String::new();
    // After the other judges' requests, before any restart: idle memory of a service that has worked.
    let used = stack.footprints();
    for service in Service::ALL {
        let mut memory = used
            .iter()
            .find(|footprint| footprint.service == service)
            .map_or(0, |footprint| footprint.resident_kib);
        let mut ready = Duration::MAX;
        for _ in 0..STARTS {
            stack.stop_service(service).await?;
            let footprint = stack.start_service(service).await?;
            memory = memory.max(footprint.resident_kib);
            ready = ready.min(footprint.ready_in);
        }
        let name = service.name();
        let text = format!(
            "{name} {:.1} MiB, ready in {} ms",
            mebibytes(memory),
            ready.as_millis()
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
