//! Turns what poem-openapi generates into the committed document: the gaps are filled, every
//! failure is listed, and an operation without a name, a summary or an example is refused.

#![expect(
    clippy::indexing_slicing,
    reason = "serde_json answers Null for what is missing, and the objects written to are there"
)]

mod examples;
mod limits;
mod normal;
mod parameters;
mod requests;
mod responses;

use std::io::{self, Write as _};
use std::process::ExitCode;

use poem_openapi::{OpenApi, OpenApiService, Webhook};
use serde_json::{Value, json};

use crate::problem::Case;

/// The name of a security scheme and what its checker answers, which no handler lists.
pub type Scheme = (&'static str, &'static [Case]);

/// The document of a service, as `/openapi.json` serves it. A pure function: no settings, no sockets.
/// `limited` are the ids of the operations that a gate of the edge answers 429 for.
///
/// # Panics
/// When poem-openapi writes something else than JSON.
pub fn document<T: OpenApi, W: Webhook>(
    service: &OpenApiService<T, W>,
    schemes: &[Scheme],
    limited: &[&str],
) -> Value {
    let mut document: Value =
        serde_json::from_str(&service.spec()).expect("poem-openapi writes JSON");
    document["openapi"] = json!("3.0.3");
    document["servers"] = json!([{"url": "/"}]);
    normal::names(&mut document);
    requests::refuse_unknown_fields(&mut document);
    responses::list_failures(&mut document, schemes, limited);
    limits::show(&mut document, limited);
    parameters::complete(&mut document);
    examples::spread(&mut document);
    document.sort_all_objects();
    document
}

/// The document as it is committed: sorted keys, two spaces, a newline at the end.
pub fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// The subcommand `openapi`: prints the document, or says on standard error what is missing in it.
pub fn print<T: OpenApi, W: Webhook>(
    service: &OpenApiService<T, W>,
    schemes: &[Scheme],
    limited: &[&str],
) -> ExitCode {
    let document = document(service, schemes, limited);
    let mut missing = missing(&document);
    missing.extend(listed_twice(&service.spec()));
    if missing.is_empty() {
        let written = io::stdout().write_all(text(&document).as_bytes());
        return written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    }
    let _ = writeln!(
        io::stderr(),
        "the API document lacks:\n  {}",
        missing.join("\n  ")
    );
    ExitCode::FAILURE
}

/// Everything that a reader of the document would miss; empty when it is complete.
pub fn missing(document: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for (name, operation) in operations(document) {
        for member in ["operationId", "summary"] {
            if operation[member].as_str().is_none_or(str::is_empty) {
                missing.push(format!("{name}: {member}"));
            }
        }
        missing.extend(parameters::gaps(&name, operation));
        for (place, media) in examples::bodies(operation) {
            let shown = media.get("example").is_some() || media.get("examples").is_some();
            // Bytes (a file, a stream) have no JSON to show.
            if !shown && media["schema"]["format"] != "binary" {
                missing.push(format!("{name}: example of the {place}"));
            }
        }
    }
    missing
}

/// A success and a failure of one status would be one key twice, of which readers see either.
fn listed_twice(spec: &str) -> Option<String> {
    let error = crate::serve::strict_json(spec.as_bytes()).err()?;
    Some(format!(
        "unambiguous responses: {error} of the generated text"
    ))
}

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// Each operation with its `METHOD /path`.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = METHODS.into_iter();
        methods.filter_map(move |method| {
            let operation = item.get(method)?;
            Some((format!("{} {path}", method.to_ascii_uppercase()), operation))
        })
    })
}

/// Each operation with its method.
fn operations_mut(document: &mut Value) -> impl Iterator<Item = (&str, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(_, item)| {
        let item = item.as_object_mut().into_iter().flatten();
        item.filter(|(method, _)| METHODS.contains(&method.as_str()))
            .map(|(method, operation)| (method.as_str(), operation))
    })
}

/// Whether it is none of the safe methods (RFC 9110 §9.2.1), which a cookie alone is enough for.
fn changes_something(method: &str) -> bool {
    !matches!(method, "get" | "head" | "options" | "trace")
}

/// The name in `{"$ref": "#/components/schemas/<name>"}`.
fn referred(schema: &Value) -> Option<&str> {
    schema
        .get("$ref")?
        .as_str()?
        .strip_prefix("#/components/schemas/")
}
