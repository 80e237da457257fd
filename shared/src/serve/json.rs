//! The JSON body of requests and answers: strict when it comes in, and wrong parts are named by pointer.

use std::any::{TypeId, type_name};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use hyper::body::Bytes;
use poem::{IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ParseFromJSON, ToJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions};
use serde_json::Value;

use super::json_schema::Schema;
use super::json_text;
use crate::problem::{
    Details, FieldError, INVALID_REQUEST, MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE,
};
use crate::service_token::BodyDigest;

/// A JSON body, in both directions. Use this one and not poem-openapi's:
///
/// - a request is checked against the schema of `T` first, so every wrong part is reported at once
///   with its JSON Pointer (400 `invalid_request`), and no message repeats what was sent;
/// - unknown fields are refused, as is a key that comes twice (400 `malformed_json`);
/// - an answer says `application/json` (RFC 8259 §11 defines no `charset`).
///
/// A rule that no schema can carry (is this an e-mail address?) belongs into the handler: parse the
/// plain text into the domain type there and answer [`crate::problem::InvalidRequest`] or an own case.
#[derive(Debug, Clone, Default)]
pub struct Json<T>(pub T);

impl<T: Type> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        is_json(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON + 'static> ParsePayload for Json<T> {
    const IS_REQUIRED: bool = T::IS_REQUIRED;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = read(request, body).await?;
        parse(&bytes).map(Self).map_err(Details::into_error)
    }
}

/// A JSON body as [`Json`] takes it, and the digest of its bytes, which a bound service token names.
#[derive(Debug, Clone)]
pub struct DigestedJson<T> {
    /// What the body says.
    pub value: T,
    /// Of the bytes as they came.
    pub digest: BodyDigest,
}

async fn read(request: &Request, body: &mut RequestBody) -> Result<Bytes> {
    if !request.content_type().is_some_and(is_json) {
        let details = Details::new(
            &UNSUPPORTED_MEDIA_TYPE,
            "Send Content-Type: application/json.",
        );
        return Err(details.into_error());
    }
    // The edge has put its limits around the body; this reads it.
    Ok(body.take()?.into_bytes().await?)
}

fn parse<T: ParseFromJSON + 'static>(bytes: &[u8]) -> Result<T, Details> {
    let value = json_text::parse(bytes)
        .map_err(|error| Details::new(&MALFORMED_JSON, format!("Not valid JSON: {error}.")))?;
    checked(value).map_err(invalid)
}

/// The value that JSON stands for, or every wrong part of it, as [`Json`] names them: for JSON that is only a part of a body.
pub fn checked<T: ParseFromJSON + 'static>(value: Value) -> Result<T, Vec<FieldError>> {
    let schema = schema_of::<T>();
    let errors = schema.check(&value);
    if !errors.is_empty() {
        return Err(errors);
    }
    // What is left are validators that the check does not know, and own types that are stricter than
    // their schema.
    T::parse_from_json(Some(value)).map_err(|error| {
        let pointer = match refused_field(error.message()) {
            Some(name) if schema.has_field(name) => format!("#/{name}"),
            _ => "#".to_owned(),
        };
        vec![FieldError::new(pointer, "does not have the required form")]
    })
}

/// The name in poem-openapi's "field `name` verification failed"; the rest of its text may repeat the
/// value and is dropped.
fn refused_field(message: &str) -> Option<&str> {
    let (before, _) = message.split_once("` verification failed")?;
    before.rsplit_once("field `").map(|(_, name)| name)
}

fn invalid(errors: Vec<FieldError>) -> Details {
    Details::new(&INVALID_REQUEST, "See errors for what is wrong and where.").with_errors(errors)
}

/// The schema of a type, made at its first use and kept: the number of types is bounded.
fn schema_of<T: Type + 'static>() -> Arc<Schema> {
    static SCHEMAS: LazyLock<Mutex<HashMap<TypeId, Arc<Schema>>>> = LazyLock::new(Mutex::default);
    let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
    let schema = schemas.entry(TypeId::of::<T>()).or_insert_with(|| {
        tracing::trace!(type_name = type_name::<T>(), "schema made");
        Arc::new(Schema::of::<T>())
    });
    Arc::clone(schema)
}

/// `application/json`, or a type with the suffix `+json` (RFC 6839), in UTF-8 (RFC 8259 §8.1).
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    json && parts.all(|parameter| {
        let parameter = parameter.to_ascii_lowercase();
        match parameter.strip_prefix("charset=") {
            Some(charset) => charset.trim_matches('"') == "utf-8",
            None => true,
        }
    })
}

impl<'a, T: ParseFromJSON + 'static> ApiExtractor<'a> for Json<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: Self::CONTENT_TYPE,
                schema: T::schema_ref(),
            }],
            required: T::IS_REQUIRED,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        <Self as ParsePayload>::from_request(request, body).await
    }
}

