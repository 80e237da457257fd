//! What a thief of the database gets, and what somebody who writes to it achieves.

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    replica::Region,
};

#[tokio::test]
async fn no_table_holds_an_address_a_password_or_a_token() {
    let region = Region::new().await;
    let replica = region.start().await;
    let (confirmed, waiting) = (somebody(), somebody());
    replica.service.account(&confirmed, PASSWORD).await;
    let token = replica
        .service
        .mailed_sign_up(&waiting, OTHER_PASSWORD)
        .await;
    let db = replica.service.database().await;
    let mut rows = 0;
    for table in [
        "accounts",
        "pending_signups",
        "verification_tokens",
        "outbox",
        "service_keys",
    ] {
        let sql = format!("SELECT row_to_json(t)::text FROM {table} t");
        for row in db.query(&sql, &[]).await.expect("a table of identity's") {
            rows += 1;
            let text: String = row.get(0);
            for secret in [&confirmed, &waiting, PASSWORD, OTHER_PASSWORD, &token] {
                let hidden = hex::encode(secret);
                assert!(
                    !text.contains(secret) && !text.contains(&hidden),
                    "{table}: {text}"
                );
            }
        }
    }
    assert!(rows >= 4, "only {rows} rows were looked at");
}

#[tokio::test]
async fn an_address_pasted_from_one_sign_up_into_another_is_refused() {
    let region = Region::new().await;
    let replica = region.start().await;
    replica
        .service
        .mailed_sign_up(&somebody(), OTHER_PASSWORD)
        .await;
    let token = replica.service.mailed_sign_up(&somebody(), PASSWORD).await;
    let paste = "UPDATE pending_signups SET sealed =
                 (SELECT sealed FROM pending_signups ORDER BY created_at LIMIT 1)";
    let db = replica.service.database().await;
    db.execute(paste, &[]).await.expect("both rows are there");
    assert_eq!(replica.service.verify(&token).await.status, 500);
    assert_eq!(replica.service.count("accounts").await, 0);
}
