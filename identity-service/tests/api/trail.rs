//! What ends every session of a person, in their trail: seen from a session that came after.

use reqwest::Method;
use serde_json::json;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD},
    device::Tokens,
    devices::kinds,
    replica::Region,
    service::Service,
};

impl Service {
    /// How often something of that kind is in the trail.
    async fn times(&self, tokens: &Tokens, kind: &str) -> usize {
        let seen = kinds(&self.events(tokens, "").await);
        seen.iter().filter(|it| *it == kind).count()
    }
}

#[tokio::test]
async fn a_reset_of_the_password_is_in_the_trail() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let token = identity.mailed_reset(&ada.email).await;
    assert_eq!(identity.reset(&token, OTHER_PASSWORD).await.status, 200);
    let tokens = identity.login(&ada.email, OTHER_PASSWORD).await.tokens();
    assert_eq!(identity.times(&tokens, "password_reset").await, 1);
}

#[tokio::test]
async fn a_logout_everywhere_is_in_the_trail() {
    let identity = Service::of_the_test_run();
    let (ada, tokens) = identity.newcomer().await;
    let everywhere = identity.as_person(Method::POST, "logout-all", &tokens);
    assert_eq!(everywhere.await.status, 204);
    let after = identity.logged_in(&ada).await;
    assert_eq!(identity.times(&after, "logged_out_everywhere").await, 1);
}

#[tokio::test]
async fn whoever_comes_back_sees_that_they_were_about_to_be_deleted() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, tokens) = identity.newcomer().await;
    let body = json!({ "password": PASSWORD });
    let left = identity.delete_account(&tokens.access, &body).await;
    assert_eq!(left.status, 202, "{}", left.text);
    let user = tokens.user_id();
    identity
        .erasure_until(&user, "others_closed_at IS NOT NULL")
        .await;
    let restored = region.run(&["users", "restore", &user]).await;
    assert!(restored.status.success(), "{restored:?}");
    let after = identity.logged_in(&ada).await;
    assert_eq!(identity.times(&after, "account_deleted").await, 1);
}
