//! Many requests at once: as fast as they are answered, or at a given pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stack::Failure;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::connection::{Connection, Door};

/// Writes the request of this number behind what is in the buffer.
pub(crate) type Requests = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;
/// Whether this is the body that the request of this number should get.
pub(crate) type Expected = Arc<dyn Fn(u64, &[u8]) -> bool + Send + Sync>;

/// What is asked, and what is expected.
#[derive(Clone)]
pub(crate) struct Questions {
    pub(crate) door: Door,
    /// At once; each has one request under way.
    pub(crate) connections: u32,
    pub(crate) requests: Requests,
    pub(crate) status: u16,
    pub(crate) expected: Expected,
}

/// When to stop.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Time(Duration),
    /// So many requests.
    Number(u64),
}

impl Questions {
    /// The same from fewer or more at once.
    pub(crate) fn on(self, connections: u32) -> Self {
        Self {
            connections,
            ..self
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) answers: u64,
    pub(crate) took: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The time that so many of a thousand answers took at most.
    pub(crate) fn within(&self, of_a_thousand: usize) -> Duration {
        let at = self.latencies.len().saturating_sub(1) * of_a_thousand / 1000;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Every connection asks again as soon as it is answered.
pub(crate) async fn as_fast_as_answered(
    questions: &Questions,
    until: Until,
) -> Result<Load, Failure> {
    let numbers = Arc::new(AtomicU64::new(0));
    run(questions, |questions, mut connection, _, began| {
        let numbers = Arc::clone(&numbers);
        async move {
            let mut answered = Answered::default();
            loop {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let over = match until {
                    Until::Time(limit) => began.elapsed() >= limit,
                    Until::Number(limit) => number >= limit,
                };
                if over {
                    return Ok(answered);
                }
                answered
                    .ask(&questions, &mut connection, number, Instant::now())
                    .await?;
            }
        }
    })
    .await
}

/// So many requests a second for so long, whether or not the earlier ones have been answered: a request whose time comes
/// while its connection is busy waits, and the wait counts.
pub(crate) async fn at_a_pace(
    questions: &Questions,
    per_second: f64,
    time: Duration,
) -> Result<Load, Failure> {
    let connections = questions.connections.max(1);
    let pause = Duration::from_secs_f64(f64::from(connections) / per_second.max(1.0));
    run(
        questions,
        move |questions, mut connection, place, began| async move {
            let mut answered = Answered::default();
            let mut due = began + pause * place / connections;
            let mut number = u64::from(place);
            while due < began + time {
                let busy = due < Instant::now();
                if !busy {
                    sleep_until(due.into()).await;
                }
                // The timer wakes by the millisecond: what it oversleeps is not the server's.
                let since = if busy { due } else { Instant::now() };
                answered
                    .ask(&questions, &mut connection, number, since)
                    .await?;
                due += pause;
                number += u64::from(connections);
            }
            Ok(answered)
        },
    )
    .await
}

#[derive(Default)]
struct Answered {
    latencies: Vec<Duration>,
    request: Vec<u8>,
}

impl Answered {
    async fn ask(
        &mut self,
        questions: &Questions,
        connection: &mut Connection,
        number: u64,
        since: Instant,
    ) -> Result<(), Failure> {
        self.request.clear();
        (questions.requests)(number, &mut self.request);
        let reply = connection.ask(&self.request).await?;
        if reply.status != questions.status || !(questions.expected)(number, reply.body) {
            let text = String::from_utf8_lossy(reply.body);
            let text: String = text.chars().take(300).collect();
            return Err(Failure::new(format!(
                "an answer is not what it should be: {} {text}",
                reply.status
            )));
        }
        self.latencies.push(since.elapsed());
        Ok(())
    }
}

/// Opens all connections, and only then begins.
async fn run<W>(
    questions: &Questions,
    work: impl Fn(Questions, Connection, u32, Instant) -> W,
) -> Result<Load, Failure>
where
    W: Future<Output = Result<Answered, Failure>> + Send + 'static,
{
    let mut connections = Vec::new();
    for _ in 0..questions.connections {
        connections.push(Connection::open(&questions.door).await?);
    }
    let began = Instant::now();
    let mut working = JoinSet::new();
    for (place, connection) in (0..).zip(connections) {
        working.spawn(work(questions.clone(), connection, place, began));
    }
    let mut latencies = Vec::new();
    while let Some(answered) = working.join_next().await {
        let answered = answered.map_err(Failure::when("wait for a connection"))?;
        latencies.extend(answered?.latencies);
    }
    let took = began.elapsed();
    latencies.sort_unstable();
    Ok(Load {
        answers: latencies.len() as u64,
        took,
        latencies,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let latencies = (1..=1000).map(Duration::from_micros).collect();
        let load = Load {
            answers: 1000,
            took: Duration::from_secs(2),
            latencies,
        };
        assert_eq!(load.within(500), Duration::from_micros(500));
        assert_eq!(load.within(990), Duration::from_micros(990));
        assert_eq!(load.within(1000), Duration::from_millis(1));
        assert!((load.per_second() - 500.0).abs() < 1e-9);
        assert_eq!(Load::default().within(990), Duration::ZERO);
    }
}
