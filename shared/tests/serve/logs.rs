//! One line per request, by ids; nothing that a client sent or a source said in the wrong place.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use shared::serve::Limits;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::host::Host;

/// Every event of this thread, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// For this thread only: the tests run their server on it.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = Registry::default().with(log.clone());
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn requests(&self) -> Vec<(Level, String)> {
        let lines = self.0.lock().expect("no test panics with it");
        lines
            .iter()
            .filter(|(_, text)| text.contains("operation="))
            .cloned()
            .collect()
    }

    fn text(&self) -> String {
        format!("{:?}", self.0.lock().expect("no test panics with it"))
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let line = (*event.metadata().level(), text.0);
        self.0.lock().expect("no test panics with it").push(line);
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).expect("a string takes everything");
    }
}

#[tokio::test]
async fn each_request_is_one_line_with_its_operation_status_and_user() {
    let (log, _guard) = Log::begin();
    let host = Host::plain(Limits::default()).await;
    let mut raw = host.connect().await;
    raw.send(
        "GET /me HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer ada\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    )
    .await;
    let id = raw
        .answer()
        .await
        .field("x-request-id")
        .map(str::to_owned)
        .expect("an id");
    let requests = log.requests();
    let [(level, line)] = requests.as_slice() else {
        panic!("one line, not {requests:?}");
    };
    assert_eq!(*level, Level::INFO);
    for part in [
        " operation=\"me\"",
        " method=\"GET\"",
        " status=200",
        " duration_ms=",
        &format!(" request_id=\"{id}\""),
        " trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"",
        " user.id=\"ada\"",
        " peer=127.0.0.1",
        " client=127.0.0.1",
    ] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
}

#[tokio::test]
async fn a_failure_of_ours_is_logged_with_its_chain_and_one_of_the_client_is_not_an_error() {
    let (log, _guard) = Log::begin();
    let host = Host::plain(Limits::default()).await;
    host.post("/notes", r#"{"title":"bug"}"#)
        .await
        .assert_problem(500, "internal");
    host.post("/notes", r#"{"title":"taken"}"#)
        .await
        .assert_problem(409, "title_taken");
    let requests = log.requests();
    let [(first, bug), (second, taken)] = requests.as_slice() else {
        panic!("two lines, not {requests:?}");
    };
    assert_eq!((*first, *second), (Level::ERROR, Level::INFO));
    assert!(
        bug.contains("secret-what") && bug.contains("secret-cause"),
        "{bug}"
    );
    assert!(
        taken.contains(" code=\"title_taken\"") && !taken.contains(" error="),
        "{taken}"
    );
}

#[tokio::test]
async fn a_request_that_is_shed_is_a_warning_since_anybody_can_bring_it_about() {
    let (log, _guard) = Log::begin();
    let host = Host::plain(Limits {
        held_bytes: 10,
        ..Limits::default()
    })
    .await;
    host.get("/peer").await.assert_problem(503, "overloaded");
    let host = Host::plain(Limits::default()).await;
    host.post("/notes", r#"{"title":"away"}"#)
        .await
        .assert_problem(503, "unavailable");
    let levels: Vec<_> = log.requests().into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, [Level::WARN, Level::ERROR]);
}

#[tokio::test]
async fn nothing_that_a_client_sends_is_logged() {
    let (log, _guard) = Log::begin();
    let host = Host::plain(Limits::default()).await;
    host.post("/notes", r#"{"title":["hunter2"],"hunter2":1}"#)
        .await;
    host.post("/notes", r#"{"title":"hunter2"}"#).await;
    host.get("/hunter2?hunter2=hunter2").await;
    host.get("/notes/hunter2").await;
    let mut raw = host.connect().await;
    raw.send("HUNTER2 /me HTTP/1.1\r\nHost: hunter2\r\nUser-Agent: hunter2\r\nAuthorization: Bearer hunter2\r\n\r\n")
        .await;
    raw.answer().await.assert_problem(405, "method_not_allowed");
    let mut raw = host.connect().await;
    raw.send("hunter2 hunter2\r\nhunter2: hunter2\r\n\r\n")
        .await;
    raw.answer().await.assert_problem(400, "malformed_request");
    assert_eq!(log.requests().len(), 6);
    assert!(
        !log.text().to_lowercase().contains("hunter2"),
        "{}",
        log.text()
    );
}
