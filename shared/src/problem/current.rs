//! What a 412 tells beside the refusal: the thing as it is now, so that a client need not ask again.

use poem::http::StatusCode;
use poem_openapi::registry::{MetaResponse, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;

/// The member of the problem.
pub(crate) const CURRENT: &str = "current";

/// The type of that thing, for the API document.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    schema: fn() -> MetaSchemaRef,
    register: fn(&mut Registry),
}

impl Current {
    /// For things of that type.
    pub const fn of<T: Type>() -> Self {
        Self {
            schema: T::schema_ref,
            register: T::register,
        }
    }

    pub(super) fn register(self, registry: &mut Registry) {
        (self.register)(registry);
    }

    /// The response with the member, where it is a 412 and there is one.
    pub(super) fn described(mut response: MetaResponse, current: Option<Self>) -> MetaResponse {
        let is_412 = response.status == Some(StatusCode::PRECONDITION_FAILED.as_u16());
        let Some(current) = current.filter(|_| is_412) else {
            return response;
        };
        let shown = MetaSchema {
            description: Some(
                "What is there now, as reading it shows it; left out when it does not open.",
            ),
            ..MetaSchema::ANY
        };
        let member = MetaSchema {
            properties: vec![(CURRENT, (current.schema)().merge(shown))],
            ..MetaSchema::new("object")
        };
        for content in &mut response.content {
            let problem = std::mem::replace(&mut content.schema, inline(MetaSchema::ANY));
            content.schema = inline(MetaSchema {
                all_of: vec![problem, inline(member.clone())],
                ..MetaSchema::ANY
            });
        }
        response
    }
}

fn inline(schema: MetaSchema) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(schema))
}
