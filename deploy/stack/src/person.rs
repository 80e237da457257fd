//! Somebody who uses Keystead, for tests: `let ada = Person::new(stack.addresses(), "ada").await;
//! ada.write("Dear diary").await;`.
//!
//! Only what a person could do, over HTTP and from the mail: nothing is read from a database or a key.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, IF_MATCH};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::mail::{self, Mail};
use crate::secrets::random_hex;
use crate::{Addresses, Failure, suite_log, until};

/// Longer than the way of a mail from the outbox to its file.
const MAIL_LIMIT: Duration = Duration::from_secs(30);

/// A person with a verified account and an open session.
pub struct Person {
    addresses: Addresses,
    http: Client,
    pub email: String,
    pub password: String,
    pub access_token: String,
    pub refresh_token: String,
    pub id: String,
}

/// What a service answered.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// `null` when there was none or it was not JSON.
    pub body: Value,
}

impl Answer {
    /// A text in the body, such as `text("/code")`; empty when it is not there.
    pub fn text(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl Person {
    /// Signs up, confirms the address with the token from the mail, and logs in.
    ///
    /// # Panics
    ///
    /// When any of it fails: a test cannot go on without its person.
    pub async fn new(addresses: &Addresses, name: &str) -> Self {
        Self::try_new(addresses, name)
            .await
            .expect("a person can sign up and log in")
    }

    /// The same where a failure is not the end of everything.
    pub async fn try_new(addresses: &Addresses, name: &str) -> Result<Self, Failure> {
        let http = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(Failure::when("make an HTTP client"))?;
        let mut person = Self {
            addresses: addresses.clone(),
            http,
            email: format!("{name}.{}@example.test", random_hex(8)?),
            password: format!("plough candle orbit {}", random_hex(8)?),
            access_token: String::new(),
            refresh_token: String::new(),
            id: String::new(),
        };
        person.sign_up().await?;
        person.log_in().await?;
        let me = person.identity(Method::GET, "/me", None).await?;
        me.text("/id").clone_into(&mut person.id);
        Ok(person)
    }

    async fn sign_up(&self) -> Result<(), Failure> {
        let body = json!({ "email": self.email, "password": self.password });
        expect(
            &self.identity(Method::POST, "/signup", Some(body)).await?,
            202,
            "signup",
        )?;
        let token = until("the mail with the token", MAIL_LIMIT, async || {
            self.mailed_token()
        })
        .await?;
        let verified = self
            .identity(
                Method::POST,
                "/verify-email",
                Some(json!({ "token": token })),
            )
            .await?;
        expect(&verified, 200, "verify-email")
    }

    /// A new session; the old one goes on.
    pub async fn log_in(&mut self) -> Result<(), Failure> {
        let body = json!({ "email": self.email, "password": self.password });
        let session = self.identity(Method::POST, "/login", Some(body)).await?;
        expect(&session, 200, "login")?;
        session
            .text("/access_token")
            .clone_into(&mut self.access_token);
        session
            .text("/refresh_token")
            .clone_into(&mut self.refresh_token);
        Ok(())
    }

    fn mailed_token(&self) -> Result<String, String> {
        let mails = mail::all(&self.addresses.mail_dir, Some(&self.email))
            .map_err(|failure| failure.to_string())?;
        let token = mails.iter().find_map(Mail::token).map(str::to_owned);
        token.ok_or_else(|| format!("{} mails, no token", mails.len()))
    }

    /// Writes an entry dated a fixed day; its id.
    ///
    /// # Panics
    ///
    /// When the journal does not take it.
    pub async fn write(&self, title: &str, body: &str) -> String {
        let draft = json!({ "date": "2026-11-24", "title": title, "body": body });
        let answer = self
            .journal(Method::POST, "/entries", Some(draft))
            .await
            .expect("the journal answers");
        expect(&answer, 201, "write an entry").expect("the journal takes an entry");
        answer.text("/id").to_owned()
    }

    /// Asks for an entry, whosever it is.
    ///
    /// # Panics
    ///
    /// When the journal does not answer at all.
    pub async fn read(&self, id: &str) -> Answer {
        self.journal(Method::GET, &format!("/entries/{id}"), None)
            .await
            .expect("the journal answers")
    }

    /// Replaces an entry's title and body.
    ///
    /// # Panics
    ///
    /// When the journal does not answer at all.
    pub async fn rewrite(&self, id: &str, revision: u64, title: &str, body: &str) -> Answer {
        let draft = json!({ "date": "2026-11-24", "title": title, "body": body });
        let url = format!("{}/api/entries/{id}", self.addresses.api.journal);
        let request = self
            .http
            .put(url)
            .header(AUTHORIZATION, format!("Bearer {}", self.access_token))
            .header(IF_MATCH, format!("\"{revision}\""))
            .json(&draft);
        answer(request).await.expect("the journal answers")
    }

    /// A request to identity, as this person once there is a session. `path` follows `/api/auth`.
    pub async fn identity(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Failure> {
        let url = format!("{}/api/auth{path}", self.addresses.api.identity);
        self.ask(method, url, body).await
    }

    /// A request to the journal as this person. `path` follows `/api`.
    pub async fn journal(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, Failure> {
        let url = format!("{}/api{path}", self.addresses.api.journal);
        self.ask(method, url, body).await
    }

    /// Makes something in the journal with an `Idempotency-Key`: the same key again makes nothing more.
    pub async fn journal_once(
        &self,
        key: &str,
        path: &str,
        body: Value,
    ) -> Result<Answer, Failure> {
        let url = format!("{}/api{path}", self.addresses.api.journal);
        let request = self.http.post(url).bearer_auth(&self.access_token);
        answer(request.header("Idempotency-Key", key).json(&body)).await
    }

    async fn ask(
        &self,
        method: Method,
        url: String,
        body: Option<Value>,
    ) -> Result<Answer, Failure> {
        let mut request = self.http.request(method, url);
        if !self.access_token.is_empty() {
            request = request.bearer_auth(&self.access_token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
    let answer = request
        .send()
        .await
        .map_err(Failure::when("ask a service"))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer
        .text()
        .await
        .map_err(Failure::when("read an answer"))?;
    suite_log::keep_problem(status, text.as_bytes());
    Ok(Answer {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
    })
}

fn expect(answer: &Answer, status: u16, what: &str) -> Result<(), Failure> {
    if answer.status == status {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{what}: {} {}",
        answer.status, answer.body
    )))
}
