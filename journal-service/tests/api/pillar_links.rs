//! `pillar_ids` of entries, and what happens to them when a pillar is deleted.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    export::{exported, lines},
    import::imported,
    journal::{Answer, Journal, database, draft, sent},
};

const RANDOM: &str = "0198c0de-0000-7000-8000-00000000dead";

fn about(title: &str, pillars: &[&str]) -> Value {
    let mut draft = draft("2026-11-24", title);
    draft["pillar_ids"] = json!(pillars);
    draft
}

fn titles(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let entries = answer.json()["entries"].as_array().cloned();
    let entries = entries.expect("entries");
    let title = |entry: &Value| entry["title"].as_str().expect("a title").to_owned();
    entries.iter().map(title).collect()
}

#[tokio::test]
async fn an_entry_names_pillars_in_the_order_it_was_given_and_none_when_it_says_nothing() {
    let ada = Journal::of_a_new_person().await;
    let (health, friends) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    let id = ada.write(&draft("2026-11-24", "about nothing")).await;
    assert_eq!(ada.read(&id).await.json()["pillar_ids"], json!([]));
    let both = about("about both", &[&friends, &health]);
    let edited = ada.replace(&id, &both, Some("\"1\"")).await;
    assert_eq!(edited.json()["pillar_ids"], json!([friends, health]));
    assert_eq!(ada.read(&id).await.json(), edited.json());
    let again = ada.replace(&id, &both, Some("\"1\"")).await;
    assert_eq!(again.header("etag"), Some("\"2\""));
    let fewer = ada
        .replace(&id, &about("about both", &[&health]), None)
        .await;
    assert_eq!(fewer.header("etag"), Some("\"3\""));
    assert_eq!(
        ada.list("").await.json()["entries"][0]["pillar_ids"],
        json!([health])
    );
}

#[tokio::test]
async fn another_persons_pillar_and_a_random_id_are_refused_alike() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let (adas, bobs) = (ada.pillar("Ada's").await, bob.pillar("Bob's").await);
    let id = ada.write(&draft("2026-11-24", "before")).await;
    let comparable = |answer: &Answer| {
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        (answer.problem(), body)
    };
    let mut refusals = Vec::new();
    for foreign in [bobs.as_str(), RANDOM] {
        let draft = about("with a foreign pillar", &[&adas, foreign]);
        for answer in [
            ada.create(&draft).await,
            ada.replace(&id, &draft, None).await,
        ] {
            assert_eq!(answer.problem(), (409, "unknown_pillar".to_owned()));
            refusals.push(comparable(&answer));
        }
    }
    assert_eq!(refusals[..2], refusals[2..]);
    assert_eq!(titles(&ada.list("").await), ["before"]);
    assert_eq!(
        titles(&ada.list(&format!("?pillar={bobs}")).await),
        Vec::<String>::new()
    );
    assert_eq!(
        titles(&ada.list(&format!("?pillar={RANDOM}")).await),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn too_many_or_repeated_or_malformed_pillars_are_named() {
    let ada = Journal::of_a_new_person().await;
    let pillar = ada.pillar("Health").await;
    let many: Vec<_> = (0..21)
        .map(|number| Uuid::from_u128(number).to_string())
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for wrong in [&many[..], &[&pillar, &pillar], &["x"]] {
        let answer = ada.create(&about("wrong", wrong)).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{wrong:?}"
        );
        assert!(
            answer
                .pointers()
                .iter()
                .all(|it| it.starts_with("#/pillar_ids")),
            "{}",
            answer.text
        );
    }
    assert_eq!(ada.list("?pillar=x").await.pointers(), ["query:pillar"]);
}

#[tokio::test]
async fn entries_are_found_by_pillar_and_with_words_and_tags_page_by_page() {
    let ada = Journal::of_a_new_person().await;
    let (health, friends) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    for (title, pillars) in [
        ("a run", vec![health.as_str()]),
        ("a call", vec![friends.as_str()]),
        (
            "a run with friends",
            vec![friends.as_str(), health.as_str()],
        ),
        ("nothing", vec![]),
    ] {
        ada.write(&about(title, &pillars)).await;
    }
    let about_health = format!("?pillar={health}");
    assert_eq!(
        titles(&ada.list(&about_health).await),
        ["a run with friends", "a run"]
    );
    let words = format!("{about_health}&q=friends");
    assert_eq!(titles(&ada.list(&words).await), ["a run with friends"]);
    assert_eq!(
        titles(&ada.list(&format!("{about_health}&tag=none")).await),
        Vec::<String>::new()
    );
    let first = ada.list(&format!("{about_health}&limit=1")).await;
    assert_eq!(titles(&first), ["a run with friends"]);
    let next = first.json()["next"]
        .as_str()
        .expect("there is more")
        .to_owned();
    let second = ada
        .list(&format!("{about_health}&limit=1&after={next}"))
        .await;
    assert_eq!(titles(&second), ["a run"]);
}

