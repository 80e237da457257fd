//! `PUT /api/pillars/order`.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    journal::{Answer, Journal, database},
    pillars::names,
};

fn differs() -> (u16, String) {
    (409, "pillars_differ".to_owned())
}

async fn order(journal: &Journal, ids: &[String]) -> Answer {
    journal
        .put("/pillars/order", &json!({ "ids": ids }), None)
        .await
}

async fn pillars(journal: &Journal, names: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(journal.pillar(name).await);
    }
    ids
}

/// Ids and positions, as they are listed.
async fn listed(journal: &Journal) -> (Vec<String>, Vec<u64>) {
    let page = journal.get("/pillars").await.json();
    let pillars = page["pillars"].as_array().cloned().expect("pillars");
    let id = |pillar: &Value| pillar["id"].as_str().expect("an id").to_owned();
    let positions = pillars
        .iter()
        .filter_map(|pillar| pillar["position"].as_u64());
    (pillars.iter().map(id).collect(), positions.collect())
}

#[tokio::test]
async fn pillars_come_in_the_order_that_was_made_and_later_ones_at_the_end() {
    let ada = Journal::of_a_new_person().await;
    let ids = pillars(&ada, &["a", "b", "c"]).await;
    let [a, b, c] = &ids[..] else { panic!("three") };
    let wanted = [c.clone(), a.clone(), b.clone()];
    let ordered = order(&ada, &wanted).await;
    assert_eq!(names(&ordered), ["c", "a", "b"]);
    assert_eq!(ada.get("/pillars").await.json(), ordered.json());
    let first = ada.get(&format!("/pillars/{c}")).await.json();
    assert_eq!(
        (&first["position"], &first["revision"]),
        (&json!(0), &json!(1))
    );
    // The same again.
    assert_eq!(order(&ada, &wanted).await.json(), ordered.json());
    ada.pillar("d").await;
    assert_eq!(names(&ada.get("/pillars").await), ["c", "a", "b", "d"]);
    assert_eq!(ada.remove(&format!("/pillars/{a}"), None).await.status, 204);
    assert_eq!(names(&ada.get("/pillars").await), ["c", "b", "d"]);
    let last = ada.get(&format!("/pillars/{b}")).await.json();
    assert_eq!(last["position"], 1, "no place is left empty");
}

#[tokio::test]
async fn an_order_that_is_not_exactly_the_persons_pillars_is_refused_and_changes_nothing() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    let ids = pillars(&ada, &["a", "b", "c"]).await;
    let [a, b, c] = &ids[..] else { panic!("three") };
    let bobs = bob.pillar("bob's").await;
    let random = "0198c0de-0000-7000-8000-00000000dead".to_owned();
    let wanted = [b.clone(), a.clone(), c.clone()];
    assert_eq!(order(&ada, &wanted).await.status, 200);
    for other in [
        vec![],
        vec![a.clone(), b.clone()],
        vec![a.clone(), b.clone(), random.clone()],
        vec![a.clone(), b.clone(), bobs.clone()],
        vec![a.clone(), b.clone(), c.clone(), random.clone()],
        vec![a.clone(), b.clone(), c.clone(), bobs.clone()],
    ] {
        assert_eq!(order(&ada, &other).await.problem(), differs(), "{other:?}");
    }
    let twice = order(&ada, &[a.clone(), b.clone(), c.clone(), a.clone()]).await;
    assert_eq!(twice.problem(), (400, "invalid_request".to_owned()));
    for wrong in [
        json!({}),
        json!({"ids": ["x"]}),
        json!({"ids": [], "more": 1}),
    ] {
        let answer = ada.put("/pillars/order", &wrong, None).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{wrong}"
        );
    }
    assert_eq!(names(&ada.get("/pillars").await), ["b", "a", "c"]);
    let stranger = Journal::of_a_new_person().await;
    assert_eq!(order(&stranger, &[]).await.status, 200);
    assert_eq!(order(&stranger, &[random]).await.problem(), differs());
    assert_eq!(order(&stranger, &ids[..1]).await.problem(), differs());
}

