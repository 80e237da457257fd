//! Checks a JSON value against the OpenAPI schema of its type, naming every wrong part by pointer
//! and never its value.

use std::fmt::{self, Write as _};

use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use uuid::Uuid;

use crate::problem::FieldError;

/// Beyond this many the rest is noise, and the answer stays small however large the body is.
const MOST_ERRORS: usize = 20;

/// The schema of one type with everything it refers to.
pub(super) struct Schema {
    root: MetaSchemaRef,
    registry: Registry,
}

impl Schema {
    pub(super) fn of<T: Type>() -> Self {
        let mut registry = Registry::new();
        T::register(&mut registry);
        Self {
            root: T::schema_ref(),
            registry,
        }
    }

    /// Every part of `value` that does not fit; empty when all of it does.
    pub(super) fn check(&self, value: &Value) -> Vec<FieldError> {
        let mut found = Found(Vec::new());
        self.visit(&self.root, value, &At::Root, &mut found);
        found.0.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        found.0
    }

    /// Whether the type is an object with this field.
    pub(super) fn has_field(&self, name: &str) -> bool {
        self.resolve(&self.root)
            .is_some_and(|schema| schema.properties.iter().any(|(known, _)| *known == name))
    }

    fn resolve<'a>(&'a self, schema: &'a MetaSchemaRef) -> Option<&'a MetaSchema> {
        match schema {
            MetaSchemaRef::Inline(schema) => Some(schema),
            MetaSchemaRef::Reference(name) => self.registry.schemas.get(name),
        }
    }

    fn visit(&self, schema: &MetaSchemaRef, value: &Value, at: &At<'_>, found: &mut Found) {
        let Some(schema) = self.resolve(schema) else {
            return;
        };
        // Only optional fields may be null (poem-openapi reads it as absent); `object` handles those.
        if schema.nullable && value.is_null() {
            return;
        }
        for part in &schema.all_of {
            self.visit(part, value, at, found);
        }
        self.choice(schema, value, at, found);
        if !schema.enum_items.is_empty() && !schema.enum_items.contains(value) {
            return found.add(at, "is not one of the allowed values");
        }
        match (schema.ty, value) {
            ("object", Value::Object(fields)) => self.object(schema, fields, at, found),
            ("array", Value::Array(items)) => self.array(schema, items, at, found),
            ("string", Value::String(text)) => string(schema, text, at, found),
            ("integer", Value::Number(number)) if number.is_f64() => {
                found.add(at, "must be an integer");
            }
            ("integer" | "number", Value::Number(number)) => bounds(schema, number, at, found),
            ("boolean", Value::Bool(_)) => {}
            ("object" | "array" | "string" | "integer" | "number" | "boolean", _) => {
                found.add(at, format!("must be of type {}", schema.ty));
            }
            _ => {}
        }
    }

    fn object(
        &self,
        schema: &MetaSchema,
        fields: &Map<String, Value>,
        at: &At<'_>,
        found: &mut Found,
    ) {
        for name in &schema.required {
            if !fields.contains_key(*name) {
                found.add(&At::Field(at, name), "is required");
            }
        }
        for (name, value) in fields {
            let at = At::Field(at, name);
            match schema.properties.iter().find(|(known, _)| known == name) {
                Some((known, property))
                    if value.is_null() && self.may_be_null(schema, known, property) => {}
                Some((_, property)) => self.visit(property, value, &at, found),
                None => match &schema.additional_properties {
                    Some(rest) => self.visit(rest, value, &at, found),
                    None if schema.properties.is_empty() => {}
                    None => found.add(&at, "is not a field of this request"),
                },
            }
        }
    }

    /// An optional field; one that has a default is left out instead.
    fn may_be_null(&self, schema: &MetaSchema, name: &str, property: &MetaSchemaRef) -> bool {
        let default = self.resolve(property).and_then(|it| it.default.as_ref());
        !schema.required.contains(&name) && default.is_none()
    }

    fn array(&self, schema: &MetaSchema, items: &[Value], at: &At<'_>, found: &mut Found) {
        if schema.max_items.is_some_and(|most| items.len() > most) {
            return found.add(at, "has too many items");
        }
        if schema.min_items.is_some_and(|least| items.len() < least) {
            return found.add(at, "has too few items");
        }
        if schema.unique_items == Some(true) {
            for (index, value) in items.iter().enumerate() {
                if items.iter().take(index).any(|earlier| earlier == value) {
                    found.add(&At::Item(at, index), "repeats an earlier item");
                }
            }
        }
        if let Some(item) = &schema.items {
            for (index, value) in items.iter().enumerate() {
                self.visit(item, value, &At::Item(at, index), found);
            }
        }
    }

