//! The documents as served: valid OpenAPI for a validator that is not ours, and complete enough to work from.

use std::time::Duration;

use serde_json::Value;
use stack::{Addresses, Failure, Progress, Service};

use super::{Outcome, python};

pub(crate) async fn judge(addresses: &Addresses, progress: Progress) -> Outcome {
    let python = match python::with_package("openapi-spec-validator", "0.9.0", progress).await {
        Ok(python) => python,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let mut complaints = Vec::new();
    let mut operations = 0;
    for service in Service::ALL {
        let document = match served(addresses, service).await {
            Ok(document) => document,
            Err(failure) => return Outcome::Failed(failure.to_string()),
        };
        operations += count_operations(&document);
        complaints.extend(
            gaps(&document)
                .into_iter()
                .map(|gap| format!("{}: {gap}", service.name())),
        );
        let file = addresses
            .stack_dir
            .join(format!("{}.openapi.json", service.name()));
        if let Err(error) = std::fs::write(&file, document.to_string()) {
            return Outcome::Failed(format!("cannot write {}: {error}", file.display()));
        }
        let verdict = python::run(&python, |command| {
            command.args(["-m", "openapi_spec_validator"]).arg(&file);
        });
        if let Err(failure) = verdict.await {
            complaints.push(format!("{}: {failure}", service.name()));
        }
    }
    Outcome::of(&complaints, format!("({operations} operations)"))
}

/// The document where the service's explorer gets it from.
pub(crate) async fn served(addresses: &Addresses, service: Service) -> Result<Value, Failure> {
    let base = match service {
        Service::Vault => addresses.ops.of(service),
        Service::Identity | Service::Journal => addresses.api.of(service),
    };
    let url = format!("{base}/openapi.json");
    let doing = || format!("get {url}");
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .map_err(Failure::when(doing()))?;
    let answer = client
        .get(&url)
        .send()
        .await
        .map_err(Failure::when(doing()))?;
    let answer = answer.error_for_status().map_err(Failure::when(doing()))?;
    answer.json().await.map_err(Failure::when(doing()))
}

pub(crate) fn count_operations(document: &Value) -> usize {
    operations(document).count()
}

/// What a reader needs and the specification does not demand.
fn gaps(document: &Value) -> Vec<String> {
    let mut gaps = Vec::new();
    for (name, operation) in operations(document) {
        for member in ["operationId", "summary"] {
            if operation
                .get(member)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                gaps.push(format!("{name} has no {member}"));
            }
        }
        if !mentions_example(document, operation) {
            gaps.push(format!("{name} has no example"));
        }
    }
    gaps
}

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .flat_map(move |(path, item)| {
            methods.into_iter().filter_map(move |method| {
                Some((
                    format!("{} {path}", method.to_uppercase()),
                    item.get(method)?,
                ))
            })
        })
}

/// An `example` in the operation itself or in a schema it refers to; one without bodies needs none.
fn mentions_example(document: &Value, operation: &Value) -> bool {
    let text = operation.to_string();
    if text.contains("\"example") || !text.contains("\"schema\"") {
        return true;
    }
    let referred = text
        .split("#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let schemas = document.pointer("/components/schemas");
    referred
        .filter_map(|name| schemas?.get(name))
        .any(|schema| schema.to_string().contains("\"example"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operation_without_summary_or_example_is_named() {
        let document = json!({"paths": {"/a": {"post": {
            "operationId": "a",
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
        }}}, "components": {"schemas": {"A": {"type": "object"}}}});
        assert_eq!(
            gaps(&document),
            ["POST /a has no summary", "POST /a has no example"]
        );
    }
}