#[tokio::test]
async fn of_many_orders_at_once_one_stays_whole() {
    let ada = Journal::of_a_new_person().await;
    let ids = pillars(&ada, &["a", "b", "c", "d", "e", "f"]).await;
    let mut ordering = JoinSet::new();
    for turn in 0..24 {
        let (ada, mut ids) = (ada.clone(), ids.clone());
        ids.rotate_left(turn % 6);
        if turn % 2 == 0 {
            ids.reverse();
        }
        ordering.spawn(async move {
            let answer = order(&ada, &ids).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            ids
        });
    }
    let asked = ordering.join_all().await;
    let (stored, positions) = listed(&ada).await;
    assert!(
        asked.contains(&stored),
        "{stored:?} is none of those that were asked for"
    );
    assert_eq!(positions, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn no_pillar_is_lost_or_doubled_while_pillars_come_and_go_and_are_ordered() {
    let ada = Journal::of_a_new_person().await;
    let ids = pillars(&ada, &["a", "b", "c", "d", "e", "f"]).await;
    let mut racing = JoinSet::new();
    for turn in 0..8 {
        let (ada, mut ids) = (ada.clone(), ids.clone());
        ids.rotate_left(turn % 6);
        racing.spawn(async move {
            let answer = order(&ada, &ids).await;
            assert!(
                answer.status == 200 || answer.problem() == differs(),
                "{}",
                answer.text
            );
        });
    }
    for number in 0..8 {
        let ada = ada.clone();
        racing.spawn(async move {
            ada.pillar(&format!("new {number}")).await;
        });
    }
    let gone = ids[3].clone();
    let deleting = ada.clone();
    racing.spawn(async move {
        let answer = deleting.remove(&format!("/pillars/{gone}"), None).await;
        assert_eq!(answer.status, 204);
    });
    racing.join_all().await;
    let (mut stored, positions) = listed(&ada).await;
    assert_eq!(positions, (0..13).collect::<Vec<_>>());
    assert!(ids.iter().all(|id| stored.contains(id) != (*id == ids[3])));
    stored.sort();
    stored.dedup();
    assert_eq!(stored.len(), 13);
}

#[tokio::test]
async fn an_order_that_was_changed_is_told_and_hides_no_pillar_until_it_is_made_again() {
    let ada = Journal::of_a_new_person().await;
    let ids = pillars(&ada, &["a", "b"]).await;
    let turned = [ids[1].clone(), ids[0].clone()];
    assert_eq!(order(&ada, &turned).await.status, 200);
    for change in [
        "order_sealed = set_bit(order_sealed, 500, 1 - get_bit(order_sealed, 500))",
        "revision = revision + 1",
        "revision = 9223372036854775807",
        "updated_at = updated_at + interval '1 microsecond'",
    ] {
        let sql = format!("UPDATE pillar_orders SET {change} WHERE user_id = $1");
        let changed = database().await.execute(&sql, &[&ada.user_id]).await;
        assert_eq!(changed.expect("valid SQL"), 1);
        let page = ada.get("/pillars").await;
        assert_eq!(names(&page), ["a", "b"], "{change}");
        assert_eq!(page.json()["order_unreadable"], true, "{change}");
        let again = order(&ada, &turned).await;
        assert_eq!(names(&again), ["b", "a"], "{change}");
        assert_eq!(again.json()["order_unreadable"], false);
        assert_eq!(ada.get("/pillars").await.json(), again.json());
    }
}

#[tokio::test]
async fn another_persons_order_does_not_open() {
    let (ada, bob) = (
        Journal::of_a_new_person().await,
        Journal::of_a_new_person().await,
    );
    for person in [&ada, &bob] {
        let ids = pillars(person, &["a", "b"]).await;
        assert_eq!(
            order(person, &[ids[1].clone(), ids[0].clone()])
                .await
                .status,
            200
        );
    }
    let sql = "UPDATE pillar_orders AS target SET order_sealed = source.order_sealed, updated_at = source.updated_at
               FROM pillar_orders AS source WHERE source.user_id = $1 AND target.user_id = $2";
    let changed = database()
        .await
        .execute(sql, &[&ada.user_id, &bob.user_id])
        .await;
    assert_eq!(changed.expect("valid SQL"), 1);
    assert_eq!(bob.get("/pillars").await.json()["order_unreadable"], true);
    assert_eq!(names(&ada.get("/pillars").await), ["b", "a"]);
}
