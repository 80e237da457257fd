//! Logs as JSON lines, and the counters behind `/metrics`.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::panic::PanicHookInfo;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::clock::Clock;
use crate::serve::RequestScope;

/// What `LOG_LEVEL` parses into: `off`, `error`, `warn`, `info`, `debug` or `trace`.
pub use tracing::level_filters::LevelFilter as LogLevel;

/// Upper bounds of the duration histogram in seconds: around what a request should take (some
/// milliseconds, a login some hundred) and up to the limits.
const SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Telemetry can be installed once per process.
#[derive(Debug, thiserror::Error)]
#[error("telemetry is installed already: {0}")]
pub struct TelemetryError(String);

/// The counters of this process.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// All of them as Prometheus text.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds recorded durations into their buckets. Without a call now and then they pile up in memory.
    pub(crate) fn fold(&self) {
        self.0.run_upkeep();
    }
}

/// Installs the log, the counters and a panic hook. `service` is the short name (`vault`); `version`
/// is that of the calling crate, `env!("CARGO_PKG_VERSION")`; `stream` takes the lines.
pub fn install<S>(
    service: &'static str,
    version: &'static str,
    level: LogLevel,
    stream: S,
) -> Result<Metrics, TelemetryError>
where
    S: Send + Sync + 'static,
    for<'a> &'a S: io::Write,
{
    install_log(service, version, level, stream)?;
    let handle = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| TelemetryError(error.to_string()))?;
    metrics::describe_counter!(
        "http_requests_total",
        "Requests answered, by operation and status."
    );
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        "Time from the header to the answer."
    );
    metrics::describe_counter!(
        "http_connections_closed_total",
        "Connections closed for a limit or a failed handshake."
    );
    Ok(Metrics(handle))
}

/// Installs the log and a panic hook alone, for commands that count nothing.
///
/// The level is for our own code, audit lines included. Dependencies stay at `warn` whatever it is: at `debug` some
/// of them print headers, and with them tokens.
pub fn install_log<S>(
    service: &'static str,
    version: &'static str,
    level: LogLevel,
    stream: S,
) -> Result<(), TelemetryError>
where
    S: Send + Sync + 'static,
    for<'a> &'a S: io::Write,
{
    let own = format!("{service}_service");
    let filter = Targets::new()
        .with_default(level.min(LogLevel::WARN))
        .with_targets([("shared", level), ("audit", level), (own.as_str(), level)]);
    let lines = Lines {
        service,
        version,
        clock: Clock::system(),
        stream,
    };
    tracing::subscriber::set_global_default(Registry::default().with(filter).with(lines))
        .map_err(|error| TelemetryError(error.to_string()))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The place only: the text of a panic may quote anything that was in memory.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(tracing::field::display);
    tracing::error!(at, "panic");
}

/// Writes one JSON object per event.
struct Lines<S> {
    service: &'static str,
    version: &'static str,
    clock: Clock,
    stream: S,
}

impl<S> Lines<S> {
    fn line(&self, event: &Event<'_>) -> String {
        let mut fields = Fields(Map::new());
        let mut add = |name: &str, value: &str| fields.0.insert(name.to_owned(), value.into());
        let now = self.clock.now().format(&Rfc3339).unwrap_or_default();
        add("timestamp", &now);
        add("level", event.metadata().level().as_str());
        add("service", self.service);
        add("version", self.version);
        add("target", event.metadata().target());
        if let Some(scope) = RequestScope::current() {
            add("request_id", scope.request_id());
        }
        event.record(&mut fields);
        let mut line = Value::Object(fields.0).to_string();
        line.push('\n');
        line
    }
}

impl<R: Subscriber, S> Layer<R> for Lines<S>
where
    S: Send + Sync + 'static,
    for<'a> &'a S: io::Write,
{
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, R>) {
        // One write per line, so that lines of several threads do not mix. A log that cannot be
        // written must not end the service.
        let line = self.line(event);
        let _ = (&self.stream).write_all(line.as_bytes());
    }
}

/// The fields of one event.
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // The only failure is that of the value's own `Debug`: then the field stays cut.
        let _ = write!(text, "{value:?}");
        self.add(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Microseconds are enough for a duration in milliseconds.
        self.add(field, (value * 1_000.0).round() / 1_000.0);
    }
}
