//! What belongs to one request and is wanted far from its handler: its id in the logs, the trace it is
//! part of, whose request it is.

use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use poem::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::random;

tokio::task_local! {
    static CURRENT: Arc<RequestScope>;
}

/// One request. Reached by [`RequestScope::current`] in the task that handles it; work that a handler
/// spawns is not part of it.
#[derive(Debug)]
pub struct RequestScope {
    request_id: String,
    trace_id: String,
    span_id: String,
    flags: String,
    user_id: OnceLock<String>,
    headers: Mutex<HeaderMap>,
}

impl RequestScope {
    /// Ids that came with the request are never taken over as request id: a client could make two
    /// requests look like one.
    pub(super) fn new(headers: &HeaderMap) -> Arc<Self> {
        let request_id = hex::encode(random::bytes::<16>());
        let incoming = headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .and_then(read_traceparent);
        let (trace_id, flags) = incoming.unwrap_or_else(|| (request_id.clone(), "00".to_owned()));
        Arc::new(Self {
            request_id,
            trace_id,
            span_id: hex::encode(random::bytes::<8>()),
            flags,
            user_id: OnceLock::new(),
            headers: Mutex::default(),
        })
    }

    /// The request that the running task handles; `None` in background loops.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Runs `work` as part of this request.
    pub(super) async fn run<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// 128 random bits in hex; also in the header `X-Request-Id`.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The W3C trace id: the caller's, or the request id.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// The header `traceparent` for calls made on behalf of this request (W3C Trace Context §3.2).
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }

    /// Names the verified person or service in the request's log line: an id, never an address.
    pub fn set_user(&self, id: impl Display) {
        // The first one stays: a request has one caller.
        let _ = self.user_id.set(id.to_string());
    }

    /// Puts a header on the answer, whatever answer it becomes: a problem is written after the handler has
    /// returned, and keeps nothing else of what a layer set. Of one name the last counts, except of cookies.
    pub fn answer_with(&self, name: HeaderName, value: HeaderValue) {
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if name == header::SET_COOKIE {
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }

    pub(super) fn take_headers(&self) -> HeaderMap {
        std::mem::take(&mut *self.headers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn user_id(&self) -> Option<&str> {
        self.user_id.get().map(String::as_str)
    }
}

/// Trace id and flags of a valid version-00 header. Anything else starts a new trace, as the
/// specification asks; the ids are checked because they end up in logs.
fn read_traceparent(header: &str) -> Option<(String, String)> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |text: &str| text.bytes().any(|b| b != b'0');
    let valid = version == "00"
        && parts.next().is_none()
        && hex(trace, 32)
        && nonzero(trace)
        && hex(span, 16)
        && nonzero(span)
        && hex(flags, 2);
    valid.then(|| (trace.to_owned(), flags.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_header_puts_anything_but_hexadecimal_digits_into_a_log(
            text in "\\PC{0,80}", like in "0[01f]-[0-9a-fA-F]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}(-.)?",
        ) {
            prop_assert_eq!(read_traceparent(&text), None);
            if let Some((trace, flags)) = read_traceparent(&like) {
                prop_assert_eq!((trace.len(), flags.len()), (32, 2));
                let rest = trace.chars().chain(flags.chars()).find(|it| !matches!(it, '0'..='9' | 'a'..='f'));
                prop_assert_eq!(rest, None);
                let (begins, ends) = (format!("00-{trace}-"), format!("-{flags}"));
                prop_assert!(like.starts_with(&begins) && like.ends_with(&ends));
            }
        }
    }

    #[test]
    fn only_a_valid_trace_is_continued() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let valid = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(
            read_traceparent(&valid),
            Some((trace.to_owned(), "01".to_owned()))
        );
        for invalid in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(read_traceparent(invalid), None, "{invalid}");
        }
    }

    #[tokio::test]
    async fn the_scope_is_reachable_only_inside_the_request() {
        assert!(RequestScope::current().is_none());
        let scope = RequestScope::new(&HeaderMap::new());
        let id = scope.request_id().to_owned();
        let seen = scope
            .run(async { RequestScope::current().map(|it| it.request_id().to_owned()) })
            .await;
        assert_eq!(seen, Some(id));
    }
}
