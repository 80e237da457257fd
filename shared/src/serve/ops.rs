//! The ops port: is the process alive, is it ready, what does it count.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use poem::endpoint::make;
use poem::http::StatusCode;
use poem::{Endpoint, Response, Route, get};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::edge::Edge;
use crate::{hardening::is_hardened, telemetry::Metrics};

/// A probe waits about this long; a check that hangs is a check that failed.
const READINESS_LIMIT: Duration = Duration::from_secs(2);

/// The answer of `/readyz`: ready when every check passed.
#[derive(Debug, Default)]
pub struct Readiness {
    checks: BTreeMap<&'static str, &'static str>,
    failed: bool,
    degraded: Vec<&'static str>,
}

impl Readiness {
    /// Ready as long as no check says otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something without which no request can be answered, such as `postgres`.
    #[must_use]
    pub fn check(mut self, name: &'static str, passed: bool) -> Self {
        self.checks
            .insert(name, if passed { "ok" } else { "failed" });
        self.failed |= !passed;
        self
    }

    /// A state worth reporting that decides nothing, such as `memory: "locked"`.
    #[must_use]
    pub fn state(mut self, name: &'static str, state: &'static str) -> Self {
        self.checks.insert(name, state);
        self
    }

    /// Something that is away while the service still does its main work, such as `redis`.
    #[must_use]
    pub fn degraded(mut self, name: &'static str) -> Self {
        self.degraded.push(name);
        self
    }

    fn into_response(self) -> Response {
        let (status, word) = if self.failed {
            (StatusCode::SERVICE_UNAVAILABLE, "not_ready")
        } else {
            (StatusCode::OK, "ready")
        };
        let body = json!({"status": word, "checks": self.checks, "degraded": self.degraded});
        Response::builder()
            .status(status)
            .content_type("application/json")
            .body(body.to_string())
    }
}

/// How often durations are folded into the histogram, so that they do not pile up when nobody scrapes.
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// `/livez`, `/readyz` (which also says whether the process could be dumped) and `/metrics`. The vault adds its API
/// explorer with [`Edge::with_explorer`]. Must be called inside a tokio runtime.
pub fn ops<F, W>(metrics: Metrics, readiness: F) -> Edge
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = Readiness> + Send + 'static,
{
    let folded = metrics.clone();
    tokio::spawn(async move {
        let mut turns = tokio::time::interval(FOLD_EVERY);
        loop {
            turns.tick().await;
            folded.fold();
        }
    });
    let routes = Route::new()
        .at("/livez", get(make(|_| async { "ok\n" })))
        .at("/readyz", get(readyz(readiness)))
        .at(
            "/metrics",
            get(make(move |_| {
                let text = metrics.render();
                async move {
                    Response::builder()
                        .content_type("text/plain; version=0.0.4; charset=utf-8")
                        .body(text)
                }
            })),
        );
    Edge::new(routes, &document()).quiet()
}

fn readyz<F, W>(readiness: F) -> impl Endpoint<Output = Response>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = Readiness> + Send + 'static,
{
    make(move |_| {
        let ready = timeout(READINESS_LIMIT, readiness());
        let dumps = if is_hardened() { "off" } else { "on" };
        async move {
            match ready.await {
                Ok(readiness) => readiness.state("memory_dumps", dumps).into_response(),
                Err(_) => Readiness::new().check("in_time", false).into_response(),
            }
        }
    })
}

fn document() -> Value {
    let operation = |id: &str| json!({"get": {"operationId": id}});
    json!({"paths": {
        "/livez": operation("livez"),
        "/readyz": operation("readyz"),
        "/metrics": operation("metrics"),
    }})
}
