//! Failures that poem raises before or instead of a handler, turned into problems. Their own texts
//! are never used: several repeat what the client sent, which may be a password.

use poem::error::{MethodNotAllowedError, NotFoundError, ParseCookieError, ReadBodyError};
use poem::http::{HeaderValue, StatusCode, header};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};

use super::{
    Details, FORBIDDEN, FieldError, INTERNAL, INVALID_REQUEST, MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED, NOT_FOUND, Parameter, UNAUTHORIZED, UNAVAILABLE, UNSUPPORTED_MEDIA_TYPE,
};
use crate::serve::BodyRefused;

/// What the edge knows about the operation that failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framework<'a> {
    /// The methods of the path, for `Allow`.
    pub(crate) allow: Option<&'a str>,
    /// The operation's parameters, path parameters in order.
    pub(crate) parameters: &'a [Parameter],
}

impl Framework<'_> {
    /// The problem that an error carries, or the one behind an error that no failure enum made.
    pub(crate) fn details(self, error: &poem::Error) -> Details {
        if let Some(details) = error.data::<Details>() {
            return details.clone();
        }
        if error.is::<NotFoundError>() {
            return Details::new(&NOT_FOUND, "No operation has this path.");
        }
        if error.is::<MethodNotAllowedError>() {
            // RFC 9110 §15.5.6; the methods are our own names, so the value is valid.
            let allow = HeaderValue::from_str(self.allow.unwrap_or_default());
            let allow = allow.unwrap_or(HeaderValue::from_static(""));
            return Details::new(
                &METHOD_NOT_ALLOWED,
                "The header Allow lists the methods of this path.",
            )
            .with_header(header::ALLOW, allow);
        }
        if error.is::<AuthorizationError>() {
            return Details::new(&UNAUTHORIZED, "No valid credential came with the request.");
        }
        if error.is::<ContentTypeError>() {
            return Details::new(
                &UNSUPPORTED_MEDIA_TYPE,
                "Send Content-Type: application/json.",
            );
        }
        if error.is::<ParseRequestPayloadError>() {
            return invalid(FieldError::new("#", "does not have the required shape"));
        }
        if error.is::<ParseCookieError>() {
            return Details::new(&MALFORMED_REQUEST, "The Cookie header cannot be read.");
        }
        if let Some(error) = error.downcast_ref::<ParseParamError>() {
            return invalid(self.parameter(error.name));
        }
        if let Some(error) = error.downcast_ref::<ParsePathError>() {
            return invalid(self.parameter(error.name));
        }
        match error.downcast_ref::<ReadBodyError>() {
            Some(ReadBodyError::PayloadTooLarge) => body_refused(BodyRefused::TooLong),
            Some(ReadBodyError::Io(error)) => body_refused(BodyRefused::of(error)),
            _ => by_status(error),
        }
    }

    /// poem-openapi calls path parameters `param0`, `param1`, … and forgets the place of the others.
    fn parameter(self, name: &str) -> FieldError {
        let position = name.strip_prefix("param").and_then(|it| it.parse().ok());
        let known = match position {
            Some(index) => self
                .parameters
                .iter()
                .filter(|parameter| parameter.place == "path")
                .nth(index),
            None => self
                .parameters
                .iter()
                .find(|parameter| parameter.name.eq_ignore_ascii_case(name)),
        };
        match known {
            Some(parameter) => parameter.refused(),
            None => FieldError::new(
                format!("parameter:{name}"),
                "is missing or does not have the required form",
            ),
        }
    }
}

fn invalid(error: FieldError) -> Details {
    Details::new(&INVALID_REQUEST, "See errors for what is wrong and where.")
        .with_errors(vec![error])
}

/// The body was not read, or not to its end.
pub(crate) fn body_refused(refused: BodyRefused) -> Details {
    Details::of(&refused)
}

fn by_status(error: &poem::Error) -> Details {
    match error.status() {
        StatusCode::NOT_FOUND => Details::new(&NOT_FOUND, "No operation has this path."),
        StatusCode::UNAUTHORIZED => {
            Details::new(&UNAUTHORIZED, "No valid credential came with the request.")
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            Details::new(&UNAVAILABLE, "Try again later.").caused_by(error.to_string())
        }
        StatusCode::FORBIDDEN => Details::new(&FORBIDDEN, "This request is not allowed."),
        status if status.is_client_error() => {
            Details::new(&INVALID_REQUEST, "The request cannot be answered.")
        }
        _ => Details::new(
            &INTERNAL,
            "The failure has been recorded under the request id.",
        )
        .caused_by(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_client_sent_is_never_repeated() {
        let error = poem::Error::from(ParseRequestPayloadError {
            reason: "Expected input type \"string\", found {\"k\":\"hunter2\"}.".to_owned(),
        });
        let details = Framework::default().details(&error);
        assert_eq!(*details.case, INVALID_REQUEST);
        assert!(!format!("{details:?}").contains("hunter2"));
    }

    #[test]
    fn a_path_parameter_gets_its_name_back() {
        let parameters = [
            json!({"name": "limit", "in": "query", "schema": {"type": "integer"}}),
            json!({"name": "id", "in": "path", "schema": {"format": "uuid"}}),
        ]
        .map(|described| Parameter::of(&described).expect("it is whole"));
        let framework = Framework {
            allow: None,
            parameters: &parameters,
        };
        let error = poem::Error::from(ParsePathError {
            name: "param0",
            reason: "hunter2".to_owned(),
        });
        assert_eq!(framework.details(&error).errors[0].pointer, "path:id");
        let error = poem::Error::from(ParseParamError {
            name: "limit",
            reason: "hunter2".to_owned(),
        });
        assert_eq!(framework.details(&error).errors[0].pointer, "query:limit");
    }
}
