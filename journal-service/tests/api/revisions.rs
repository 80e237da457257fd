//! `GET /api/entries/{id}/revisions`.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::journal::{Answer, Journal, database, draft, sent};

async fn revisions(journal: &Journal, id: &str, query: &str) -> Answer {
    sent(journal.request(Method::GET, &format!("/{id}/revisions{query}"))).await
}

fn titles(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    let page = answer.json();
    let title = |entry: &Value| entry["title"].as_str().expect("a title").to_owned();
    page["revisions"]
        .as_array()
        .expect("revisions")
        .iter()
        .map(title)
        .collect()
}

/// An entry that was edited so often; its titles are the numbers of its revisions.
async fn edited(journal: &Journal, edits: usize) -> String {
    let id = journal.write(&draft("2026-11-24", "1")).await;
    for number in 2..=edits + 1 {
        let answer = journal
            .replace(&id, &draft("2026-11-24", &number.to_string()), None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    id
}

#[tokio::test]
async fn every_edit_leaves_what_it_replaced_and_it_can_be_brought_back() {
    let ada = Journal::of_a_new_person().await;
    let first = ada.create(&draft("2026-11-20", "first")).await.json();
    let id = first["id"].as_str().expect("an id");
    let second = ada
        .replace(id, &draft("2026-11-21", "second"), None)
        .await
        .json();
    let third = ada
        .replace(id, &draft("2026-11-22", "third"), None)
        .await
        .json();
    let page = revisions(&ada, id, "").await.json();
    assert_eq!(page["revisions"], json!([third, second, first]));
    assert_eq!(
        (page["unreadable"].clone(), page.get("next")),
        (json!([]), None)
    );
    // The same again is no edit, and one that is refused neither.
    ada.replace(id, &draft("2026-11-22", "third"), None).await;
    ada.replace(id, &draft("2026-11-22", "other"), Some("\"1\""))
        .await;
    assert_eq!(
        titles(&revisions(&ada, id, "").await),
        ["third", "second", "first"]
    );
    let back = json!({"date": first["date"], "title": first["title"], "body": first["body"],
                      "mood": first["mood"], "tags": first["tags"], "completed": first["completed"]});
    assert_eq!(ada.replace(id, &back, None).await.json()["revision"], 4);
    assert_eq!(
        titles(&revisions(&ada, id, "").await),
        ["first", "third", "second", "first"]
    );
}

#[tokio::test]
async fn pages_go_back_and_the_last_hundred_edits_are_kept() {
    let ada = Journal::of_a_new_person().await;
    let id = edited(&ada, 103).await;
    let first = revisions(&ada, &id, "?limit=100").await;
    assert_eq!(first.json()["next"], 5);
    let rest = revisions(&ada, &id, "?limit=100&before=5").await;
    assert_eq!(
        (titles(&rest), rest.json().get("next")),
        (vec!["4".to_owned()], None)
    );
    let few = revisions(&ada, &id, "?limit=2&before=50").await;
    assert_eq!(titles(&few), ["49", "48"]);
    for wrong in ["?before=0", "?before=x", "?limit=0", "?limit=101"] {
        let refused = revisions(&ada, &id, wrong).await;
        assert_eq!(
            refused.problem(),
            (400, "invalid_request".to_owned()),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn they_go_with_their_entry_and_belong_to_nobody_else() {
    let ada = Journal::of_a_new_person().await;
    let id = edited(&ada, 2).await;
    let bob = Journal::of_a_new_person().await;
    bob.write(&draft("2026-11-24", "bob's own")).await;
    let stranger = Journal::of_a_new_person().await;
    for nobody in [&bob, &stranger] {
        for id in [id.as_str(), "0198c0de-0000-7000-8000-00000000dead"] {
            let refused = revisions(nobody, id, "").await;
            assert_eq!(refused.problem(), (404, "entry_not_found".to_owned()));
        }
    }
    assert_eq!(ada.delete(&id, None).await.status, 204);
    let gone = revisions(&ada, &id, "").await;
    assert_eq!(gone.problem(), (404, "entry_not_found".to_owned()));
    assert_eq!(kept(&id).await, 0);
}

#[tokio::test]
async fn an_old_revision_that_was_changed_is_named_and_hides_no_other() {
    let ada = Journal::of_a_new_person().await;
    let id = edited(&ada, 2).await;
    let entry: Uuid = id.parse().expect("an id");
    // The second one's text in the place of the first one's.
    let changed = database()
        .await
        .execute(
            "UPDATE entry_revisions SET title_sealed =
                 (SELECT title_sealed FROM entry_revisions WHERE entry_id = $1 AND revision = 2)
             WHERE entry_id = $1 AND revision = 1",
            &[&entry],
        )
        .await;
    assert_eq!(changed.expect("changed"), 1);
    let page = revisions(&ada, &id, "").await;
    assert_eq!(titles(&page), ["3", "2"]);
    let unreadable = &page.json()["unreadable"];
    assert_eq!(
        (unreadable[0]["id"].as_str(), &unreadable[0]["revision"]),
        (Some(id.as_str()), &json!(1))
    );
}

/// Rows that are kept of an entry.
async fn kept(id: &str) -> i64 {
    let entry: Uuid = id.parse().expect("an id");
    let sql = "SELECT count(*) FROM entry_revisions WHERE entry_id = $1";
    let row = database().await.query_one(sql, &[&entry]).await;
    row.expect("a number").get(0)
}
