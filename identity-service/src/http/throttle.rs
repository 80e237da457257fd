//! Limits before anything else of a request is looked at, and what every answer says about them.

use std::sync::Arc;

use poem::http::{HeaderName, HeaderValue};
use shared::{
    problem::{Problem, whole_seconds},
    serve::{ClientAddress, RequestScope},
};

use crate::{
    Identity,
    domain::rate_limit::Decision,
    throttle::{RateLimited, Route},
};

/// Counts the request; too many are answered here.
pub(super) async fn gate(
    identity: Arc<Identity>,
    operation: String,
    client: ClientAddress,
) -> poem::Result<()> {
    let now = identity.clock.now();
    let network = client.network();
    let counted = identity
        .throttle
        .count(&operation, network, &identity.secrets, now)
        .await;
    let Some((route, decision)) = counted else {
        return Ok(());
    };
    if let Some(scope) = RequestScope::current() {
        for (name, value) in headers(route, decision) {
            scope.answer_with(name, value);
        }
    }
    Ok(RateLimited::unless_allowed(decision).map_err(Problem)?)
}

/// `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11, and the three fields of its
/// early versions, which many clients know. Seconds, rounded up; `t` and `RateLimit-Reset` are those until
/// there is one more request than now.
fn headers(route: &Route, decision: Decision) -> [(HeaderName, HeaderValue); 5] {
    let Decision { limit, .. } = decision;
    let (name, requests) = (route.operation, limit.requests());
    let (remaining, reset) = (decision.remaining(), whole_seconds(decision.wait()));
    let policy = format!("\"{name}\";q={requests};w={}", limit.window().as_secs());
    let service_limit = format!("\"{name}\";r={remaining};t={reset}");
    let text = |text: String| HeaderValue::try_from(text).expect("names and numbers");
    [
        (HeaderName::from_static("ratelimit-policy"), text(policy)),
        (HeaderName::from_static("ratelimit"), text(service_limit)),
        (HeaderName::from_static("ratelimit-limit"), requests.into()),
        (
            HeaderName::from_static("ratelimit-remaining"),
            remaining.into(),
        ),
        (HeaderName::from_static("ratelimit-reset"), reset.into()),
    ]
}
