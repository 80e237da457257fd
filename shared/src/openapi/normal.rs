//! Names as the standards write them (header names, media types, formats), and references that readers take for what they
//! refer to.

use serde_json::{Map, Value};

/// Walks the whole document.
pub(super) fn names(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(names),
        Value::Object(map) => {
            rename(map, "headers", header);
            rename(map, "content", media_type);
            if map.get("in").and_then(Value::as_str) == Some("header")
                && let Some(Value::String(name)) = map.get_mut("name")
            {
                *name = header(name);
            }
            if map.get("format").and_then(Value::as_str) == Some("naive-date") {
                map.insert("format".to_owned(), "date".into());
            }
            leave_reference_alone(map);
            map.values_mut().for_each(names);
        }
        _ => {}
    }
}

/// poem-openapi says what it says of a reference twice: beside `allOf`, and as a second part of it. With the reference alone
/// in there, generators take the type itself and not a new one that is like it, or none at all for an enum.
fn leave_reference_alone(map: &mut Map<String, Value>) {
    let Some([reference, Value::Object(said)]) = map
        .get("allOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    else {
        return;
    };
    let said_twice = said.iter().all(|(key, value)| map.get(key) == Some(value));
    if said_twice && reference.get("$ref").is_some() {
        let alone = vec![reference.clone()];
        map.insert("allOf".to_owned(), alone.into());
    }
}

/// Renames the keys of the object `member`; a schema property that happens to have that name is an
/// object of schemas, whose keys are neither headers nor media types, and stays.
fn rename(map: &mut Map<String, Value>, member: &str, with: fn(&str) -> String) {
    let in_place = map.contains_key("description") || map.contains_key("required");
    if let Some(Value::Object(inner)) = map.get_mut(member).filter(|_| in_place) {
        *inner = std::mem::take(inner)
            .into_iter()
            .map(|(name, value)| (with(&name), value))
            .collect();
    }
}

/// poem-openapi writes `RETRY-AFTER`. Field names have no case, but readers do.
fn header(name: &str) -> String {
    let part = |part: &str| match part.to_ascii_lowercase().as_str() {
        "etag" => "ETag".to_owned(),
        "www" => "WWW".to_owned(),
        "csrf" => "CSRF".to_owned(),
        "ratelimit" => "RateLimit".to_owned(),
        lower => {
            let mut letters = lower.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    };
    name.split('-').map(part).collect::<Vec<_>>().join("-")
}

/// `application/json; charset=utf-8` → `application/json`: the parameter is no part of the type.
fn media_type(name: &str) -> String {
    name.split(';').next().unwrap_or(name).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn header_names_are_written_as_their_rfcs_write_them() {
        for (given, expected) in [
            ("RETRY-AFTER", "Retry-After"),
            ("WWW-AUTHENTICATE", "WWW-Authenticate"),
            ("ETAG", "ETag"),
            ("X-CSRF-TOKEN", "X-CSRF-Token"),
            ("RATELIMIT-POLICY", "RateLimit-Policy"),
            ("location", "Location"),
        ] {
            assert_eq!(header(given), expected);
        }
    }

    #[test]
    fn a_described_reference_is_the_only_part_and_what_is_said_nowhere_else_stays() {
        let reference = json!({"$ref": "#/components/schemas/Kind"});
        let mut described = json!({
            "allOf": [reference, {"description": "Which.", "default": "a"}],
            "description": "Which.",
            "default": "a",
        });
        names(&mut described);
        let alone = json!({"allOf": [reference], "description": "Which.", "default": "a"});
        assert_eq!(described, alone);
        for other in [
            json!({"allOf": [reference, {"maxLength": 3}], "description": "Which."}),
            json!({"allOf": [{"type": "object"}, {"description": "Which."}], "description": "Which."}),
        ] {
            let mut same = other.clone();
            names(&mut same);
            assert_eq!(same, other);
        }
    }

    #[test]
    fn a_schema_property_called_content_keeps_its_keys() {
        let mut value = json!({"properties": {"content": {"A;B": 1}, "headers": {"X": 1}}});
        let before = value.clone();
        names(&mut value);
        assert_eq!(value, before);
        let mut value =
            json!({"description": "", "content": {"application/json; charset=utf-8": {}}});
        names(&mut value);
        assert!(value["content"].get("application/json").is_some());
    }
}