    /// One of several shapes: the discriminator says which, or any must fit.
    fn choice(&self, schema: &MetaSchema, value: &Value, at: &At<'_>, found: &mut Found) {
        let mut choices = schema.one_of.iter().chain(&schema.any_of).peekable();
        if choices.peek().is_none() {
            return;
        }
        let fits = |choice: &MetaSchemaRef| {
            let mut inner = Found(Vec::new());
            self.visit(choice, value, at, &mut inner);
            inner.0.is_empty()
        };
        if let Some(discriminator) = &schema.discriminator {
            let at = At::Field(at, discriminator.property_name);
            let Some(Value::String(tag)) = value.get(discriminator.property_name) else {
                return found.add(&at, "is required");
            };
            if !discriminator.mapping.iter().any(|(name, _)| name == tag) {
                return found.add(&at, "is not one of the allowed values");
            }
        }
        if !choices.any(fits) {
            found.add(at, "fits none of the allowed shapes");
        }
    }
}

struct Found(Vec<FieldError>);

impl Found {
    fn add(&mut self, at: &At<'_>, message: impl Into<String>) {
        if self.0.len() < MOST_ERRORS {
            self.0.push(FieldError::new(at.to_string(), message));
        }
    }
}

fn string(schema: &MetaSchema, text: &str, at: &At<'_>, found: &mut Found) {
    // JSON Schema counts characters.
    let length = text.chars().count();
    if let Some(most) = schema.max_length.filter(|most| length > *most) {
        return found.add(at, format!("is longer than {most} characters"));
    }
    if let Some(least) = schema.min_length.filter(|least| length < *least) {
        return found.add(at, format!("is shorter than {least} characters"));
    }
    let day = format_description!("[year]-[month]-[day]");
    let (fits, message) = match schema.format {
        Some("uuid") => (Uuid::parse_str(text).is_ok(), "is not a UUID"),
        Some("date-time") => (
            OffsetDateTime::parse(text, &Rfc3339).is_ok(),
            "is not a time such as 2026-11-24T08:00:00Z",
        ),
        Some("date" | "naive-date") => (
            time::Date::parse(text, day).is_ok(),
            "is not a day such as 2026-11-24",
        ),
        _ => return,
    };
    if !fits {
        found.add(at, message);
    }
}

fn bounds(schema: &MetaSchema, number: &serde_json::Number, at: &At<'_>, found: &mut Found) {
    let Some(number) = number.as_f64() else {
        return;
    };
    let strict = schema.exclusive_maximum == Some(true);
    if schema
        .maximum
        .is_some_and(|most| number > most || (strict && number >= most))
    {
        return found.add(at, "is too large");
    }
    let strict = schema.exclusive_minimum == Some(true);
    if schema
        .minimum
        .is_some_and(|least| number < least || (strict && number <= least))
    {
        found.add(at, "is too small");
    }
}

/// A place in the value. Written out only when something is wrong there.
enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

/// A JSON Pointer (RFC 6901 §3) as a URI fragment (§6). An unknown field's name is the one thing of a body that comes back,
/// so it is cut.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_char('#'),
            Self::Field(parent, name) => {
                write!(f, "{parent}/")?;
                name.chars().take(64).try_for_each(|c| token(c, f))
            }
            Self::Item(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

fn token(c: char, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match c {
        '~' => f.write_str("~0"),
        '/' => f.write_str("~1"),
        c if c.is_ascii_alphanumeric() || "-._".contains(c) => f.write_char(c),
        c => {
            let mut utf8 = [0; 4];
            let mut bytes = c.encode_utf8(&mut utf8).bytes();
            bytes.try_for_each(|byte| write!(f, "%{byte:02X}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_escaped_and_short() {
        let field = |name: &str| At::Field(&At::Root, name).to_string();
        assert_eq!(field("a/b~c d"), "#/a~1b~0c%20d");
        assert_eq!(field("é"), "#/%C3%A9");
        assert_eq!(field(&"x".repeat(1_000)).len(), 66);
        assert_eq!(
            At::Item(&At::Field(&At::Root, "items"), 3).to_string(),
            "#/items/3"
        );
    }
}
