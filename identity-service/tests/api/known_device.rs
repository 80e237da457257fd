//! A stranger who hammers an address must not keep its owner out.

use reqwest::Method;
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    device::{Person, unauthorized},
    lockout::locked,
    passwords::NEW_PASSWORD,
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
async fn whoever_proves_the_account_anew_keeps_a_way_in_while_strangers_hammer_it() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let changed = identity.change_password(&tokens, PASSWORD, NEW_PASSWORD);
    let by_password = changed.await.device_token();
    identity.outbox_empties().await;
    let reset = identity.mailed_reset(&ada.email).await;
    identity.lock_out(&ada.email).await;
    let login = identity.login_from(&by_password, &ada.email, NEW_PASSWORD);
    login.await.tokens();

    // The reset voids that one, and gives the next. What it does not do is lift the lock for anybody else.
    let by_mail = identity.reset(&reset, PASSWORD).await.device_token();
    for stranger in [&by_password, ""] {
        let answer = identity.login_from(stranger, &ada.email, PASSWORD).await;
        assert!(locked(&answer), "{}", answer.text);
    }
    let session = identity.login_from(&by_mail, &ada.email, PASSWORD).await;

    let moved = somebody();
    let token = identity.mailed_address(&session.tokens(), &moved).await;
    let by_address = identity.confirm_address(&token).await.device_token();
    identity.lock_out(&moved).await;
    let answer = identity.login_from(&by_mail, &moved, PASSWORD).await;
    assert!(locked(&answer), "{}", answer.text);
    let login = identity.login_from(&by_address, &moved, PASSWORD);
    login.await.tokens();
}

#[tokio::test]
async fn strangers_who_were_there_first_do_not_keep_a_new_account_from_its_first_login() {
    let identity = Service::of_the_test_run();
    let email = somebody();
    let token = identity.mailed_sign_up(&email, PASSWORD).await;
    identity.lock_out(&email).await;
    let device = identity.verify(&token).await.device_token();
    assert!(locked(&identity.login(&email, PASSWORD).await));
    let login = identity.login_from(&device, &email, PASSWORD).await;
    login.tokens();
}

#[tokio::test]
async fn a_device_token_that_is_refused_a_thing_is_not_given_for_it() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let reset = identity.mailed_reset(&ada.email).await;
    let tokens = identity.logged_in(&ada).await;
    let change = async |from| {
        identity
            .change_password(&tokens, from, OTHER_PASSWORD)
            .await
    };
    for answer in [
        identity.reset(&reset, "short").await,
        identity.reset("kst_p_", OTHER_PASSWORD).await,
        change(OTHER_PASSWORD).await,
        change("a wrong password of some length").await,
        identity.confirm_address("kst_e_").await,
        identity.verify("kst_v_").await,
    ] {
        assert!((400..500).contains(&answer.status), "{}", answer.text);
        assert!(!answer.text.contains("kst_d_"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_device_token_opens_nothing() {
    let identity = Service::of_the_test_run();
    let device = known_device(&identity, &identity.person().await).await;
    for answer in [identity.me(&device).await, identity.refresh(&device).await] {
        assert_eq!(answer.problem(), unauthorized("wrong_token_type"));
    }
}
