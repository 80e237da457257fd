//! Lists, per operation, the failures that no handler names because the layers around it answer them.

use poem::http::StatusCode;
use poem_openapi::registry::Registry;
use poem_openapi::types::Type;
use serde_json::{Map, Value, json};

use super::{Scheme, changes_something, limits::is_limited, operations_mut};
use crate::access_token::{CROSS_SITE, CSRF};
use crate::problem::{
    self, Body, Case, EXAMPLE_ID, INVALID_REQUEST, MALFORMED_JSON, MEDIA_TYPE, OVERLOADED,
    PAYLOAD_TOO_LARGE, RATE_LIMITED, REQUEST_TIMEOUT, UNAUTHORIZED, UNSUPPORTED_MEDIA_TYPE,
    described, read_described,
};

const WITH_BODY: [Case; 5] = [
    INVALID_REQUEST,
    REQUEST_TIMEOUT,
    PAYLOAD_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    OVERLOADED,
];

/// Adds the cases of the framework, an example for each listed code, a name for each plain success,
/// and one `default` for what is listed nowhere.
pub(super) fn list_failures(document: &mut Value, schemes: &[Scheme], limited: &[&str]) {
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
    let mut shared = Map::new();
    for (method, operation) in operations_mut(document) {
        for case in framework_cases(method, operation, schemes, limited) {
            add(&mut operation["responses"], case);
        }
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (status, response) in responses {
            complete(status, response, &mut shared);
        }
        operation["responses"]["default"] = json!({"$ref": "#/components/responses/Problem"});
    }
    document["components"]["examples"] = Value::Object(shared);
}

/// What a cookie scheme answers to requests that change something, and to no other.
const CHANGES_ONLY: [Case; 2] = [CROSS_SITE, CSRF];

fn framework_cases(
    method: &str,
    operation: &Value,
    schemes: &[Scheme],
    limited: &[&str],
) -> Vec<Case> {
    let mut cases = Vec::new();
    if is_limited(operation, limited) {
        cases.push(RATE_LIMITED);
    }
    if let Some(body) = operation.get("requestBody") {
        cases.extend(WITH_BODY);
        if body["content"].get("application/json").is_some() {
            cases.push(MALFORMED_JSON);
        }
    } else if operation.get("parameters").is_some() {
        cases.push(INVALID_REQUEST);
    }
    let required = operation.get("security").and_then(Value::as_array);
    for requirement in required.into_iter().flatten() {
        cases.push(UNAUTHORIZED);
        for (name, answers) in schemes {
            if requirement.get(name).is_some() {
                let answered = answers
                    .iter()
                    .filter(|case| changes_something(method) || !CHANGES_ONLY.contains(case));
                cases.extend(answered);
            }
        }
    }
    cases
}

/// One more code of its status, unless the operation lists it or has a response of another kind there.
fn add(responses: &mut Value, case: Case) {
    let line = described(&[&case]);
    let response = &mut responses[case.status.to_string()];
    let Some(known) = response.get("description").and_then(Value::as_str) else {
        *response = serde_json::to_value(problem::response(case.status, &[&case]))
            .expect("a response is JSON");
        return;
    };
    let ours = response["content"].get(MEDIA_TYPE).is_some();
    if ours && !known.lines().any(|known| known == line) {
        response["description"] = format!("{known}\n{line}").into();
    }
}

/// The examples of a problem come from its description; an empty description becomes the reason phrase.
fn complete(status: &str, response: &mut Value, shared: &mut Map<String, Value>) {
    let Ok(code) = status.parse::<StatusCode>() else {
        return;
    };
    let description = response["description"].as_str().unwrap_or_default();
    if description.is_empty() {
        response["description"] = code.canonical_reason().unwrap_or(status).into();
        return;
    }
    let cases: Vec<_> = description.lines().filter_map(read_described).collect();
    if cases.is_empty() || response["content"].get(MEDIA_TYPE).is_none() {
        return;
    }
    let examples: Map<_, _> = cases
        .iter()
        .map(|(word, title)| {
            (
                (*word).to_owned(),
                example(code.as_u16(), word, title, shared),
            )
        })
        .collect();
    let list: Vec<_> = cases
        .iter()
        .map(|(word, title)| format!("- `{word}`: {title}"))
        .collect();
    response["description"] = list.join("\n").into();
    response["content"][MEDIA_TYPE]["examples"] = Value::Object(examples);
}

/// The same code means the same problem almost everywhere, so operations refer to one example of it.
fn example(status: u16, code: &str, title: &str, shared: &mut Map<String, Value>) -> Value {
    let mut example = json!({
        "summary": title,
        "value": {
            "type": format!("urn:keystead:problem:{code}"),
            "title": title,
            "status": status,
            "detail": format!("{title}."),
            "code": code,
            "request_id": EXAMPLE_ID,
        },
    });
    if code == INVALID_REQUEST.code {
        example["value"]["detail"] = "See errors for what is wrong and where.".into();
        example["value"]["errors"] = json!([
            {"pointer": "#/date", "message": "is required"},
            {"pointer": "query:limit", "message": "must be a whole number from 1 to 100"},
        ]);
    }
    let known = shared.entry(code).or_insert_with(|| example.clone());
    if *known == example {
        json!({"$ref": format!("#/components/examples/{code}")})
    } else {
        example
    }
}
