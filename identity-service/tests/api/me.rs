//! What a person sees of their own account.

use reqwest::Method;
use time::Duration;

use crate::{
    device::{claims, retyped, unauthorized},
    replica::Region,
    service::{Service, sent},
};

#[tokio::test]
async fn a_person_sees_their_address_as_it_was_typed() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let answer = identity.me(&tokens.access).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let me = answer.json();
    assert_eq!(me["email"], ada.email.as_str());
    assert_eq!(me["id"], claims(&tokens.access)["sub"]);
    assert_eq!(me["email_verified"], true);
    assert_eq!(me["mfa_enabled"], false);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn nobody_without_an_access_token_sees_anything() {
    let identity = Service::of_the_test_run();
    let tokens = identity.logged_in(&identity.person().await).await;
    let (signed, signature) = tokens.access.rsplit_once('.').expect("a JWT");
    let forged: String = signature.chars().rev().collect();
    let retyped = |typ| retyped(&tokens.access, typ);
    for (credentials, code) in [
        (None, "unauthorized"),
        (Some("Bearer nonsense".to_owned()), "invalid_token"),
        (Some(format!("Bearer {signed}.")), "invalid_token"),
        (Some(format!("Bearer {signed}.{forged}")), "invalid_token"),
        (
            Some(format!("Bearer {}", tokens.refresh)),
            "wrong_token_type",
        ),
        (Some("Bearer kst_v_AAAA".to_owned()), "wrong_token_type"),
        (
            Some(format!("Bearer {}", retyped("svc+jwt"))),
            "wrong_token_type",
        ),
        (
            Some(format!("Bearer {}", retyped("JWT"))),
            "wrong_token_type",
        ),
    ] {
        for (method, path) in [(Method::GET, "me"), (Method::POST, "logout")] {
            let mut request = identity.request(method, &format!("/api/auth/{path}"));
            if let Some(credentials) = &credentials {
                request = request.header("authorization", credentials);
            }
            let answer = sent(request).await;
            assert_eq!(answer.problem(), unauthorized(code), "{credentials:?}");
        }
    }
    assert_eq!(identity.me(&tokens.access).await.status, 200);
}

#[tokio::test]
async fn an_access_token_is_over_after_fifteen_minutes() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let tokens = identity.logged_in(&identity.person().await).await;
    region.clock.advance(Duration::minutes(15));
    for answer in [
        identity.me(&tokens.access).await,
        identity.logout(&tokens.access).await,
    ] {
        assert_eq!(answer.problem(), unauthorized("token_expired"));
    }
    assert_eq!(identity.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn an_access_token_is_worth_nothing_after_the_end_of_its_session() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let mut held = identity.logged_in(&identity.person().await).await;
    for _ in 0..4 {
        region.clock.advance(Duration::days(6));
        held = identity.refresh(&held.refresh).await.tokens();
    }
    // Ten minutes of its month are left to the session, and no more to the access token.
    region
        .clock
        .advance(Duration::days(6) - Duration::minutes(10));
    held = identity.refresh(&held.refresh).await.tokens();
    region.clock.advance(Duration::minutes(10));
    for (answer, code) in [
        (identity.me(&held.access).await, "token_expired"),
        (identity.logout(&held.access).await, "token_expired"),
        (identity.refresh(&held.refresh).await, "session_ended"),
    ] {
        assert_eq!(answer.problem(), unauthorized(code));
    }
}
