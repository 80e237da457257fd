//! The documents as served: valid OpenAPI for a validator that is not ours. That they are complete is no question
//! here: a service prints no document that lacks a summary, a description or an example (`shared::openapi::missing`).

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
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    let paths = document.get("paths").and_then(Value::as_object);
    let items = paths.into_iter().flatten();
    items
        .map(|(_, item)| methods.iter().filter(|it| item.get(it).is_some()).count())
        .sum()
}
