//! An identity service as its clients see it: requests in, answers out.

use std::{path::PathBuf, time::Duration};

use contract::Sent;
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use stack::Addresses;

/// Longer than any answer, and than any mail takes, on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Where an identity service answers and what it writes.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) mail_dir: PathBuf,
    url: String,
    database_url: String,
    http: Client,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// An answer as a stranger can compare it with another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Service {
    /// The one that all tests share.
    pub(crate) fn of_the_test_run() -> Self {
        let addresses = Addresses::of_the_test_run();
        Self::at(
            addresses.api.identity,
            addresses.mail_dir,
            addresses.database.identity,
        )
    }

    pub(crate) fn at(url: String, mail_dir: PathBuf, database_url: String) -> Self {
        let http = Client::builder().timeout(PATIENCE).no_proxy().build();
        Self {
            mail_dir,
            url,
            database_url,
            http: http.expect("a client builds"),
        }
    }

    /// The same over HTTP/2, as a proxy in front of it may speak.
    pub(crate) fn over_http2(&self) -> Self {
        let http = Client::builder().http2_prior_knowledge().timeout(PATIENCE);
        Self {
            http: http.no_proxy().build().expect("a client builds"),
            ..self.clone()
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// `path` below `/api/auth`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, &format!("/api/auth/{path}"));
        sent(request.json(body)).await
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.post("login", &body).await
    }

    /// A login from a device that was given a token.
    pub(crate) async fn login_from(&self, device: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password, "device_token": device });
        self.post("login", &body).await
    }

    /// The service's database, as somebody with its password sees it.
    pub(crate) async fn database(&self) -> tokio_postgres::Client {
        connected(&self.database_url).await
    }
}

pub(crate) async fn connected(database_url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls)
        .await
        .expect("the database is there");
    tokio::spawn(connection);
    client
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// Status and code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().map(str::to_owned);
        (
            self.status,
            code.unwrap_or_else(|| panic!("no problem: {}", self.text)),
        )
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Names and values of the headers, less what names or dates this one answer.
    pub(crate) fn lasting_headers(&self) -> Vec<(String, String)> {
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let value = match name.as_str() {
                    "date" | "x-request-id" => "…",
                    _ => value.to_str().expect("headers are text"),
                };
                (name.to_string(), value.to_owned())
            })
            .collect();
        headers.sort();
        headers
    }

    /// Everything that a stranger sees, byte for byte, less what names or dates this one answer and what counts the
    /// requests before it.
    pub(crate) fn seen(&self) -> Seen {
        let id = self.header("x-request-id").expect("every answer has an id");
        let mut headers = self.lasting_headers();
        for (name, value) in &mut headers {
            if name.starts_with("ratelimit") {
                "…".clone_into(value);
            }
        }
        Seen {
            status: self.status,
            headers,
            body: self.text.replace(id, "…"),
        }
    }
}

pub(crate) async fn sent(request: RequestBuilder) -> Answer {
    let sent = contract::sent(stack::Service::Identity, request).await;
    let Sent {
        status,
        headers,
        text,
    } = sent.expect("identity answers");
    Answer {
        status,
        headers,
        text,
    }
}
