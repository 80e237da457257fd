//! Requests in JSON refuse unknown fields ([`crate::serve::Json`] does); the document says so.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{operations, referred};

/// Closes every object schema that a request body in JSON reaches.
pub(super) fn refuse_unknown_fields(document: &mut Value) {
    let mut reached = BTreeSet::new();
    for (_, operation) in operations(document) {
        let json = &operation["requestBody"]["content"]["application/json"];
        collect(json, document, &mut reached);
    }
    for name in reached {
        let schema = &mut document["components"]["schemas"][&name];
        let open = schema.get("additionalProperties").is_none();
        if open && schema["type"] == "object" {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// Every schema named below `value`, except inside an `allOf` of several objects: closing one of
/// those would refuse the fields of the others.
fn collect(value: &Value, document: &Value, reached: &mut BTreeSet<String>) {
    if let Some(name) = referred(value) {
        if reached.insert(name.to_owned()) {
            collect(&document["components"]["schemas"][name], document, reached);
        }
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|it| collect(it, document, reached)),
        Value::Object(map) => map
            .iter()
            .filter(|(key, value)| *key != "allOf" || objects(value, document) < 2)
            .for_each(|(_, value)| collect(value, document, reached)),
        _ => {}
    }
}

fn objects(parts: &Value, document: &Value) -> usize {
    let parts = parts.as_array().map(Vec::as_slice).unwrap_or_default();
    let has_fields = |part: &&Value| {
        let schema = referred(part).map_or(*part, |name| &document["components"]["schemas"][name]);
        schema.get("properties").is_some()
    };
    parts.iter().filter(has_fields).count()
}
