//! Waiting for something to become true: asked often, with a limit, and with the last answer in the message.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

use crate::Failure;

/// Often enough that a start-up time can be read off it, rarely enough not to slow what is awaited.
const BETWEEN_PROBES: Duration = Duration::from_millis(5);

/// Asks `probe` until it answers `Ok`, for at most `limit`; then fails naming `what` and the last status.
pub async fn until<T, S: Display>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, S>,
) -> Result<T, Failure> {
    let started = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(status) if started.elapsed() >= limit => {
                return Err(Failure::new(format!(
                    "{what}: not after {:.1} s; last status: {status}",
                    limit.as_secs_f64()
                )));
            }
            Err(_) => tokio::time::sleep(BETWEEN_PROBES).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_as_soon_as_the_probe_does() {
        let mut asked = 0;
        let answer = until("third time", Duration::from_secs(5), async || {
            asked += 1;
            if asked == 3 {
                Ok(asked)
            } else {
                Err("not yet")
            }
        })
        .await
        .unwrap();
        assert_eq!(answer, 3);
    }

    #[tokio::test]
    async fn giving_up_names_the_last_status() {
        let error = until("the moon", Duration::from_millis(20), async || {
            Err::<(), _>("still cheese")
        })
        .await
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the moon: not after 0.0 s; last status: still cheese"
        );
    }
}
