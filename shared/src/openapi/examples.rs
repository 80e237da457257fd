//! Brings the examples of the types (`#[oai(example)]`) to the bodies of the operations.

use serde_json::{Map, Value, json};

use super::{METHODS, referred};

/// Deep enough for every real example, and an end for a schema that contains itself.
const DEPTH: usize = 8;

/// Gives every request and success body the example of its schema.
pub(super) fn spread(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, item) in paths {
        for method in METHODS {
            let Some(operation) = item.get_mut(method) else {
                continue;
            };
            for media in bodies_mut(operation) {
                if media.get("example").is_some() || media.get("examples").is_some() {
                    continue;
                }
                let schema = &media["schema"];
                if let Some(examples) = of_choices(schema, &schemas) {
                    media["examples"] = examples;
                } else if let Some(example) = of(schema, &schemas, DEPTH) {
                    media["example"] = example;
                }
            }
        }
    }
}

/// The request body and the bodies of all successes of an operation, with a name for messages.
pub(super) fn bodies(operation: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (_, media) in operation["requestBody"]["content"]
        .as_object()
        .into_iter()
        .flatten()
    {
        found.push(("request".to_owned(), media));
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        if status.starts_with('2') {
            for (_, media) in response["content"].as_object().into_iter().flatten() {
                found.push((format!("{status} response"), media));
            }
        }
    }
    found
}

fn bodies_mut(operation: &mut Value) -> Vec<&mut Value> {
    let Some(operation) = operation.as_object_mut() else {
        return Vec::new();
    };
    let mut holders = Vec::new();
    for (name, member) in operation {
        match name.as_str() {
            "requestBody" => holders.push(member),
            "responses" => holders.extend(
                member
                    .as_object_mut()
                    .into_iter()
                    .flatten()
                    .filter(|(status, _)| status.starts_with('2'))
                    .map(|(_, response)| response),
            ),
            _ => {}
        }
    }
    holders
        .into_iter()
        .filter_map(|holder| holder.get_mut("content")?.as_object_mut())
        .flatten()
        .map(|(_, media)| media)
        .collect()
}

/// One named example per shape of a union.
fn of_choices(schema: &Value, schemas: &Value) -> Option<Value> {
    let schema = referred(schema).map_or(schema, |name| &schemas[name]);
    let choices = ["oneOf", "anyOf"]
        .into_iter()
        .find_map(|key| schema.get(key)?.as_array())?;
    let mut examples = Map::new();
    for (index, choice) in choices.iter().enumerate() {
        let name = referred(choice).map_or_else(|| format!("shape_{index}"), str::to_owned);
        examples.insert(name, json!({"value": of(choice, schemas, DEPTH)?}));
    }
    Some(Value::Object(examples))
}

fn of(schema: &Value, schemas: &Value, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    if let Some(example) = schema.get("example") {
        return Some(example.clone());
    }
    if let Some(name) = referred(schema) {
        return of(&schemas[name], schemas, depth);
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let parts: Option<Vec<_>> = parts.iter().map(|part| of(part, schemas, depth)).collect();
        return parts.map(merged);
    }
    if let Some(choices) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        return of(choices.get(0)?, schemas, depth);
    }
    if let Some(items) = schema.get("enum").and_then(Value::as_array) {
        return items.first().cloned();
    }
    match schema.get("type")?.as_str()? {
        "array" => of(&schema["items"], schemas, depth).map(|item| json!([item])),
        "object" => {
            let properties = schema.get("properties")?.as_object()?.iter();
            let example =
                properties.map(|(name, it)| Some((name.clone(), of(it, schemas, depth)?)));
            example.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        _ => None,
    }
}

fn merged(parts: Vec<Value>) -> Value {
    let mut whole = Map::new();
    for part in parts {
        match part {
            Value::Object(part) => whole.extend(part),
            single => return single,
        }
    }
    Value::Object(whole)
}
