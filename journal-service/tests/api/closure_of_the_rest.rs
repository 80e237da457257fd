//! What is beside entries is closed and erased with them.

use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    closure::{Closer, closed, left_of},
    journal::{Answer, Journal, database},
};

/// A pillar with a score, an order, both feels of a day, a note of its week; the path of the pillar.
async fn write_everything_else(journal: &Journal) -> String {
    let id = journal.pillar("a pillar").await;
    let path = format!("/pillars/{id}");
    let score = json!({"value": 7, "date": "2026-11-24"});
    for answer in [
        journal.post(&format!("{path}/scores"), &score).await,
        journal
            .put("/pillars/order", &json!({ "ids": [id] }), None)
            .await,
        journal
            .put(
                "/feels/2026-11-24/morning",
                &json!({"mental_state": 7}),
                None,
            )
            .await,
        journal
            .put("/feels/2026-11-24/evening", &json!({}), None)
            .await,
        journal
            .put("/weekly/2026-W48", &json!({"note": "x"}), None)
            .await,
    ] {
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    }
    path
}

/// What every operation on pillars, feels and weeks answers.
async fn everything_else(journal: &Journal, path: &str) -> Vec<Answer> {
    let (name, note) = (json!({"name": "x"}), json!({"note": "x"}));
    let scores = format!("{path}/scores");
    let day = "/feels/2026-11-24/morning";
    vec![
        journal.get("/pillars").await,
        journal.post("/pillars", &name).await,
        journal.get(path).await,
        journal.put(path, &name, None).await,
        journal.remove(path, None).await,
        journal
            .put("/pillars/order", &json!({ "ids": [] }), None)
            .await,
        journal.get(&scores).await,
        journal
            .post(&scores, &json!({"value": 1, "date": "2026-11-24"}))
            .await,
        journal
            .remove(
                &format!("{scores}/0198c0de-0000-7000-8000-00000000dead"),
                None,
            )
            .await,
        journal.get("/feels").await,
        journal.get("/feels?after=AAAA").await,
        journal.get(day).await,
        journal.put(day, &note, None).await,
        journal.remove(day, None).await,
        journal.get("/weekly/2026-W48").await,
        journal.put("/weekly/2026-W48", &note, None).await,
        journal.remove("/weekly/2026-W48", None).await,
    ]
}

#[tokio::test]
async fn pillars_feels_and_weeks_are_closed_and_erased_with_the_rest() {
    let identity = Closer::named("identity");
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let path = write_everything_else(&ada).await;
    let bobs = write_everything_else(&bob).await;
    assert_eq!(identity.close(ada.user_id).await.status, 204);
    for answer in everything_else(&ada, &path).await {
        assert_eq!(answer.problem(), closed(), "{}", answer.text);
    }
    assert_eq!(identity.reopen(ada.user_id).await.status, 204);
    assert_eq!(ada.get(&path).await.json()["current"], 7.0);
    assert_eq!(ada.get("/weekly/2026-W48").await.json()["written_days"], 1);
    for _ in 0..2 {
        assert_eq!(identity.erase(ada.user_id).await.status, 204);
    }
    assert_eq!(left_of(ada.user_id).await, 0);
    for answer in everything_else(&ada, &path).await {
        assert_eq!(answer.problem(), closed(), "{}", answer.text);
    }
    assert_eq!(left_of(ada.user_id).await, 0);
    assert_eq!(bob.get(&bobs).await.json()["current"], 7.0);

    let stranger = Journal::of_a_new_person().await;
    assert_eq!(identity.close(stranger.user_id).await.status, 204);
    for answer in everything_else(&stranger, &path).await {
        assert_eq!(answer.problem(), closed(), "{}", answer.text);
    }
}

#[tokio::test]
async fn scores_and_feels_of_many_years_go_in_steps_and_all_of_them() {
    let ada = Journal::of_a_new_person().await;
    write_everything_else(&ada).await;
    let db = database().await;
    for copies in [
        "INSERT INTO pillar_scores SELECT user_id, pillar_id, gen_random_uuid(), date, created_at, content_sealed
         FROM pillar_scores, generate_series(1, 2500) WHERE user_id = $1::text::uuid",
        "INSERT INTO reflections SELECT user_id, date - number, kind, revision, created_at, updated_at, content_sealed
         FROM reflections, generate_series(1, 2500) AS number WHERE user_id = $1::text::uuid AND kind = 'evening'",
    ] {
        let made = db.execute(copies, &[&ada.user_id.to_string()]).await;
        assert_eq!(made.ok(), Some(2500));
    }
    let identity = Closer::named("identity");
    assert_eq!(identity.erase(ada.user_id).await.status, 204);
    assert_eq!(left_of(ada.user_id).await, 0);
}

#[tokio::test]
async fn whatever_else_is_written_while_a_journal_is_erased_goes_too() {
    let identity = Closer::named("identity");
    let ada = Journal::of_a_new_person().await;
    let path = write_everything_else(&ada).await;
    let mut racing = JoinSet::new();
    for number in 0..24 {
        let (identity, ada, path) = (identity.clone(), ada.clone(), path.clone());
        racing.spawn(async move {
            let day = format!("/feels/2026-10-{:02}/morning", number + 1);
            match number % 4 {
                _ if number == 9 => identity.erase(ada.user_id).await,
                0 => ada.post("/pillars", &json!({"name": "x"})).await,
                1 => {
                    ada.post(
                        &format!("{path}/scores"),
                        &json!({"value": 1, "date": "2026-11-24"}),
                    )
                    .await
                }
                2 => {
                    ada.put(&path, &json!({"name": format!("edit {number}")}), None)
                        .await
                }
                _ => ada.put(&day, &json!({}), None).await,
            }
        });
    }
    let missing = (404, "pillar_not_found".to_owned());
    for answer in racing.join_all().await {
        let fine = matches!(answer.status, 200 | 201 | 204);
        assert!(
            fine || answer.problem() == closed() || answer.problem() == missing,
            "{}",
            answer.text
        );
    }
    assert_eq!(left_of(ada.user_id).await, 0);
}
