//! The ops port, with telemetry installed as a service does it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shared::serve::{Limits, Readiness, ops};
use shared::telemetry::{LogLevel, install};

use crate::host::{Host, metrics, ran_alone};

/// Telemetry is installed once per process, so all of this is one test.
#[tokio::test]
async fn the_ops_port_tells_life_readiness_and_counts() {
    if ran_alone("ops::the_ops_port_tells_life_readiness_and_counts") {
        return;
    }
    let metrics = metrics();
    install("test", "1.2.3", LogLevel::OFF, io::sink()).expect_err("once is enough");
    let postgres = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&postgres);
    let readiness = move || {
        let ready = Readiness::new().check("postgres", seen.load(Ordering::Relaxed));
        async move { ready.state("memory", "locked").degraded("redis") }
    };
    let host = Host::serving(ops(metrics.clone(), readiness), Limits::ops()).await;

    let live = host.get("/livez").await;
    assert_eq!((live.status(), live.body.as_str()), (200, "ok\n"));
    live.assert_secured();
    let ready = host.get("/readyz").await;
    assert_eq!(ready.status(), 200);
    ready.assert_secured();
    assert_eq!(
        ready.json(),
        json!({
            "status": "ready",
            "checks": {"postgres": "ok", "memory": "locked", "memory_dumps": "on"},
            "degraded": ["redis"],
        })
    );
    postgres.store(false, Ordering::Relaxed);
    let not_ready = host.get("/readyz").await;
    assert_eq!(not_ready.status(), 503);
    assert_eq!(not_ready.json()["status"], "not_ready");
    assert_eq!(not_ready.json()["checks"]["postgres"], "failed");

    host.get("/nowhere/1")
        .await
        .assert_problem(404, "not_found");
    host.get("/nowhere/2")
        .await
        .assert_problem(404, "not_found");
    let text = host.get("/metrics").await.body;
    assert!(
        text.contains(r#"http_requests_total{operation="readyz",method="GET",status="503"} 1"#)
    );
    assert!(
        text.contains(r#"http_requests_total{operation="unmatched",method="GET",status="404"} 2"#)
    );
    assert!(text.contains(r#"http_request_duration_seconds_bucket{operation="livez",le="60"} 1"#));
    assert!(!text.contains("nowhere"), "a path must not become a label");

    // A check that hangs is a check that failed.
    let host = Host::serving(
        ops(metrics, std::future::pending::<Readiness>),
        Limits::ops(),
    )
    .await;
    let hanging = host.get("/readyz").await;
    assert_eq!(hanging.status(), 503);
    assert_eq!(hanging.json()["checks"]["in_time"], "failed");
}
