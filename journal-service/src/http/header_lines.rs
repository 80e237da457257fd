//! Headers of which nothing that a client sent is overlooked.

use std::marker::PhantomData;

use poem::{
    Request, RequestBody, Result,
    http::header::{HeaderName, HeaderValue, IF_MATCH},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use shared::problem::FieldError;

use crate::domain::{idempotency::IdempotencyKey, precondition::Precondition};

/// All lines of a header. poem-openapi's own header parameter takes the first line and leaves out one that is not ASCII: the
/// demand would be forgotten, and the edit of somebody else lost, or an entry made twice.
pub(super) struct Lines<N>(Vec<HeaderValue>, PhantomData<N>);

/// Which header it is.
pub(super) trait Named {
    const NAME: HeaderName;
    /// As errors name it.
    const POINTER: &'static str;

    /// As the document describes it.
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }
}

/// `If-Match`.
pub(super) struct IfMatch;

impl Named for IfMatch {
    const NAME: HeaderName = IF_MATCH;
    const POINTER: &'static str = "header:If-Match";
}

/// `Idempotency-Key`.
pub(super) struct IdempotencyKeyHeader;

impl Named for IdempotencyKeyHeader {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");
    const POINTER: &'static str = "header:Idempotency-Key";

    fn schema() -> MetaSchema {
        MetaSchema {
            min_length: Some(1),
            max_length: Some(128),
            pattern: Some("^[!-~]+$".to_owned()),
            ..MetaSchema::new("string")
        }
    }
}

impl<N: Named> Lines<N> {
    /// The lines as one (RFC 9110 §5.3), if there are any.
    fn joined(&self) -> std::result::Result<Option<String>, FieldError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let lines: std::result::Result<Vec<_>, _> =
            self.0.iter().map(HeaderValue::to_str).collect();
        let lines =
            lines.map_err(|_| FieldError::new(N::POINTER, "has characters that are not ASCII"))?;
        Ok(Some(lines.join(", ")))
    }
}

impl Lines<IfMatch> {
    /// What the client demands.
    pub(super) fn precondition(&self) -> std::result::Result<Precondition, FieldError> {
        let lines = self.joined()?;
        lines.map_or(Ok(Precondition::Any), |lines| Precondition::parse(&lines))
    }
}

impl Lines<IdempotencyKeyHeader> {
    /// What the client calls its request, if it does.
    pub(super) fn key(&self) -> std::result::Result<Option<IdempotencyKey>, FieldError> {
        let lines = self.joined()?;
        lines.map(|lines| IdempotencyKey::parse(&lines)).transpose()
    }
}

impl<'a, N: Named + Send> ApiExtractor<'a> for Lines<N> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = Option<String>;
    type ParamRawType = String;

    fn register(registry: &mut Registry) {
        <Self::ParamType as Type>::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(N::schema())))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let lines = request.headers().get_all(N::NAME).iter();
        Ok(Self(lines.cloned().collect(), PhantomData))
    }
}
