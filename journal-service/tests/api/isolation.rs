//! Somebody else's record and one that is not there cannot be told apart, by any operation of the document.

use reqwest::Method;
use serde_json::{Value, json};

use crate::journal::{Answer, Journal, draft, sent};

const DOCUMENT: &str = include_str!("../../../openapi/journal.json");
const NOBODYS: &str = "0198c0de-0000-7000-8000-00000000dead";

/// An operation on something that has an id.
struct Operation {
    id: String,
    method: Method,
    /// Behind `/api`, with the names of its parameters in braces.
    path: String,
}

/// All of them. What there is once for each day or week has no id, and is tried apart; what only identity may ask for is, too.
fn operations() -> Vec<Operation> {
    let document: Value = serde_json::from_str(DOCUMENT).expect("the document is JSON");
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        let Some(path) = path.strip_prefix("/api").filter(|it| it.contains('{')) else {
            continue;
        };
        if path.contains("{date}") || path.contains("{iso_week}") {
            continue;
        }
        for (method, operation) in methods.as_object().expect("operations") {
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.to_owned(),
            });
        }
    }
    operations
}

impl Operation {
    /// Whether it is about a pillar.
    fn is_of_pillars(&self) -> bool {
        self.path.starts_with("/pillars")
    }

    /// The names of the ids in its path.
    fn parameters(&self) -> Vec<&str> {
        let parts = self.path.split('/');
        let names = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        names.collect()
    }

    /// Tries it on what has these ids, in the order of its path.
    async fn attempt(&self, person: &Journal, ids: &[&str], if_match: Option<&str>) -> Answer {
        let mut path = self.path.clone();
        for (name, id) in self.parameters().iter().zip(ids) {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        let mut request = person.api(self.method.clone(), &path);
        if let Some(body) = self.body() {
            request = request.json(&body);
        }
        if let Some(tag) = if_match {
            request = request.header("If-Match", tag);
        }
        sent(request).await
    }

    /// One that it takes: an operation that is missing here answers something else than 404.
    fn body(&self) -> Option<Value> {
        match self.id.as_str() {
            "replace_entry" => Some(draft("2026-11-24", "taken over")),
            "replace_pillar" => Some(json!({"name": "taken over"})),
            "add_pillar_score" => Some(json!({"value": 1, "date": "2026-11-24"})),
            _ => None,
        }
    }
}

/// Everything of an answer but what differs between any two: ids and times of the request itself.
fn comparable(answer: &Answer) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.json();
    body["request_id"] = Value::Null;
    let headers = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    (answer.status, body, headers)
}

/// What somebody has: an entry, a pillar, and a score of it.
struct Records {
    entry: String,
    pillar: String,
    score: String,
}

impl Records {
    async fn of(person: &Journal, title: &str) -> Self {
        let pillar = person.pillar(title).await;
        let score = json!({"value": 7, "date": "2026-11-24"});
        let scores = format!("/pillars/{pillar}/scores");
        let score = person.post(&scores, &score).await.json();
        Self {
            entry: person.write(&draft("2026-11-24", title)).await,
            score: score["id"].as_str().expect("an id").to_owned(),
            pillar,
        }
    }

    fn ids(&self, operation: &Operation) -> [&str; 2] {
        if operation.is_of_pillars() {
            [&self.pillar, &self.score]
        } else {
            [&self.entry, &self.entry]
        }
    }
}

#[tokio::test]
async fn another_persons_record_and_a_random_id_are_the_same_404() {
    let operations = operations();
    assert!(operations.len() >= 10, "they were read");
    let ada = Journal::of_a_new_person().await;
    let adas = Records::of(&ada, "ada's secret").await;
    let writer = Journal::of_a_new_person().await;
    Records::of(&writer, "bob's own").await;
    let stranger = Journal::of_a_new_person().await;
    for bob in [writer, stranger] {
        for operation in &operations {
            for if_match in [None, Some("*"), Some("\"1\""), Some("\"2\"")] {
                let ids = adas.ids(operation);
                let theirs = operation.attempt(&bob, &ids, if_match).await;
                let nobodys = operation.attempt(&bob, &[NOBODYS; 2], if_match).await;
                let what = format!("{} {if_match:?}: {}", operation.id, theirs.text);
                assert_eq!(theirs.status, 404, "{what}");
                assert_eq!(comparable(&theirs), comparable(&nobodys), "{what}");
            }
        }
        assert!(!bob.list("").await.text.contains("ada's secret"));
    }
    let entry = ada.read(&adas.entry).await.json();
    let pillar = ada.get(&format!("/pillars/{}", adas.pillar)).await.json();
    assert_eq!(
        (&entry["title"], &entry["revision"]),
        (&json!("ada's secret"), &json!(1))
    );
    assert_eq!(
        (&pillar["name"], &pillar["current"]),
        (&json!("ada's secret"), &json!(7.0))
    );
}

#[tokio::test]
async fn another_persons_score_is_none_of_a_pillar_of_ones_own() {
    let ada = Journal::of_a_new_person().await;
    let adas = Records::of(&ada, "ada's").await;
    let bob = Journal::of_a_new_person().await;
    let bobs = bob.pillar("bob's own").await;
    for score in [adas.score.as_str(), NOBODYS] {
        let path = format!("/pillars/{bobs}/scores/{score}");
        let answer = bob.remove(&path, None).await;
        assert_eq!(answer.problem(), (404, "score_not_found".to_owned()));
    }
}

#[tokio::test]
async fn what_one_person_feels_is_nothing_to_another() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let secret = serde_json::json!({"note": "ada's secret"});
    for path in [
        "/feels/2026-11-24/morning",
        "/feels/2026-11-24/evening",
        "/weekly/2026-W48",
    ] {
        assert_eq!(ada.put(path, &secret, None).await.status, 200);
        assert_eq!(bob.remove(path, None).await.status, 404);
        let theirs = bob.get(path).await;
        let nobodys = bob
            .get(&path.replace("24", "25").replace("W48", "W50"))
            .await;
        assert_eq!(theirs.status, nobodys.status);
        assert!(!theirs.text.contains("secret"));
        assert_eq!(
            bob.put(path, &serde_json::json!({"note": "bob's"}), None)
                .await
                .status,
            200
        );
        assert!(ada.get(path).await.text.contains("ada's secret"));
    }
    assert!(!bob.get("/feels").await.text.contains("ada's secret"));
}

#[tokio::test]
async fn a_malformed_id_is_400_whatever_the_operation() {
    let ada = Journal::of_a_new_person().await;
    let adas = Records::of(&ada, "ada's").await;
    let malformed = [
        "1",
        "not-an-id",
        "0198c0de-0000-7000-8000-00000000000g",
        "%00",
        "%ff",
        "..%2f..",
        "null",
    ];
    for operation in operations() {
        for (at, name) in operation.parameters().into_iter().enumerate() {
            for id in malformed {
                let mut ids = adas.ids(&operation);
                ids[at] = id;
                let answer = operation.attempt(&ada, &ids, None).await;
                let what = format!("{} {name} {id}", operation.id);
                let refused = (400, "invalid_request".to_owned());
                assert_eq!(answer.problem(), refused, "{what}");
                assert_eq!(answer.pointers(), [format!("path:{name}")], "{what}");
            }
        }
    }
    assert_eq!(ada.read(&adas.entry).await.status, 200);
}
