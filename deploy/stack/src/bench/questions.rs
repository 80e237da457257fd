//! What the vault is asked, and what it should say.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use stack::{Failure, Person, Service, Stack};

use super::caller::{Caller, somebody};
use super::connection::Door;
use super::load::{Expected, Questions, Requests, Until, as_fast_as_answered};

const CREATE: &str = "/v1/data-keys";
const UNWRAP: &str = "/v1/data-keys/unwrap";
/// Bytes of an answer about one key: `{"plaintext_key":"<43 characters>","status":"ok"}`. A refusal has no key, and is
/// shorter.
const OPENED: usize = 77;
/// Those around the answers: `{"items":[` and `]}`.
const AROUND: usize = 12;

/// The same requests of a handler that says nothing to any.
pub(crate) fn unanswered(door: Door, questions: &Questions) -> Questions {
    Questions {
        door,
        connections: questions.connections,
        requests: Arc::clone(&questions.requests),
        status: 200,
        expected: Arc::new(|_, body| body.is_empty()),
    }
}

/// The vault as one service sees it.
pub(crate) struct Vault {
    door: Door,
    caller: Arc<Caller>,
    connections: u32,
}

/// A key of somebody's, as the service keeps it.
pub(crate) struct Wrapped {
    subject: String,
    purpose: &'static str,
    key: String,
}

impl Wrapped {
    fn item(&self) -> String {
        let Self {
            subject,
            purpose,
            key,
        } = self;
        format!(r#"{{"subject":"{subject}","purpose":"{purpose}","wrapped_key":"{key}"}}"#)
    }
}

impl Vault {
    pub(crate) fn seen_by(
        stack: &Stack,
        service: Service,
        connections: u32,
    ) -> Result<Self, Failure> {
        let url = &stack.addresses().api.vault;
        let address = url.strip_prefix("https://").and_then(|it| it.parse().ok());
        let address: SocketAddr =
            address.ok_or_else(|| Failure::new("the vault has no address"))?;
        Ok(Self {
            door: Door::new(stack, address, service)?,
            caller: Arc::new(Caller::new(stack, service)?),
            connections,
        })
    }

    /// So many people, with a key each that identity keeps.
    pub(crate) async fn people(&self, number: u32) -> Result<Arc<Vec<Wrapped>>, Failure> {
        let subjects = (0..number).map(|_| somebody()).collect::<Result<_, _>>()?;
        self.made(subjects, "account", "").await
    }

    /// A person, with the key that the journal keeps.
    pub(crate) async fn diary_of(&self, person: &Person) -> Result<Arc<Vec<Wrapped>>, Failure> {
        let subjects = vec![person.id.clone()];
        self.made(subjects, "entries", &proof(person)).await
    }

    async fn made(
        &self,
        subjects: Vec<String>,
        purpose: &'static str,
        headers: &str,
    ) -> Result<Arc<Vec<Wrapped>>, Failure> {
        let number = Until::Number(subjects.len() as u64);
        let (subjects, headers) = (Arc::new(subjects), headers.to_owned());
        let made = Arc::new(Mutex::new(Vec::new()));
        let (caller, asked, kept) = (
            Arc::clone(&self.caller),
            Arc::clone(&subjects),
            Arc::clone(&made),
        );
        let requests: Requests = Arc::new(move |number, request| {
            let subject = place(&asked, number).map_or("", String::as_str);
            let body =
                format!(r#"{{"subject":"{subject}","purpose":"{purpose}","plaintext":false}}"#);
            caller.post(request, CREATE, &headers, &body);
        });
        let expected: Expected = Arc::new(move |number, body| {
            let answer: Value = serde_json::from_slice(body).unwrap_or_default();
            let key = answer.get("wrapped_key").and_then(Value::as_str);
            let wrapped = place(&subjects, number)
                .zip(key)
                .map(|(subject, key)| Wrapped {
                    subject: subject.clone(),
                    purpose,
                    key: key.to_owned(),
                });
            let is_made = wrapped.is_some();
            kept.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(wrapped);
            is_made
        });
        let questions = Questions {
            door: self.door.clone(),
            connections: self.connections,
            requests,
            status: 200,
            expected,
        };
        as_fast_as_answered(&questions, number).await?;
        let made = std::mem::take(&mut *made.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Arc::new(made))
    }

    /// Opens so many keys with each request, one after another and around again.
    pub(crate) fn unwrap(&self, keys: &Arc<Vec<Wrapped>>, batch: u32) -> Questions {
        self.unwrap_with(keys, batch, String::new())
    }

    /// Opens the keys of a person who is there.
    pub(crate) fn unwrap_for(&self, person: &Person, keys: &Arc<Vec<Wrapped>>) -> Questions {
        self.unwrap_with(keys, 1, proof(person))
    }

    fn unwrap_with(&self, keys: &Arc<Vec<Wrapped>>, batch: u32, headers: String) -> Questions {
        let (caller, keys) = (Arc::clone(&self.caller), Arc::clone(keys));
        let requests: Requests = Arc::new(move |number, request| {
            let first = number.wrapping_mul(batch.into());
            let items: Vec<_> = (0..u64::from(batch))
                .filter_map(|at| place(&keys, first.wrapping_add(at) % keys.len() as u64))
                .map(Wrapped::item)
                .collect();
            let body = format!(r#"{{"items":[{}]}}"#, items.join(","));
            caller.post(request, UNWRAP, &headers, &body);
        });
        // With a comma between two.
        let length = AROUND + batch as usize * (OPENED + 1) - 1;
        Questions {
            door: self.door.clone(),
            connections: self.connections,
            requests,
            status: 200,
            expected: Arc::new(move |_, body| body.len() == length),
        }
    }
}

fn proof(person: &Person) -> String {
    format!("x-user-token: {}\r\n", person.access_token)
}

fn place<T>(of: &[T], number: u64) -> Option<&T> {
    of.get(usize::try_from(number).ok()?)
}
