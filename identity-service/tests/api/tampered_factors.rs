//! What a thief of the tables of second factors gets, and what somebody who writes to them achieves.

use serde_json::json;

use crate::{device::unauthorized, replica::Region};

#[tokio::test]
async fn no_table_holds_a_secret_a_code_or_a_challenge() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let shown = &ada.recovery_codes[0];
    let plain = |code: &str| code.replace('-', "");
    let mut secrets = vec![
        hex::encode(ada.authenticator.secret()),
        token.clone(),
        token["kst_m_".len()..].to_owned(),
        hex::encode(&token),
    ];
    for code in &ada.recovery_codes {
        secrets.extend([
            code.clone(),
            plain(code),
            hex::encode(code),
            hex::encode(plain(code)),
        ]);
    }
    let db = identity.database().await;
    let tables =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let mut rows = 0;
    for table in db.query(tables, &[]).await.expect("the catalogue") {
        let table: String = table.get(0);
        let sql = format!("SELECT row_to_json(t)::text FROM {table} t");
        for row in db.query(&sql, &[]).await.expect("a table of identity's") {
            rows += 1;
            let text: String = row.get(0);
            for secret in &secrets {
                assert!(!text.contains(secret.as_str()), "{table}: {text}");
            }
        }
    }
    assert!(rows >= 15, "only {rows} rows were looked at");
    // The search is for what is really in use.
    assert_eq!(identity.verify_recovery(&token, shown).await.status, 200);
}

#[tokio::test]
async fn a_secret_pasted_over_anothers_is_refused_and_recovery_codes_still_work() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, eve) = region.two_protected(identity).await;
    let db = identity.database().await;
    let paste = "UPDATE totp_factors SET secret_sealed =
                 (SELECT secret_sealed FROM totp_factors ORDER BY created_at DESC LIMIT 1)";
    assert_eq!(
        db.execute(paste, &[]).await.expect("both rows are there"),
        2
    );
    let token = identity.challenge(&ada.person).await;
    for app in [&eve.authenticator, &ada.authenticator] {
        let answer = identity.verify_code(&token, &region.code(app)).await;
        assert_eq!(
            answer.problem(),
            (409, "second_factor_unreadable".to_owned())
        );
    }
    // Eve's row, with the bytes that were in it before, still opens.
    let eves = identity.challenge(&eve.person).await;
    assert_eq!(
        identity
            .verify_code(&eves, &region.code(&eve.authenticator))
            .await
            .status,
        200
    );
    assert_eq!(
        identity
            .verify_recovery(&token, &ada.recovery_codes[0])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_secret_of_the_same_person_from_before_does_not_open_in_the_row_of_the_new_one() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let db = identity.database().await;
    let sealed = "SELECT secret_sealed FROM totp_factors";
    let old: Vec<u8> = db.query_one(sealed, &[]).await.expect("one").get(0);
    let proofs =
        json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    assert_eq!(identity.disable(&ada.tokens, &proofs).await.status, 204);
    region.protect(identity, &ada.person, &ada.tokens).await;
    let paste = "UPDATE totp_factors SET secret_sealed = $1";
    assert_eq!(
        db.execute(paste, &[&old]).await.expect("the row is there"),
        1
    );
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_code(&token, &region.code(&ada.authenticator))
        .await;
    assert_eq!(
        answer.problem(),
        (409, "second_factor_unreadable".to_owned())
    );
}

#[tokio::test]
async fn recovery_codes_copied_to_another_person_are_none_of_theirs() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, eve) = region.two_protected(identity).await;
    let copy = "INSERT INTO recovery_codes (user_id, code_hash)
                SELECT factor.user_id, code.code_hash FROM totp_factors factor, recovery_codes code
                ON CONFLICT DO NOTHING";
    let copied = identity.database().await.execute(copy, &[]).await;
    assert_eq!(copied.expect("both sets are there"), 20);
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_recovery(&token, &eve.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_code"));
    assert_eq!(
        identity
            .verify_recovery(&token, &ada.recovery_codes[0])
            .await
            .status,
        200
    );
}
