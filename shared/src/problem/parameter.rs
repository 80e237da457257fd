//! What the API document says about a parameter, for whoever sent another thing.

use serde_json::Value;

use super::FieldError;

/// A parameter of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(super) name: String,
    /// `query`, `path`, `header` or `cookie`.
    pub(super) place: String,
    demand: String,
}

impl Parameter {
    /// Reads a parameter of the document.
    pub(crate) fn of(described: &Value) -> Option<Self> {
        let text = |member: &str| described.get(member)?.as_str().map(str::to_owned);
        Some(Self {
            name: text("name")?,
            place: text("in")?,
            demand: demand(described.get("schema")?),
        })
    }

    /// It was not sent, or is not what the document says.
    pub(super) fn refused(&self) -> FieldError {
        let pointer = format!("{}:{}", self.place, self.name);
        FieldError::new(pointer, self.demand.as_str())
    }
}

/// What has to be there.
fn demand(schema: &Value) -> String {
    let text = |member: &str| schema.get(member).and_then(Value::as_str);
    // The document writes whole bounds as 100.0.
    let bound = |member: &str| Some(schema.get(member)?.as_f64()?.to_string());
    match (text("type"), text("format")) {
        (Some("integer"), _) => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("must be a whole number from {least} to {most}"),
            _ => "must be a whole number".to_owned(),
        },
        (_, Some("uuid")) => "must be a UUID".to_owned(),
        (_, Some("date" | "naive-date")) => "must be a day such as 2026-11-24".to_owned(),
        _ => match bound("maxLength") {
            Some(most) => format!("must be a text of at most {most} characters"),
            None => "is missing or does not have the required form".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_said_what_would_be_right() {
        for (schema, demanded) in [
            (
                json!({"type": "integer", "minimum": 1.0, "maximum": 100.0}),
                "must be a whole number from 1 to 100",
            ),
            (json!({"type": "integer"}), "must be a whole number"),
            (
                json!({"type": "string", "format": "uuid"}),
                "must be a UUID",
            ),
            (
                json!({"type": "string", "format": "date"}),
                "must be a day such as 2026-11-24",
            ),
            (
                json!({"type": "string", "maxLength": 512}),
                "must be a text of at most 512 characters",
            ),
            (
                json!({"type": "string"}),
                "is missing or does not have the required form",
            ),
        ] {
            let described = json!({"name": "it", "in": "query", "schema": schema});
            let refused = Parameter::of(&described).expect("it is whole").refused();
            assert_eq!(
                (refused.pointer.as_str(), refused.message.as_str()),
                ("query:it", demanded)
            );
        }
    }
}
