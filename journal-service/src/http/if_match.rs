//! The header `If-Match`, of which nothing that a client sent is overlooked.

use poem::{
    Request, RequestBody, Result,
    http::header::{HeaderValue, IF_MATCH},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};
use shared::problem::FieldError;

use crate::domain::precondition::Precondition;

/// All lines of the header. poem-openapi's own header parameter takes the first line and leaves out one that
/// is not ASCII: the demand would be forgotten, and the edit of somebody else lost.
pub(super) struct IfMatch(Vec<HeaderValue>);

impl IfMatch {
    /// What the client demands. Several lines are one list (RFC 9110 §5.3).
    pub(super) fn precondition(&self) -> std::result::Result<Precondition, FieldError> {
        if self.0.is_empty() {
            return Ok(Precondition::Any);
        }
        let lines: std::result::Result<Vec<_>, _> =
            self.0.iter().map(HeaderValue::to_str).collect();
        let lines = lines
            .map_err(|_| FieldError::new("header:If-Match", "has characters that are not ASCII"))?;
        Precondition::parse(&lines.join(", "))
    }
}

impl<'a> ApiExtractor<'a> for IfMatch {
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
        Some(<Self::ParamType as Type>::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        let lines = request.headers().get_all(IF_MATCH).iter();
        Ok(Self(lines.cloned().collect()))
    }
}
