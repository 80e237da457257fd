//! Lists, per operation, the failures that no handler names because the layers around it answer them.

use std::collections::BTreeMap;

use poem::http::StatusCode;
use poem_openapi::registry::Registry;
use poem_openapi::types::Type;
use serde_json::{Map, Value, json};

use super::operations_mut;
use crate::problem::{
    Body, Case, EXAMPLE_ID, INVALID_REQUEST, MALFORMED_JSON, MEDIA_TYPE, PAYLOAD_TOO_LARGE,
    REQUEST_TIMEOUT, UNAUTHORIZED, UNSUPPORTED_MEDIA_TYPE, described, read_described,
};

const WITH_BODY: [Case; 5] = [
    INVALID_REQUEST,
    MALFORMED_JSON,
    REQUEST_TIMEOUT,
    PAYLOAD_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
];

/// Adds the cases of the framework, an example for each listed code, a name for each plain success,
/// and one `default` for what is listed nowhere.
pub(super) fn list_failures(document: &mut Value) {
    let mut registry = Registry::new();
    Body::register(&mut registry);
    for (name, schema) in &registry.schemas {
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        document["components"]["schemas"][name] = schema;
    }
    document["components"]["responses"] = json!({
        "Problem": {
            "description": "Any other failure",
            "content": {MEDIA_TYPE: {"schema": Body::schema_ref()}},
        },
    });
    for operation in operations_mut(document) {
        for case in framework_cases(operation) {
            add(&mut operation["responses"], case);
        }
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (status, response) in responses {
            complete(status, response);
        }
        operation["responses"]["default"] = json!({"$ref": "#/components/responses/Problem"});
    }
}

fn framework_cases(operation: &Value) -> Vec<Case> {
    let mut cases = Vec::new();
    if operation.get("requestBody").is_some() {
        cases.extend(WITH_BODY);
    } else if operation.get("parameters").is_some() {
        cases.push(INVALID_REQUEST);
    }
    if operation.get("security").is_some() {
        cases.push(UNAUTHORIZED);
    }
    cases
}

/// One more code of its status, unless the operation lists it or has a response of another kind there.
fn add(responses: &mut Value, case: Case) {
    let line = described(&[&case]);
    let response = &mut responses[case.status.to_string()];
    let Some(known) = response.get("description").and_then(Value::as_str) else {
        *response = json!({
            "description": line,
            "content": {MEDIA_TYPE: {"schema": Body::schema_ref()}},
        });
        if case.status == 401 {
            response["headers"] = json!({"WWW-Authenticate": {
                "description": "The accepted way to authenticate (RFC 9110 §11.6.1).",
                "schema": {"type": "string"},
            }});
        }
        return;
    };
    let ours = response["content"].get(MEDIA_TYPE).is_some();
    if ours && !known.lines().any(|known| known == line) {
        response["description"] = format!("{known}\n{line}").into();
    }
}

/// The examples of a problem come from its description; an empty description becomes the reason phrase.
fn complete(status: &str, response_value: &mut Value) {
    let description = response_value["description"].as_str().unwrap_or_default();
    let Ok(code) = status.parse::<StatusCode>() else {
        return;
    };
    if description.is_empty() {
        response_value["description"] = code.canonical_reason().unwrap_or(status).into();
        return;
    }
    let cases: Vec<_> = description.lines().filter_map(read_described).collect();
    if response_value["content"].get(MEDIA_TYPE).is_some() && !cases.is_empty() {
        let examples = problem_examples(code.as_u16(), &cases);
        let markdown: Vec<_> = cases
            .iter()
            .map(|(code, title)| format!("- `{code}`: {title}"))
            .collect();
        response_value["content"][MEDIA_TYPE]["examples"] = examples;
        response_value["description"] = markdown.join("\n").into();
    }
}

fn problem_examples(status: u16, cases: &[(&str, &str)]) -> Value {
    let examples: BTreeMap<_, _> = cases
        .iter()
        .map(|(code, title)| {
            let body = json!({
                "type": format!("urn:keystead:problem:{code}"),
                "title": title,
                "status": status,
                "detail": format!("{title}."),
                "code": code,
                "request_id": EXAMPLE_ID,
            });
            ((*code).to_owned(), json!({"summary": title, "value": body}))
        })
        .collect();
    Value::Object(examples.into_iter().collect::<Map<_, _>>())
}
