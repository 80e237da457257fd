//! Logging in.

use std::time::Instant;

use serde_json::json;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::{claims, header},
    replica::Region,
    service::Service,
    timing::take_the_same_time,
};

#[tokio::test]
async fn a_login_answers_with_a_bearer_token_of_fifteen_minutes_and_a_refresh_token() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let answer = identity.login(&ada.email, &ada.password).await;
    let body = answer.json();
    assert_eq!(body["status"], "authenticated");
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 900);
    assert_eq!(body["refresh_expires_in"], 7 * 24 * 60 * 60);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let tokens = answer.tokens();
    assert!(tokens.refresh.starts_with("kst_r_"));
    assert_eq!(header(&tokens.access)["typ"], "at+jwt");
    assert_eq!(header(&tokens.access)["alg"], "EdDSA");
    let claims = claims(&tokens.access);
    assert_eq!(claims["aud"], "keystead");
    assert_eq!(claims["amr"], json!(["pwd"]));
    let second = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(second("exp") - second("iat"), 900);
    assert_eq!(second("auth_time"), second("iat"));
    // Nothing of the person but ids.
    assert!(!claims.to_string().contains(&ada.email));
}

#[tokio::test]
async fn any_spelling_of_the_address_logs_in() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let shouted = ada.email.to_uppercase();
    assert_eq!(identity.login(&shouted, &ada.password).await.status, 200);
}

#[tokio::test]
async fn a_service_that_cannot_sign_yet_says_so_to_everybody_alike() {
    let mut region = Region::new().await;
    let first = region.start().await;
    let ada = first.service.person().await;
    drop(first);
    region.set("VAULT_URL", "https://127.0.0.1:9/");
    let replica = region.launch().await;
    let identity = &replica.service;
    for answer in [
        identity.login(&ada.email, &ada.password).await,
        identity.mistyped(&ada).await,
        identity.login(&somebody(), PASSWORD).await,
    ] {
        assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn a_service_that_cannot_sign_yet_uses_up_no_code() {
    let mut region = Region::new().await;
    let first = region.start().await;
    let ada = region.protected(&first.service).await;
    let token = first.service.challenge(&ada.person).await;
    region.set("VAULT_URL", "https://127.0.0.1:9/");
    let second = region.launch().await;
    // A recovery code is the one that needs no vault.
    let code = &ada.recovery_codes[0];
    let answer = second.service.verify_recovery(&token, code).await;
    assert_eq!(answer.problem(), (503, "unavailable".to_owned()));
    first.service.verify_recovery(&token, code).await.tokens();
}

async fn cost_of(region: &Region) -> String {
    let db = region.database().await;
    let row = db.query_one("SELECT substr(password_hash, 1, 7) FROM accounts", &[]);
    row.await.expect("one account").get(0)
}

#[tokio::test]
async fn the_next_login_hashes_at_a_new_cost_and_changes_nothing_else() {
    let mut region = Region::new().await;
    let before = region.start().await;
    let ada = before.service.person().await;
    let tokens = before.service.logged_in(&ada).await;
    drop(before);
    for cost in ["6", "5"] {
        region.set("BCRYPT_COST", cost);
        let after = region.start().await;
        assert!(!after.service.logs_in(&ada.email, OTHER_PASSWORD).await);
        assert_ne!(cost_of(&region).await, format!("$2b$0{cost}$"));
        assert!(after.service.logs_in(&ada.email, &ada.password).await);
        assert_eq!(cost_of(&region).await, format!("$2b$0{cost}$"));
        assert!(after.service.logs_in(&ada.email, &ada.password).await);
        assert_eq!(after.service.me(&tokens.access).await.status, 200);
    }
}

#[tokio::test]
async fn a_lowered_cost_tells_no_account_that_was_not_used_since() {
    let mut region = Region::new().await;
    region.set("BCRYPT_COST", "9");
    let before = region.start().await;
    let ada = before.service.person().await;
    drop(before);
    region.set("BCRYPT_COST", "5");
    let after = region.start().await;
    take_the_same_time(region, after, &ada.email, &somebody()).await;
}

#[tokio::test]
async fn a_service_that_starts_knows_the_costliest_hash_before_it_meets_it() {
    let mut region = Region::new().await;
    region.set("BCRYPT_COST", "11");
    let before = region.start().await;
    let ada = before.service.person().await;
    drop(before);
    region.set("BCRYPT_COST", "5");
    let after = region.start().await;
    let took = async |email: &str| {
        let begun = Instant::now();
        assert!(!after.service.logs_in(email, OTHER_PASSWORD).await);
        begun.elapsed()
    };
    // Of nobody, and before anybody: 2^6 times less would be seen through any noise.
    let mut unknown = took(&somebody()).await;
    for _ in 0..2 {
        unknown = unknown.min(took(&somebody()).await);
    }
    let known = took(&ada.email).await;
    assert!(unknown * 4 > known, "{unknown:?}, {known:?}");
}
