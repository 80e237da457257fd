//! A secret in a request body: it goes from the parser into a type that cannot be printed.

use std::borrow::Cow;

use poem_openapi::{
    registry::{MetaSchema, MetaSchemaRef},
    types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type},
};
use secrecy::SecretString;
use serde_json::Value;

/// A password or a token. Written into examples and nowhere else.
#[derive(Clone)]
pub(super) struct SecretText(SecretString);

impl SecretText {
    /// For the example of a request.
    pub(super) fn example(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn into_secret(self) -> SecretString {
        self.0
    }
}

impl Type for SecretText {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string_password".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "password")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ParseFromJSON for SecretText {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match value {
            Some(Value::String(text)) => Ok(Self(text.into())),
            // The usual error repeats the value.
            _ => Err(ParseError::custom("is not a string")),
        }
    }
}

impl ToJSON for SecretText {
    /// Only an example is ever written: a body that holds a secret is never an answer.
    fn to_json(&self) -> Option<Value> {
        use secrecy::ExposeSecret;
        Some(self.0.expose_secret().into())
    }
}
