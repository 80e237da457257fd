//! People and their journals as tests see them: requests in, answers out, and the tables behind.

use std::time::Duration;

use contract::Sent;
use reqwest::{Client, Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};
use stack::{Addresses, Person, Service};
use uuid::Uuid;

/// Longer than any answer of a loaded machine takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A person with an access token, and the journal that they see.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) user_id: Uuid,
    token: String,
    url: String,
    api: String,
    http: Client,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Journal {
    /// Of somebody who signed up just now and wrote nothing yet.
    pub(crate) async fn of_a_new_person() -> Self {
        Self::of_a_new_person_in(&Addresses::of_the_test_run()).await
    }

    /// The same in a stack of the test's own.
    pub(crate) async fn of_a_new_person_in(addresses: &Addresses) -> Self {
        let person = Person::new(addresses, "somebody").await;
        Self {
            user_id: person.id.parse().expect("a person has an id"),
            token: person.access_token,
            url: format!("{}/api/entries", addresses.api.journal),
            api: format!("{}/api", addresses.api.journal),
            http: Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                .build()
                .expect("a client builds"),
        }
    }

    pub(crate) async fn create(&self, draft: &Value) -> Answer {
        sent(self.request(Method::POST, "").json(draft)).await
    }

    /// Creates an entry that must be taken; its id.
    pub(crate) async fn write(&self, draft: &Value) -> String {
        let answer = self.create(draft).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"]
            .as_str()
            .expect("an entry has an id")
            .to_owned()
    }

    pub(crate) async fn read(&self, id: &str) -> Answer {
        sent(self.request(Method::GET, &format!("/{id}"))).await
    }

    /// `query` with its question mark, or nothing.
    pub(crate) async fn list(&self, query: &str) -> Answer {
        sent(self.request(Method::GET, query)).await
    }

    pub(crate) async fn replace(&self, id: &str, draft: &Value, if_match: Option<&str>) -> Answer {
        let request = self.request(Method::PUT, &format!("/{id}")).json(draft);
        sent(with_if_match(request, if_match)).await
    }

    pub(crate) async fn delete(&self, id: &str, if_match: Option<&str>) -> Answer {
        let request = self.request(Method::DELETE, &format!("/{id}"));
        sent(with_if_match(request, if_match)).await
    }

    /// A request with the person's token, for what the methods above do not say.
    pub(crate) fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        self.unauthenticated(method, rest).bearer_auth(&self.token)
    }

    /// The same for what is no entry: `path` begins behind `/api`.
    pub(crate) fn elsewhere(&self, method: Method, path: &str) -> RequestBuilder {
        let api = self.url.strip_suffix("/entries").unwrap_or(&self.url);
        self.http
            .request(method, format!("{api}{path}"))
            .bearer_auth(&self.token)
    }

    /// All entries, in the order of the list.
    pub(crate) async fn entries(&self) -> Vec<Value> {
        let (mut entries, mut query) = (Vec::new(), "?limit=100".to_owned());
        loop {
            let page = self.list(&query).await.json();
            entries.extend(page["entries"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => query = format!("?limit=100&after={next}"),
                None => return entries,
            }
        }
    }

    pub(crate) fn unauthenticated(&self, method: Method, rest: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{rest}", self.url))
    }

    /// A request beside entries, such as `/pillars`, with the person's token.
    pub(crate) fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.api));
        request.bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        sent(self.api(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        sent(self.api(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value, if_match: Option<&str>) -> Answer {
        let request = self.api(Method::PUT, path).json(body);
        sent(with_if_match(request, if_match)).await
    }

    pub(crate) async fn remove(&self, path: &str, if_match: Option<&str>) -> Answer {
        let request = self.api(Method::DELETE, path);
        sent(with_if_match(request, if_match)).await
    }

    /// Makes a pillar that must be taken; its id.
    pub(crate) async fn pillar(&self, name: &str) -> String {
        let answer = self.post("/pillars", &json!({ "name": name })).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let id = answer.json()["id"].as_str().map(str::to_owned);
        id.expect("a pillar has an id")
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

impl Answer {
    /// # Panics
    /// When the body is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Status and code of a problem.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text
        );
        (
            self.status,
            self.json()["code"].as_str().unwrap_or_default().to_owned(),
        )
    }

    /// The pointers of a problem's errors.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let pointer = |error: &Value| error["pointer"].as_str().unwrap_or_default().to_owned();
        errors.iter().map(pointer).collect()
    }
}

pub(crate) async fn sent(request: RequestBuilder) -> Answer {
    let sent = contract::sent(Service::Journal, request).await;
    let Sent {
        status,
        headers,
        text,
    } = sent.expect("the journal answers");
    Answer {
        status,
        headers,
        text,
    }
}

/// An ordinary entry about that day.
pub(crate) fn draft(date: &str, title: &str) -> Value {
    json!({
        "date": date,
        "title": title,
        "body": format!("The body of {title}."),
        "mood": 7,
        "tags": ["home"],
        "completed": true,
    })
}

/// The journal's database, as somebody with the database's password sees it.
pub(crate) async fn database() -> tokio_postgres::Client {
    connected(&Addresses::of_the_test_run().database.journal).await
}

pub(crate) async fn connected(database_url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls)
        .await
        .expect("the database is there");
    tokio::spawn(connection);
    client
}

/// Everything the journal has logged so far.
pub(crate) fn log() -> String {
    let folder = Addresses::of_the_test_run().log_dir;
    let bytes = std::fs::read(folder.join("journal.log")).expect("the journal logs");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn with_if_match(request: RequestBuilder, if_match: Option<&str>) -> RequestBuilder {
    match if_match {
        Some(tag) => request.header("If-Match", tag),
        None => request,
    }
}
