//! One occurrence of a failure on its way from the handler to the edge, and its wire format.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::types::{Example, ToJSON};
use serde_json::Value;

use super::{CURRENT, Case, Failure, INVALID_REQUEST, MEDIA_TYPE};

/// One wrong part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct FieldError {
    /// Where: a JSON Pointer into the body as a URI fragment (RFC 6901 §6), for instance
    /// `#/email`; or `path:id`, `query:limit`, `header:If-Match` for a parameter.
    pub pointer: String,
    /// What is wrong, or what would help, without the value that was sent.
    pub message: String,
    /// A stable machine word for the message, where a person is to read it in their own language.
    #[oai(skip_serializing_if_is_none)]
    pub code: Option<String>,
    /// Which line, from 1, where the body is a file of lines; the pointer then leads into it.
    #[oai(skip_serializing_if_is_none)]
    pub line: Option<u64>,
}

impl FieldError {
    /// What is wrong there.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
            code: None,
            line: None,
        }
    }

    /// What is wrong at the top-level field `name` of the body.
    pub fn body(name: &str, message: impl Into<String>) -> Self {
        Self::new(format!("#/{name}"), message)
    }

    /// The same in that line of the body.
    #[must_use]
    pub fn in_line(self, line: u64) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }

    /// The same with a machine word.
    #[must_use]
    pub fn coded(self, code: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            ..self
        }
    }
}

/// What a failed operation answers (RFC 9457).
#[derive(Debug, Object)]
#[oai(rename = "Problem", example)]
pub struct Body {
    /// A name for the kind of problem: `urn:keystead:problem:` and the code. It is not a link.
    #[oai(rename = "type")]
    pub type_: String,
    /// One short sentence, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, in words for people.
    pub detail: String,
    /// The stable machine word to branch on.
    pub code: String,
    /// Names this request in the logs; also in the header `X-Request-Id`.
    pub request_id: String,
    /// Which parts of the request are wrong.
    #[oai(skip_serializing_if_is_none)]
    pub errors: Option<Vec<FieldError>>,
}

impl Example for Body {
    fn example() -> Self {
        Self {
            errors: Some(vec![FieldError::body("email", "is required")]),
            ..Self::of(&INVALID_REQUEST, INVALID_REQUEST.title.into(), EXAMPLE_ID)
        }
    }
}

/// The request id of all examples.
pub(crate) const EXAMPLE_ID: &str = "0198c0de70008000a000000000000001";

impl Body {
    pub(crate) fn of(case: &Case, detail: String, request_id: &str) -> Self {
        Self {
            type_: format!("urn:keystead:problem:{}", case.code),
            title: case.title.to_owned(),
            status: case.status,
            detail,
            code: case.code.to_owned(),
            request_id: request_id.to_owned(),
            errors: None,
        }
    }
}

/// People read it: a capital at its beginning and a period at its end.
fn is_sentence(detail: &str) -> bool {
    detail.starts_with(|first: char| !first.is_lowercase()) && detail.ends_with('.')
}

/// What is there instead of what a client named. It may hold personal text, which no `{:?}` prints.
#[derive(Clone)]
struct Current(Arc<Value>);

impl fmt::Debug for Current {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Current")
    }
}

/// Travels as an extension of a response or an error; the edge turns it into the body and the log line.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) case: &'static Case,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldError>,
    current: Option<Current>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log only.
    pub(crate) cause: Option<Arc<str>>,
}

impl Details {
    pub(crate) fn of<E: Failure>(failure: &E) -> Self {
        let mut details = Self::new(failure.case(), failure.to_string());
        details.errors = failure.errors();
        details.current = failure.current().map(Arc::new).map(Current);
        details.cause = failure.unexpected().map(|it| it.chain().into());
        if let Some(after) = failure.retry_after() {
            details = details.with_header(header::RETRY_AFTER, whole_seconds(after).into());
        }
        if let Some(Ok(tag)) = failure.entity_tag().map(HeaderValue::try_from) {
            details = details.with_header(header::ETAG, tag);
        }
        details
    }