#[tokio::test]
async fn a_deleted_pillar_is_named_no_more_and_its_entries_stay_as_they_are() {
    let ada = Journal::of_a_new_person().await;
    let (health, friends) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    let request = ada
        .request(Method::POST, "")
        .json(&about("both", &[&health, &friends]));
    let named = || {
        request
            .try_clone()
            .expect("it can be repeated")
            .header("Idempotency-Key", "k")
    };
    let made = sent(named()).await.json();
    let id = made["id"].as_str().expect("an id");
    let second = ada
        .replace(id, &about("still both", &[&health, &friends]), None)
        .await;
    assert_eq!(second.status, 200, "{}", second.text);
    assert_eq!(
        ada.remove(&format!("/pillars/{health}"), None).await.status,
        204
    );

    let left = json!([friends]);
    let read = ada.read(id).await;
    assert_eq!(
        (&read.json()["pillar_ids"], read.header("etag")),
        (&left, Some("\"2\""))
    );
    assert_eq!(ada.list("").await.json()["entries"][0]["pillar_ids"], left);
    assert_eq!(
        ada.list("?q=still").await.json()["entries"][0]["pillar_ids"],
        left
    );
    let revisions = ada.list(&format!("/{id}/revisions")).await.json();
    assert_eq!(revisions["revisions"][1]["pillar_ids"], left);
    assert_eq!(
        sent(named()).await.json()["pillar_ids"],
        left,
        "the request again"
    );
    assert_eq!(
        titles(&ada.list(&format!("?pillar={health}")).await),
        Vec::<String>::new()
    );
    let stale = ada.delete(id, Some("\"1\"")).await;
    assert_eq!(stale.status, 412, "{}", stale.text);
    assert_eq!(stale.json()["current"]["pillar_ids"], left);
    // What is shown can be sent back, and is no edit.
    let same = ada
        .replace(id, &about("still both", &[&friends]), Some("\"2\""))
        .await;
    assert_eq!((same.status, same.header("etag")), (200, Some("\"2\"")));
    let dead = ada
        .replace(id, &about("still both", &[&health, &friends]), None)
        .await;
    assert_eq!(dead.problem(), (409, "unknown_pillar".to_owned()));
}

#[tokio::test]
async fn a_few_pillars_more_or_less_do_not_show_in_the_size_of_an_entry() {
    let ada = Journal::of_a_new_person().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(ada.pillar(name).await);
    }
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for number in 0..=3 {
        ada.write(&about("x", &ids[..number])).await;
    }
    let sql = "SELECT DISTINCT octet_length(details_sealed) FROM entries WHERE user_id = $1";
    let sizes = database().await.query(sql, &[&ada.user_id]).await;
    assert_eq!(sizes.expect("the table can be read").len(), 1);
}

#[tokio::test]
async fn files_name_the_pillars_that_there_are_changes_all_and_an_import_keeps_those_of_its_file() {
    let ada = Journal::of_a_new_person().await;
    let (health, friends) = (ada.pillar("Health").await, ada.pillar("Friends").await);
    let id = ada.write(&about("both", &[&health, &friends])).await;
    let named = |file: &[u8]| {
        let lines = lines(file);
        let entry = lines.into_iter().find(|line| line["type"] == "entry");
        entry.expect("it is there")["pillar_ids"].clone()
    };
    let before = exported(&ada, "ndjson").await.expect("all of it");
    assert_eq!(named(&before), json!([health, friends]));
    let deleted = ada.remove(&format!("/pillars/{health}"), None).await;
    assert_eq!(deleted.status, 204);

    let left = json!([friends]);
    let after = exported(&ada, "ndjson").await.expect("all of it");
    assert_eq!(named(&after), left);
    let changes = sent(ada.elsewhere(Method::GET, "/changes")).await.json();
    let changes = changes["changes"].as_array().cloned().unwrap_or_default();
    let entry = changes.into_iter().find(|change| change["kind"] == "entry");
    // It may come back, and nothing of the entry would have changed.
    let all = json!([health, friends]);
    assert_eq!(entry.expect("it is there")["entry"]["pillar_ids"], all);
    // What differs is nowhere to be seen.
    let known = imported(&ada, "", after).await.json();
    assert_eq!(
        (&known["created"], &known["unchanged"]),
        (&0.into(), &2.into())
    );
    // A pillar that comes back is named again.
    for (created, unchanged) in [(1, 2), (0, 3)] {
        let back = imported(&ada, "", before.clone()).await.json();
        assert_eq!(
            (&back["created"], &back["unchanged"]),
            (&created.into(), &unchanged.into())
        );
    }
    assert_eq!(
        ada.read(&id).await.json()["pillar_ids"],
        json!([health, friends])
    );
}

#[tokio::test]
async fn an_entry_that_named_many_deleted_pillars_is_still_the_one_that_was_exported() {
    let ada = Journal::of_a_new_person().await;
    let mut pillars = Vec::new();
    for number in 0..20 {
        pillars.push(ada.pillar(&format!("Pillar {number}")).await);
    }
    let named: Vec<_> = pillars.iter().map(String::as_str).collect();
    ada.write(&about("about everything", &named)).await;
    for pillar in &pillars {
        let deleted = ada.remove(&format!("/pillars/{pillar}"), None).await;
        assert_eq!(deleted.status, 204);
    }
    // Its details are sealed in more bytes than those of the file.
    let file = exported(&ada, "ndjson").await.expect("all of it");
    let again = imported(&ada, "", file).await;
    assert_eq!(again.json()["unchanged"], json!(1), "{}", again.text);
}