impl<'a, T: ParseFromJSON + 'static> ApiExtractor<'a> for DigestedJson<T> {
    const TYPES: &'static [ApiExtractorType] = Json::<T>::TYPES;

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Json<T> as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Json::<T>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let bytes = read(request, body).await?;
        let value = parse(&bytes).map_err(Details::into_error)?;
        let digest = BodyDigest::of(&bytes);
        Ok(Self { value, digest })
    }
}

impl<T: ToJSON> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type("application/json")
            .body(self.0.to_json_string())
    }
}

impl<T: ToJSON> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: Self::CONTENT_TYPE,
                    schema: T::schema_ref(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem_openapi::Object;
    use proptest::{collection::vec, prelude::*};

    #[derive(Debug, Object)]
    struct Login {
        email: String,
        #[oai(validator(max_length = 16))]
        password: String,
        remember: Option<bool>,
        #[oai(validator(pattern = "^[0-9]{6}$"))]
        code: Option<String>,
        #[oai(default, validator(unique_items))]
        scopes: Vec<String>,
    }

    fn problem(body: &str) -> Details {
        parse::<Login>(body.as_bytes()).expect_err("the body is wrong")
    }

    #[test]
    fn every_wrong_part_is_named_at_once() {
        let details = problem(r#"{"password": 7, "remember": "yes", "extra": 1}"#);
        assert_eq!(*details.case, INVALID_REQUEST);
        let pointers: Vec<_> = details
            .errors
            .iter()
            .map(|it| it.pointer.as_str())
            .collect();
        assert_eq!(pointers, ["#/email", "#/extra", "#/password", "#/remember"]);
    }

    #[test]
    fn no_value_of_the_client_comes_back() {
        for body in [
            r#"{"email": {"k": "hunter2"}, "password": ["hunter2"]}"#,
            r#"{"email": "a", "password": "hunter2hunter2hunter2"}"#,
            r#"{"email": "a", "password": "hunter2"#,
            r#"{"email": "a", "password": hunter2}"#,
            r#""hunter2""#,
        ] {
            let details = problem(body);
            assert!(!format!("{details:?}").contains("hunter2"), "{details:?}");
        }
    }

    #[test]
    fn a_field_that_only_the_type_refuses_is_named_too() {
        let details = problem(r#"{"email":"a","password":"p","code":"hunter2"}"#);
        assert_eq!(details.errors[0].pointer, "#/code");
        assert!(!format!("{details:?}").contains("hunter2"));
    }

    #[test]
    fn a_right_body_is_parsed() {
        let login: Login =
            parse(br#"{"email":"a","password":"p","remember":null}"#).expect("it is right");
        assert_eq!((login.email.as_str(), login.remember), ("a", None));
    }

    #[test]
    fn a_field_with_a_default_is_left_out_and_never_null() {
        let details = problem(r#"{"email":"a","password":"p","scopes":null}"#);
        assert_eq!(details.errors[0].pointer, "#/scopes");
    }

    #[test]
    fn an_item_that_repeats_another_is_named() {
        let details = problem(r#"{"email":"a","password":"p","scopes":["x","y","x"]}"#);
        assert_eq!(details.errors[0].pointer, "#/scopes/2");
    }

    proptest! {
        #[test]
        fn any_body_is_the_type_or_is_refused_without_a_value_of_it(
            bytes in vec(any::<u8>(), 0..100),
            fields in vec(("email|password|remember|code|scopes|[a-z]", "\"hunter2[0-9]{0,12}\"|[0-9]{1,9}|null|true|\\[\"hunter2\"\\]|\\{\\}"), 0..6),
        ) {
            let _ = parse::<Login>(&bytes);
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let body = format!("{{{}}}", fields.join(","));
            match parse::<Login>(body.as_bytes()) {
                Ok(login) => {
                    let sent: Value = serde_json::from_str(&body).expect("it was read");
                    prop_assert_eq!(login.to_json().map(|it| it["email"].clone()), Some(sent["email"].clone()));
                }
                Err(details) => prop_assert!(!format!("{details:?}").contains("hunter2"), "{details:?}"),
            }
        }

        #[test]
        fn no_other_media_type_is_json(
            text in "\\PC{0,40}", like in "(application|text)/(x[+])?json(; ?charset=\"?(utf-8|UTF-8|latin-1)\"?)?",
        ) {
            prop_assert!(!is_json(&text) || text.to_lowercase().contains("json"));
            prop_assert_eq!(is_json(&like), like.starts_with("application/") && !like.contains("latin"), "{}", like);
        }
    }

    #[test]
    fn only_json_in_utf_8_is_json() {
        for right in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/merge-patch+json",
        ] {
            assert!(is_json(right), "{right}");
        }
        for wrong in [
            "",
            "text/plain",
            "application/json; charset=utf-16",
            "text/json+json",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_json(wrong), "{wrong}");
        }
    }
}