    pub(crate) fn new(case: &'static Case, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        debug_assert!(is_sentence(&detail), "not a sentence: {detail}");
        Self {
            case,
            detail,
            errors: Vec::new(),
            current: None,
            headers: Vec::new(),
            cause: None,
        }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    pub(crate) fn caused_by(self, cause: impl Into<Arc<str>>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.case.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn into_error(self) -> poem::Error {
        let mut error =
            poem::Error::from_response(Response::builder().status(self.status()).finish());
        error.set_data(self);
        error
    }

    /// The finished answer.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let mut body = Body::of(self.case, self.detail.clone(), request_id);
        if !self.errors.is_empty() {
            body.errors = Some(self.errors.clone());
        }
        let mut json = body.to_json().unwrap_or_default();
        if let (Some(members), Some(Current(current))) = (json.as_object_mut(), &self.current) {
            members.insert(CURRENT.to_owned(), Value::clone(current));
        }
        let mut response = Response::builder()
            .status(self.status())
            .content_type(MEDIA_TYPE)
            .body(json.to_string());
        let headers = response.headers_mut();
        headers.extend(self.headers.iter().cloned());
        if self.case.status == 401 {
            let challenge = HeaderValue::from_static(self.case.challenge);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Rounded up, and never 0: a client that trusts the header must not come too early.
pub fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for Details {
    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status()).finish();
        response.set_data(self);
        response
    }
}

/// The request does not have the required shape: for rules that a schema cannot carry.
#[derive(Debug, thiserror::Error)]
#[error("The request does not have the required shape.")]
pub struct InvalidRequest(pub Vec<FieldError>);

impl Failure for InvalidRequest {
    const CASES: &'static [Case] = &[INVALID_REQUEST];

    fn case(&self) -> &'static Case {
        &INVALID_REQUEST
    }

    fn errors(&self) -> Vec<FieldError> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(whole_seconds(Duration::from_mins(15)), 900);
    }

    #[test]
    fn only_a_401_asks_for_another_token() {
        #[derive(Debug, thiserror::Error)]
        #[error("Come back.")]
        struct Away;

        impl Failure for Away {
            const CASES: &'static [Case] = &[super::super::UNAVAILABLE];

            fn case(&self) -> &'static Case {
                &super::super::UNAVAILABLE
            }
        }

        let response = Details::of(&Away).render("abc");
        assert_eq!(response.status(), 503);
        assert_eq!(response.header("www-authenticate"), None);
    }

    #[tokio::test]
    async fn what_is_there_instead_is_in_the_answer_and_in_no_debug_text() {
        #[derive(Debug, thiserror::Error)]
        #[error("It has changed.")]
        struct Changed;

        const CHANGED: Case = Case::new(412, "changed", "It has changed");

        impl Failure for Changed {
            const CASES: &'static [Case] = &[CHANGED];

            fn case(&self) -> &'static Case {
                &CHANGED
            }

            fn current(&self) -> Option<Value> {
                Some(serde_json::json!({"text": "Dear diary"}))
            }
        }

        let details = Details::of(&Changed);
        assert!(!format!("{details:?}").contains("diary"), "{details:?}");
        let body: Value = details
            .render("abc")
            .into_body()
            .into_json()
            .await
            .expect("a problem is JSON");
        assert_eq!(body["current"]["text"], "Dear diary");
        assert_eq!(body["code"], "changed");
    }

    #[tokio::test]
    async fn a_problem_has_every_member_and_header_that_its_case_asks_for() {
        const SPENT: Case = Case::new(401, "spent", "The code was used before");
        let details = Details::new(&SPENT, "Ask for a new code.")
            .with_errors(vec![FieldError::body("code", "was used before")])
            .with_header(
                header::RETRY_AFTER,
                whole_seconds(Duration::from_secs(3)).into(),
            );
        let response = details.render("abc");
        assert_eq!(response.status(), 401);
        assert_eq!(response.content_type(), Some(MEDIA_TYPE));
        assert_eq!(response.header("retry-after"), Some("3"));
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        let body: Value = response
            .into_body()
            .into_json()
            .await
            .expect("a problem is JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:keystead:problem:spent",
                "title": "The code was used before",
                "status": 401,
                "detail": "Ask for a new code.",
                "code": "spent",
                "request_id": "abc",
                "errors": [{"pointer": "#/code", "message": "was used before"}],
            })
        );
    }
}
