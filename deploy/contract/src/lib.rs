//! Whether an answer is one that the service's OpenAPI document names: by its status, its media type and its body. The
//! clients of the tests send through here, so the document is held against everything that any test brings about.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::{Draft, Validator};
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use stack::{Failure, PerService, Service, repository, suite_log};

/// A whole answer.
pub struct Sent {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// Sends a request, keeps what is refused for the search of the run, and holds the answer against the document.
///
/// # Errors
///
/// When no whole answer came.
///
/// # Panics
///
/// When the document does not name such an answer.
#[expect(clippy::panic, reason = "a test client: this is how a test fails")]
pub async fn sent(service: Service, request: RequestBuilder) -> reqwest::Result<Sent> {
    let (client, request) = request.build_split();
    let request = request?;
    let (method, path) = (
        request.method().to_string(),
        request.url().path().to_owned(),
    );
    let response = client.execute(request).await?;
    let sent = Sent {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await?,
    };
    suite_log::keep_problem(sent.status, sent.text.as_bytes());
    let media_type = sent
        .headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let answered = Answered {
        method: &method,
        path: &path,
        status: sent.status,
        media_type: media_type.unwrap_or_default(),
        body: &sent.text,
    };
    if let Err(why) = DOCUMENTS.of(service).names(answered) {
        panic!("openapi/{}.json: {why}: {answered:?}", service.name());
    }
    Ok(sent)
}

/// What came back from which operation.
#[derive(Clone, Copy, Debug)]
struct Answered<'a> {
    method: &'a str,
    path: &'a str,
    status: u16,
    media_type: &'a str,
    body: &'a str,
}

static DOCUMENTS: LazyLock<PerService<Document>> = LazyLock::new(|| {
    let documents = PerService::each(|service| {
        let file = repository::root().join(format!("openapi/{}.json", service.name()));
        Document::read(&file)
    });
    documents.expect("the documents of the repository")
});

struct Document {
    document: Value,
    /// By the schema that they check.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

impl Document {
    fn read(file: &PathBuf) -> Result<Self, Failure> {
        let reading = || format!("read {}", file.display());
        let text = std::fs::read_to_string(file).map_err(Failure::when(reading()))?;
        Ok(Self {
            document: serde_json::from_str(&text).map_err(Failure::when(reading()))?,
            validators: Mutex::default(),
        })
    }

    fn names(&self, answered: Answered<'_>) -> Result<(), String> {
        let Some(operation) = self.operation(answered.method, answered.path) else {
            return Ok(());
        };
        let status = answered.status.to_string();
        let answer = operation.pointer(&format!("/responses/{status}"));
        let answer = answer.ok_or_else(|| format!("no {status} is named"))?;
        let Some(content) = answer.get("content").and_then(Value::as_object) else {
            return answered
                .body
                .is_empty()
                .then_some(())
                .ok_or_else(|| format!("{status} has no body"));
        };
        let essence = answered.media_type.split(';').next().unwrap_or_default();
        let schema = content
            .iter()
            .find(|(named, _)| named.split(';').next() == Some(essence))
            .and_then(|(_, content)| content.get("schema"))
            .ok_or_else(|| format!("{status} is no {essence:?}"))?;
        if essence != "application/json" && !essence.ends_with("+json") {
            return Ok(());
        }
        let body = serde_json::from_str(answered.body).map_err(|error| error.to_string())?;
        self.validator(schema)
            .validate(&body)
            .map_err(|error| format!("{error} at {}", error.instance_path()))
    }

    /// The operation, if the document has one there. A path without parameters comes before one with.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let paths = self.document.get("paths")?.as_object()?;
        let fits = |template: &&String| {
            let (wanted, found) = (template.split('/'), path.split('/'));
            wanted.clone().count() == found.clone().count()
                && wanted
                    .zip(found)
                    .all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
        };
        let template = paths
            .keys()
            .filter(fits)
            .min_by_key(|it| it.matches('{').count())?;
        paths.get(template)?.get(method.to_ascii_lowercase())
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(schema.to_string()).or_insert_with(|| {
            let mut schema = schema.clone();
            // So that references within the document lead somewhere.
            if let (Some(schema), Some(components)) =
                (schema.as_object_mut(), self.document.get("components"))
            {
                schema.insert("components".to_owned(), components.clone());
            }
            // OpenAPI 3.0's schemas are those of the drafts before 2019 (§4.7.24).
            let options = jsonschema::options().with_draft(Draft::Draft4);
            Arc::new(options.build(&schema).expect("a schema"))
        });
        Arc::clone(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Answered<'_> = Answered {
        method: "GET",
        path: "/api/auth/me",
        status: 401,
        media_type: "application/problem+json",
        body: r#"{"type":"urn:keystead:problem:unauthorized","title":"Authentication is required","status":401,
            "detail":"No valid credential came with the request.","code":"unauthorized",
            "request_id":"0198c0de70008000a000000000000001"}"#,
    };

    #[test]
    fn what_is_named_passes_and_nothing_else() {
        let identity = DOCUMENTS.of(Service::Identity);
        assert_eq!(identity.names(ME), Ok(()));
        let elsewhere = Answered {
            path: "/nowhere",
            status: 404,
            ..ME
        };
        assert_eq!(identity.names(elsewhere), Ok(()));
        for wrong in [
            Answered { status: 418, ..ME },
            Answered {
                media_type: "",
                ..ME
            },
            Answered {
                media_type: "application/json",
                ..ME
            },
            Answered { body: "", ..ME },
            Answered {
                body: r#"{"code":"unauthorized"}"#,
                ..ME
            },
        ] {
            assert!(identity.names(wrong).is_err(), "{wrong:?}");
        }
    }
}
