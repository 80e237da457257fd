//! Parameters as a client needs them: with an example each, and the CSRF token where a cookie session needs it.

use serde_json::{Value, json};

use super::{changes_something, operations_mut};
use crate::access_token::{COOKIE, CSRF_HEADER};

/// What parameters without a format look like.
const TEXTS: [(&str, &str); 9] = [
    (
        "after",
        "AgEBAAAAAAEQERITFBUWFxgZGhvqCoO84nMq9orJ5CbuTxCkzxFJ",
    ),
    (
        "since",
        "AgEBAAAAAAEQERITFBUWFxgZGhvqCoO84nMq9orJ5CbuTxCkzxFJ",
    ),
    ("q", "river walk"),
    ("iso_week", "2026-W48"),
    ("tag", "outside"),
    ("If-Match", "\"3\""),
    ("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ("If-None-Match", "\"3f9a\""),
    (
        "X-User-Token",
        "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
    ),
];

/// Adds what poem-openapi cannot know.
pub(super) fn complete(document: &mut Value) {
    for (method, operation) in operations_mut(document) {
        if changes_something(method) && takes_cookies(operation) {
            add_csrf_token(operation);
        }
        let parameters = operation.get_mut("parameters");
        for parameter in parameters
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if parameter.get("example").is_none()
                && let Some(example) = example(parameter)
            {
                parameter["example"] = example;
            }
        }
    }
}

/// The parameters of an operation that lack a description or an example.
pub(super) fn gaps(operation_name: &str, operation: &Value) -> Vec<String> {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let mut gaps = Vec::new();
    for parameter in parameters.into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        if parameter["description"].as_str().is_none_or(str::is_empty) {
            gaps.push(format!(
                "{operation_name}: description of the parameter {name}"
            ));
        }
        if parameter.get("example").is_none() {
            gaps.push(format!("{operation_name}: example of the parameter {name}"));
        }
    }
    gaps
}

fn takes_cookies(operation: &Value) -> bool {
    let schemes = operation.get("security").and_then(Value::as_array);
    schemes
        .into_iter()
        .flatten()
        .any(|it| it.get(COOKIE).is_some())
}

/// The check reads the header from the request, so that no handler can forget it; hence no handler names it.
fn add_csrf_token(operation: &mut Value) {
    let parameter = json!({
        "name": CSRF_HEADER,
        "in": "header",
        "required": false,
        "description": "The CSRF token of the session: needed with the session's cookie, and not with a bearer token.",
        "schema": {"type": "string"},
        "example": "kst_c_4ZbQ0mJt3rC1oVn8yPqXk2uHs6dLgWfAeTiBzRx7NcM",
    });
    match operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut)
    {
        Some(parameters) => parameters.push(parameter),
        None => operation["parameters"] = json!([parameter]),
    }
}

fn example(parameter: &Value) -> Option<Value> {
    let schema = &parameter["schema"];
    if let Some(default) = schema.get("default") {
        return Some(default.clone());
    }
    match schema["format"].as_str() {
        Some("uuid") => return Some(json!("019ab4f0-7c00-7000-8000-0000000000e1")),
        Some("date-time") => return Some(json!("2026-11-24T21:04:05.123456Z")),
        Some("date") => return Some(json!("2026-11-24")),
        _ if schema["type"] == "integer" => return Some(json!(10)),
        _ if schema["type"] == "boolean" => return Some(json!(true)),
        _ => {}
    }
    let name = parameter["name"].as_str()?;
    let known = TEXTS.iter().find(|(known, _)| *known == name);
    known.map(|(_, example)| json!(example))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        let both = json!([{"access_token": []}, {COOKIE: []}]);
        json!({"paths": {"/a": {
            "get": {"security": both, "parameters": [
                {"name": "from", "in": "query", "description": "a day", "schema": {"format": "date"}},
                {"name": "limit", "in": "query", "description": "so many", "schema": {"default": 50}},
                {"name": "odd", "in": "query", "schema": {"type": "string"}},
            ]},
            "post": {"security": both},
            "put": {"security": [{"access_token": []}]},
        }}})
    }

    #[test]
    fn only_what_changes_something_with_a_cookie_takes_the_csrf_token() {
        let mut document = document();
        complete(&mut document);
        let item = &document["paths"]["/a"];
        assert_eq!(item["post"]["parameters"][0]["name"], CSRF_HEADER);
        assert_eq!(item["get"]["parameters"].as_array().map(Vec::len), Some(3));
        assert!(item["put"].get("parameters").is_none());
    }

    #[test]
    fn what_lacks_an_example_or_a_description_is_named() {
        let mut document = document();
        complete(&mut document);
        let read = &document["paths"]["/a"]["get"];
        assert_eq!(read["parameters"][0]["example"], "2026-11-24");
        assert_eq!(read["parameters"][1]["example"], 50);
        assert_eq!(
            gaps("GET /a", read),
            [
                "GET /a: description of the parameter odd",
                "GET /a: example of the parameter odd"
            ]
        );
    }
}
