//! Every failure answers one way: RFC 9457 `application/problem+json`, with a stable `code`, listed
//! exactly in OpenAPI, and with what belongs in the log kept apart from what belongs to the client.

mod cases;
mod current;
mod details;
mod framework;
mod parameter;
mod unexpected;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::{Debug, Display, Write as _};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use serde_json::Value;

pub use cases::{
    FORBIDDEN, INTERNAL, INVALID_REQUEST, MALFORMED_JSON, MALFORMED_REQUEST, METHOD_NOT_ALLOWED,
    NOT_FOUND, OVERLOADED, PAYLOAD_TOO_LARGE, RATE_LIMITED, RECORD_UNREADABLE, REQUEST_TIMEOUT,
    TIMED_OUT, UNAUTHORIZED, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE, WRONG_TOKEN_TYPE,
};
pub use current::Current;
pub use details::{Body, FieldError, InvalidRequest, whole_seconds};
pub use unexpected::Unexpected;

pub(crate) use current::CURRENT;
pub(crate) use details::{Details, EXAMPLE_ID};
pub(crate) use framework::{Framework, body_refused};
pub(crate) use parameter::Parameter;

/// The media type of every failure (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One way in which something fails, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// The stable machine word, `snake_case`; clients branch on it.
    pub code: &'static str,
    /// One short sentence for people, the same for every occurrence.
    pub title: &'static str,
    /// Of a 401: its challenge (`WWW-Authenticate`, RFC 9110 §11.6.1).
    pub challenge: &'static str,
}

impl Case {
    /// A case for a `const`.
    pub const fn new(status: u16, code: &'static str, title: &'static str) -> Self {
        Self {
            status,
            code,
            title,
            challenge: "Bearer",
        }
    }

    /// A 401 to a token that came along (RFC 6750 §3.1), for a `const`.
    pub const fn refused_token(code: &'static str, title: &'static str) -> Self {
        Self {
            challenge: r#"Bearer error="invalid_token""#,
            ..Self::new(401, code, title)
        }
    }
}

/// What a use case can answer instead of success. `Display` is the `detail` the client reads: it
/// must never contain a source error, an address, a token or anything else the client does not
/// already know.
pub trait Failure: Display + Debug + Send + Sync + 'static {
    /// Every case that [`Failure::case`] can return; the API document lists exactly these.
    const CASES: &'static [Case];

    /// How [`Failure::current`] looks, for the API document.
    const CURRENT: Option<Current> = None;

    /// The case of this failure.
    fn case(&self) -> &'static Case;

    /// When trying again makes sense (`Retry-After`, rounded up to whole seconds).
    fn retry_after(&self) -> Option<Duration> {
        self.unexpected().and_then(Unexpected::retry_after)
    }

    /// The entity tag of what is there instead, for a 412 (`ETag`, RFC 9110 §8.8.3), quotes included.
    fn entity_tag(&self) -> Option<String> {
        None
    }

    /// What is there instead, for a 412, as reading it would show it. It becomes the member `current` of the answer
    /// (RFC 9457 §3.2).
    fn current(&self) -> Option<Value> {
        None
    }

    /// Which parts of the request are wrong.
    fn errors(&self) -> Vec<FieldError> {
        Vec::new()
    }

    /// What nobody foresaw: its sources go to the log and never to the client.
    fn unexpected(&self) -> Option<&Unexpected> {
        None
    }
}

/// The answer of a handler whose use case failed: `Result<Json<Session>, Problem<LoginError>>`.
#[derive(Debug)]
pub struct Problem<E>(pub E);

impl<E: Failure> From<E> for Problem<E> {
    fn from(failure: E) -> Self {
        Self(failure)
    }
}

impl<E: Failure> IntoResponse for Problem<E> {
    /// The body is written by [`crate::serve::Edge`], which knows the request id.
    fn into_response(self) -> Response {
        Details::of(&self.0).into_response()
    }
}

impl<E: Failure> From<Problem<E>> for poem::Error {
    fn from(problem: Problem<E>) -> Self {
        Details::of(&problem.0).into_error()
    }
}

impl<E: Failure> ApiResponse for Problem<E> {
    fn meta() -> MetaResponses {
        let mut by_status = BTreeMap::<u16, Vec<&Case>>::new();
        for case in E::CASES {
            by_status.entry(case.status).or_default().push(case);
        }
        MetaResponses {
            responses: by_status
                .into_iter()
                .map(|(status, cases)| Current::described(response(status, &cases), E::CURRENT))
                .collect(),
        }
    }

    fn register(registry: &mut Registry) {
        Body::register(registry);
        if let Some(current) = E::CURRENT {
            current.register(registry);
        }
    }
}

