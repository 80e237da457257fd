//! `DELETE /api/entries/{id}`.

use crate::journal::{Journal, database, draft};

#[tokio::test]
async fn a_deleted_entry_is_gone_and_stays_gone() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "short lived")).await;
    let kept = ada.write(&draft("2026-11-24", "kept")).await;
    let deleted = ada.delete(&id, None).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    let gone = (404, "entry_not_found".to_owned());
    assert_eq!(ada.read(&id).await.problem(), gone);
    assert_eq!(ada.delete(&id, None).await.problem(), gone);
    assert_eq!(
        ada.replace(&id, &draft("2026-11-24", "back"), None)
            .await
            .problem(),
        gone
    );
    assert_eq!(ada.read(&kept).await.status, 200);
}

#[tokio::test]
async fn only_the_revision_that_was_read_is_deleted() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    assert_eq!(
        ada.replace(&id, &draft("2026-11-24", "second"), None)
            .await
            .status,
        200
    );
    let refused = ada.delete(&id, Some("\"1\"")).await;
    assert_eq!(refused.problem(), (412, "revision_conflict".to_owned()));
    assert_eq!(refused.header("etag"), Some("\"2\""));
    assert_eq!(refused.json()["current"], ada.read(&id).await.json());
    assert_eq!(
        ada.delete(&id, Some("2")).await.pointers(),
        ["header:If-Match"]
    );
    assert_eq!(ada.read(&id).await.json()["title"], "second");
    assert_eq!(ada.delete(&id, Some("\"2\"")).await.status, 204);
}

#[tokio::test]
async fn an_entry_that_does_not_open_is_named_in_a_conflict_and_not_shown() {
    let ada = Journal::of_a_new_person().await;
    let id = ada.write(&draft("2026-11-24", "first")).await;
    let changed = database()
        .await
        .execute(
            "UPDATE entries SET body_sealed = title_sealed WHERE user_id = $1",
            &[&ada.user_id],
        )
        .await;
    assert_eq!(changed.expect("the attack is valid SQL"), 1);
    let refused = ada.delete(&id, Some("\"2\"")).await;
    assert_eq!(refused.problem(), (412, "revision_conflict".to_owned()));
    assert_eq!(refused.header("etag"), Some("\"1\""));
    assert_eq!(refused.json().get("current"), None, "{}", refused.text);
    assert_eq!(ada.delete(&id, Some("\"1\"")).await.status, 204);
}
