//! Operations with a rate limit say on every answer how much of it is left.

use serde_json::{Map, Value, json};

use super::operations_mut;

/// What a header says, whether it is a number, and how it looks.
const HEADERS: [(&str, &str, bool, &str); 5] = [
    (
        "RateLimit-Policy",
        "The limit by name: `q` requests in `w` seconds (draft-ietf-httpapi-ratelimit-headers-11).",
        false,
        r#""login";q=5;w=900"#,
    ),
    (
        "RateLimit",
        "`r` requests are left, and it is `t` seconds until there is one more.",
        false,
        r#""login";r=4;t=180"#,
    ),
    ("RateLimit-Limit", "The `q` of the policy.", true, "5"),
    ("RateLimit-Remaining", "The `r`.", true, "4"),
    ("RateLimit-Reset", "The `t`.", true, "180"),
];

pub(super) fn is_limited(operation: &Value, limited: &[&str]) -> bool {
    let id = operation.get("operationId").and_then(Value::as_str);
    id.is_some_and(|id| limited.contains(&id))
}

/// Lists the headers with each answer that is described at the operation itself.
pub(super) fn show(document: &mut Value, limited: &[&str]) {
    if limited.is_empty() {
        return;
    }
    let described = HEADERS.map(|(name, description, is_number, example)| {
        let kind = if is_number { "integer" } else { "string" };
        let example = match example.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) => json!(example),
        };
        let header =
            json!({"description": description, "schema": {"type": kind}, "example": example});
        (name.to_owned(), header)
    });
    document["components"]["headers"] = Value::Object(Map::from_iter(described));
    for (_, operation) in operations_mut(document).filter(|(_, it)| is_limited(it, limited)) {
        let responses = operation["responses"].as_object_mut().into_iter().flatten();
        for (_, response) in responses.filter(|(_, it)| it.get("description").is_some()) {
            for (name, ..) in HEADERS {
                response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
            }
        }
    }
}