/// Two responses of one status would be a duplicate key in the document: one entry lists its codes.
pub(crate) fn response(status: u16, cases: &[&Case]) -> MetaResponse {
    MetaResponse {
        description: interned(described(cases)),
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: MEDIA_TYPE,
            schema: Body::schema_ref(),
        }],
        headers: headers(status),
    }
}

/// "`code`: title", one line per case; [`crate::openapi`] reads it back to make the examples.
pub(crate) fn described(cases: &[&Case]) -> String {
    let mut lines = String::new();
    for (index, case) in cases.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        write!(lines, "{separator}`{}`: {}", case.code, case.title)
            .expect("a string takes everything");
    }
    lines
}

/// The code and title of a line that [`described`] wrote.
pub(crate) fn read_described(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix('`')?.split_once("`: ")
}

fn headers(status: u16) -> Vec<MetaHeader> {
    let header = |name: &str, description: &str, schema: MetaSchema| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(schema)),
    };
    match StatusCode::from_u16(status) {
        Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => vec![header(
            "Retry-After",
            "Whole seconds after which another try makes sense.",
            MetaSchema::new("integer"),
        )],
        Ok(StatusCode::UNAUTHORIZED) => vec![header(
            "WWW-Authenticate",
            "The accepted way to authenticate (RFC 9110 §11.6.1).",
            MetaSchema::new("string"),
        )],
        Ok(StatusCode::PRECONDITION_FAILED) => vec![header(
            "ETag",
            "The entity tag of what is there now.",
            MetaSchema::new("string"),
        )],
        _ => Vec::new(),
    }
}

/// The document's types want `&'static str`. Each distinct text is leaked once: their number is
/// bounded by the number of failure enums in the program.
fn interned(text: String) -> &'static str {
    static TEXTS: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text.as_str()) {
        return known;
    }
    let text: &'static str = Box::leak(text.into_boxed_str());
    texts.insert(text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Refusal {
        #[error("The code is wrong.")]
        Wrong,
        #[error("The code was used before.")]
        Spent,
        #[error(transparent)]
        Unexpected(#[from] Unexpected),
    }

    const WRONG: Case = Case::new(401, "code_wrong", "The code is wrong");
    const SPENT: Case = Case::new(401, "code_spent", "The code was used before");

    impl Failure for Refusal {
        const CASES: &'static [Case] = &[WRONG, SPENT, UNAVAILABLE, INTERNAL];

        fn case(&self) -> &'static Case {
            match self {
                Self::Wrong => &WRONG,
                Self::Spent => &SPENT,
                Self::Unexpected(unexpected) => unexpected.case(),
            }
        }

        fn unexpected(&self) -> Option<&Unexpected> {
            match self {
                Self::Unexpected(unexpected) => Some(unexpected),
                _ => None,
            }
        }
    }

    #[test]
    fn several_codes_of_one_status_are_one_response_of_the_document() {
        let meta = Problem::<Refusal>::meta();
        let statuses: Vec<_> = meta
            .responses
            .iter()
            .filter_map(|response| response.status)
            .collect();
        assert_eq!(statuses, [401, 500, 503]);
        assert_eq!(
            meta.responses[0].description,
            "`code_wrong`: The code is wrong\n`code_spent`: The code was used before"
        );
        assert_eq!(meta.responses[0].headers[0].name, "WWW-Authenticate");
        assert_eq!(meta.responses[2].headers[0].name, "Retry-After");
    }

    #[test]
    fn a_description_can_be_read_back() {
        let text = described(&[&WRONG, &SPENT]);
        let read: Vec<_> = text.lines().filter_map(read_described).collect();
        assert_eq!(
            read,
            [
                ("code_wrong", "The code is wrong"),
                ("code_spent", "The code was used before")
            ]
        );
    }

    #[test]
    fn the_sources_of_the_unexpected_reach_the_log_and_not_the_client() {
        let cause = std::io::Error::other("disk secret-7 is gone");
        let details = Details::of(&Refusal::from(Unexpected::bug("reading").caused_by(cause)));
        assert_eq!(*details.case, INTERNAL);
        assert!(!details.detail.contains("secret-7"));
        assert!(!details.detail.contains("reading"));
        assert!(
            details
                .cause
                .is_some_and(|cause| { cause.contains("reading") && cause.contains("secret-7") })
        );
    }

    #[test]
    fn every_failure_converts_to_a_framework_error_of_its_status() {
        for (failure, status) in [(Refusal::Wrong, 401), (Refusal::Spent, 401)] {
            let error = poem::Error::from(Problem(failure));
            assert_eq!(error.status().as_u16(), status);
            assert!(error.data::<Details>().is_some());
        }
    }
}
