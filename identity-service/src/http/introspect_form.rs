//! The body of an introspection request: a form (RFC 7662 §2.1), unlike everything else here.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, Object,
    registry::{MetaMediaType, MetaRequest, Registry},
    types::{Example, Type},
};
use secrecy::SecretString;
use shared::problem::{
    Case, Failure, FieldError, INVALID_REQUEST, Problem, UNSUPPORTED_MEDIA_TYPE,
};
use thiserror::Error;

use super::{secret_text::SecretText, sessions::EXAMPLE_ACCESS};

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// A token in question. Further parameters are passed over, as OAuth wants it.
#[derive(Object)]
#[oai(example)]
struct Introspect {
    /// At most once, as every parameter.
    token: SecretText,
    /// Of no influence: only access tokens are ever active here.
    token_type_hint: Option<String>,
}

impl Example for Introspect {
    fn example() -> Self {
        Self {
            token: SecretText::example(EXAMPLE_ACCESS),
            token_type_hint: Some("access_token".to_owned()),
        }
    }
}

/// The token of a form that is one.
pub(super) struct IntrospectForm(pub(super) SecretString);

/// Why a body is not such a form.
#[derive(Debug, Error)]
enum NotTheForm {
    #[error("Send Content-Type: application/x-www-form-urlencoded.")]
    MediaType,
    #[error("See errors for what is wrong and where.")]
    Parameter(&'static str),
}

impl Failure for NotTheForm {
    const CASES: &'static [Case] = &[INVALID_REQUEST, UNSUPPORTED_MEDIA_TYPE];

    fn case(&self) -> &'static Case {
        match self {
            Self::MediaType => &UNSUPPORTED_MEDIA_TYPE,
            Self::Parameter(_) => &INVALID_REQUEST,
        }
    }

    fn errors(&self) -> Vec<FieldError> {
        match self {
            Self::MediaType => Vec::new(),
            Self::Parameter(problem) => vec![FieldError::body("token", *problem)],
        }
    }
}

/// The one parameter `token`, which is not empty.
fn token(form: &[u8]) -> Result<SecretString, NotTheForm> {
    let mut tokens = form_urlencoded::parse(form).filter(|(name, _)| name == "token");
    let (_, token) = tokens.next().ok_or(NotTheForm::Parameter("is required"))?;
    if tokens.next().is_some() {
        return Err(NotTheForm::Parameter("comes more than once"));
    }
    if token.is_empty() {
        return Err(NotTheForm::Parameter("is empty"));
    }
    Ok(token.into_owned().into())
}

fn is_form(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(CONTENT_TYPE)
}

impl<'a> ApiExtractor<'a> for IntrospectForm {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Introspect::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: CONTENT_TYPE,
                schema: Introspect::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        if !request.content_type().is_some_and(is_form) {
            return Err(Problem(NotTheForm::MediaType).into());
        }
        // The edge has put its limits around the body; this reads it.
        let form = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        Ok(Self(token(&form).map_err(Problem)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read(form: &str) -> Result<String, String> {
        let token = token(form.as_bytes());
        token
            .map(|token| token.expose_secret().to_owned())
            .map_err(|error| error.errors().remove(0).message)
    }

    #[test]
    fn the_token_is_the_one_of_that_name() {
        for form in [
            "token=a.b-c_d",
            "token_type_hint=refresh_token&token=a.b-c_d",
            "token=%61.b%2Dc_d&token_type_hint=&state=x&state=y",
            "&&token=a.b-c_d&",
        ] {
            assert_eq!(read(form).as_deref(), Ok("a.b-c_d"), "{form}");
        }
        assert_eq!(
            read("token=a+%F0%9F%94%92%ff").as_deref(),
            Ok("a \u{1f512}\u{fffd}")
        );
    }

    #[test]
    fn no_two_tokens_are_asked_about_at_once() {
        for (form, problem) in [
            ("", "is required"),
            ("Token=a", "is required"),
            ("token", "is empty"),
            ("token=", "is empty"),
            ("token=a&token=a", "comes more than once"),
            ("token=&token=a", "comes more than once"),
            ("token=a&%74oken=b", "comes more than once"),
        ] {
            assert_eq!(read(form), Err(problem.to_owned()), "{form}");
        }
    }

    #[test]
    fn a_form_is_told_by_its_media_type() {
        for right in [
            CONTENT_TYPE,
            "Application/X-WWW-form-urlencoded; charset=UTF-8",
        ] {
            assert!(is_form(right), "{right}");
        }
        for wrong in ["", "application/json", "multipart/form-data", "text/plain"] {
            assert!(!is_form(wrong), "{wrong}");
        }
    }
}
