//! A stranger who hammers an address must not keep its owner out.

use reqwest::Method;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::{Person, unauthorized},
    lockout::locked,
    replica::Region,
    service::{Answer, Service},
};

impl Answer {
    /// What the login gave the device.
    pub(crate) fn device_token(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        let token = self.json()["device_token"].as_str().map(str::to_owned);
        token.expect("a device token")
    }
}

async fn known_device(identity: &Service, person: &Person) -> String {
    identity
        .login(&person.email, &person.password)
        .await
        .device_token()
}

#[tokio::test]
async fn the_owner_gets_in_from_a_known_device_while_fifty_strangers_hammer_the_address() {
    // A hashing queue of its own, which nobody else fills.
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let mut device = known_device(identity, &ada).await;
    let mut strangers = JoinSet::new();
    for _ in 0..50 {
        let (identity, email) = (identity.clone(), ada.email.clone());
        strangers.spawn(async move { identity.login(&email, OTHER_PASSWORD).await.status });
    }
    for _ in 0..5 {
        let answer = identity.login_from(&device, &ada.email, PASSWORD).await;
        device = answer.device_token();
    }
    let answers = strangers.join_all().await;
    // The owner's successes were no strangers' successes.
    assert_eq!(
        answers.iter().filter(|status| **status == 401).count(),
        5,
        "{answers:?}"
    );
    assert!(locked(&identity.login(&ada.email, PASSWORD).await));
    identity
        .login_from(&device, &ada.email, PASSWORD)
        .await
        .tokens();
}

#[tokio::test]
async fn a_known_device_is_locked_for_itself_alone() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (phone, laptop) = (
        known_device(&identity, &ada).await,
        known_device(&identity, &ada).await,
    );
    for _ in 0..5 {
        let answer = identity
            .login_from(&phone, &ada.email, OTHER_PASSWORD)
            .await;
        assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
    }
    assert!(locked(
        &identity.login_from(&phone, &ada.email, PASSWORD).await
    ));
    identity
        .login_from(&laptop, &ada.email, PASSWORD)
        .await
        .tokens();
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn a_hundred_guesses_at_once_from_a_known_device_are_five() {
    // A hashing queue of its own, which nobody else fills.
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let device = known_device(identity, &ada).await;
    let mut guesses = JoinSet::new();
    for _ in 0..100 {
        let (identity, device, email) = (identity.clone(), device.clone(), ada.email.clone());
        guesses.spawn(async move {
            identity
                .login_from(&device, &email, OTHER_PASSWORD)
                .await
                .status
        });
    }
    let answers = guesses.join_all().await;
    assert_eq!(
        answers.iter().filter(|status| **status == 401).count(),
        5,
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|status| **status == 429).count(),
        95,
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_token_of_somebody_else_or_of_nobody_is_no_device_and_is_not_told_so() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, eve) = (identity.person().await, identity.person().await);
    let ours = known_device(identity, &ada).await;
    let (head, tail) = ours.split_at(30);
    let changed = format!(
        "{head}{}{}",
        if tail.starts_with('A') { 'B' } else { 'A' },
        &tail[1..]
    );
    let unknown = somebody();
    let tokens = [
        String::new(),
        "kst_d_".to_owned(),
        known_device(identity, &eve).await,
        changed,
        format!("{ours}A"),
    ];
    for email in [&ada.email, &unknown] {
        let before = identity.login(email, OTHER_PASSWORD).await.seen();
        for token in &tokens[..4] {
            let answer = identity.login_from(token, email, OTHER_PASSWORD).await;
            assert_eq!(answer.seen(), before, "{token}");
        }
        // All of them were counted with the strangers.
        let locked_out = identity.login(email, PASSWORD).await;
        assert!(locked(&locked_out));
        for token in &tokens {
            let answer = identity.login_from(token, email, PASSWORD).await;
            assert_eq!(answer.seen(), locked_out.seen(), "{token}");
        }
    }
    identity
        .login_from(&ours, &ada.email, PASSWORD)
        .await
        .tokens();
    // Of another address it is as good as none.
    let answer = identity.login_from(&ours, &unknown, PASSWORD).await;
    assert!(locked(&answer));
}

#[tokio::test]
async fn whatever_ends_all_sessions_forgets_the_devices() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let session = identity.logged_in(&ada).await;
    let device = known_device(&identity, &ada).await;
    identity.lock_out(&ada.email).await;
    identity
        .login_from(&device, &ada.email, PASSWORD)
        .await
        .tokens();
    // Leaving on this device is not distrusting it.
    assert_eq!(identity.logout(&session.access).await.status, 204);
    identity
        .login_from(&device, &ada.email, PASSWORD)
        .await
        .tokens();
    let session = identity.login_from(&device, &ada.email, PASSWORD).await;
    let session = session.tokens();
    let everywhere = identity.as_person(Method::POST, "logout-all", &session);
    assert_eq!(everywhere.await.status, 204);
    assert!(locked(
        &identity.login_from(&device, &ada.email, PASSWORD).await
    ));
}

#[tokio::test]
async fn a_device_token_opens_nothing() {
    let identity = Service::of_the_test_run();
    let device = known_device(&identity, &identity.person().await).await;
    for answer in [identity.me(&device).await, identity.refresh(&device).await] {
        assert_eq!(answer.problem(), unauthorized("wrong_token_type"));
    }
}
