//! Changing a password that is known.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD},
    device::{Tokens, befall, unauthorized},
    gate::FATES,
    lockout::locked,
    replica::Region,
    service::{Answer, Service, sent},
};

const NEW_PASSWORD: &str = "harbour violin meadow 3391";

impl Service {
    pub(crate) async fn change_password(
        &self,
        tokens: &Tokens,
        current: &str,
        new: &str,
    ) -> Answer {
        let body = passwords(current, new);
        self.authorised(Method::POST, "password", tokens, &body)
            .await
    }
}

fn passwords(current: &str, new: &str) -> Value {
    json!({ "current_password": current, "new_password": new })
}

fn wrong_password() -> (u16, String) {
    (403, "wrong_password".to_owned())
}

#[tokio::test]
async fn the_session_that_asked_goes_on_and_every_other_one_ends() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (here, there) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let elsewhere = identity.refresh(&there.refresh).await.tokens();
    let answer = identity
        .change_password(&here, PASSWORD, NEW_PASSWORD)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["status"], "replaced");

    identity.is_over(&elsewhere).await;
    assert_eq!(identity.refresh(&there.refresh).await.status, 401);
    assert_eq!(identity.me(&here.access).await.status, 200);
    let next = identity.refresh(&here.refresh).await.tokens();
    let trail = identity.events(&next, "?limit=1").await;
    assert_eq!(trail[0]["kind"], "password_changed");
    assert_eq!(trail[0]["network"], "127.0.0.1");
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    assert!(identity.logs_in(&ada.email, NEW_PASSWORD).await);
    let notice = identity
        .mail_about(&ada.email, "Your password was changed")
        .await;
    assert!(notice.text.contains("from 127.0.0.1"), "{}", notice.text);
    // And it can be changed again, from the session that went on.
    let again = identity
        .change_password(&next, NEW_PASSWORD, OTHER_PASSWORD)
        .await;
    assert_eq!(again.status, 200, "{}", again.text);
}

#[tokio::test]
async fn of_twenty_changes_at_once_with_the_right_password_one_succeeds() {
    // A hashing queue of its own, which nobody else fills.
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    // So many guesses at once are more than one session may make.
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(identity.logged_in(&ada).await);
    }
    let mut changing = JoinSet::new();
    for number in 0..20 {
        let (service, session) = (identity.clone(), sessions[number % 5].clone());
        changing.spawn(async move {
            let password = format!("{NEW_PASSWORD} {number}");
            let answer = service.change_password(&session, PASSWORD, &password).await;
            (answer, password, session)
        });
    }
    let answers = changing.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(it, ..)| it.status == 200);
    assert_eq!(done.len(), 1);
    let (_, password, winner) = done[0];
    for (answer, _, session) in refused {
        // Too much hashing at once and too many guesses of one session are refused before anything is compared.
        let lost = match answer.status {
            503 | 429 => true,
            _ if session == winner => answer.problem() == wrong_password(),
            _ => {
                answer.problem() == unauthorized("session_ended")
                    || answer.problem() == wrong_password()
            }
        };
        assert!(lost, "{}", answer.text);
    }
    for session in &sessions {
        if session == winner {
            assert_eq!(identity.me(&session.access).await.status, 200);
        } else {
            identity.is_over(session).await;
        }
    }
    assert!(identity.logs_in(&ada.email, password).await);
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    identity.outbox_empties().await;
    assert_eq!(
        identity
            .mails_about(&ada.email, "Your password was changed")
            .len(),
        1
    );
}

#[tokio::test]
async fn a_stolen_session_has_five_guesses_at_the_password_and_changes_nothing() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (stolen, hers) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    for guess in [
        "",
        "\0",
        OTHER_PASSWORD,
        "Plough candle orbit 1843",
        "plough candle orbit 1843 ",
    ] {
        let answer = identity.change_password(&stolen, guess, NEW_PASSWORD).await;
        assert_eq!(answer.problem(), wrong_password(), "{guess:?}");
    }
    let right = identity
        .change_password(&stolen, PASSWORD, NEW_PASSWORD)
        .await;
    assert!(locked(&right), "{}", right.text);
    assert_eq!(identity.me(&hers.access).await.status, 200);
    // Which locks out neither her nor her next login.
    let answer = identity
        .change_password(&hers, PASSWORD, NEW_PASSWORD)
        .await;
    assert_eq!(answer.status, 200);
    identity.is_over(&stolen).await;
}

#[tokio::test]
async fn a_password_that_is_refused_changes_nothing() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (here, there) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    for refused in [
        PASSWORD,
        "passwordpassword",
        "short",
        // Hard to guess, and a byte too short all the same.
        "q7#Vx!2rKz9&Lm",
        &ada.email,
        &"x".repeat(1_025),
    ] {
        let answer = identity.change_password(&here, PASSWORD, refused).await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
        let errors = answer.json()["errors"].clone();
        assert_eq!(errors[0]["pointer"], "#/new_password", "{errors}");
    }
    for body in [
        json!({}),
        json!({ "new_password": NEW_PASSWORD }),
        json!([]),
        json!({ "current_password": 1, "new_password": 2 }),
    ] {
        let answer = identity
            .authorised(Method::POST, "password", &here, &body)
            .await;
        assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    }
    assert_eq!(identity.me(&there.access).await.status, 200);
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn the_same_text_composed_otherwise_is_the_same_password() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let (composed, decomposed) = (
        "zo\u{eb} harbour violin 3391",
        "zoe\u{308} harbour violin 3391",
    );
    let answer = identity.change_password(&tokens, PASSWORD, composed).await;
    assert_eq!(answer.status, 200);
    let answer = identity
        .change_password(&tokens, composed, decomposed)
        .await;
    assert_eq!(answer.problem(), (400, "invalid_request".to_owned()));
    assert!(identity.logs_in(&ada.email, decomposed).await);
}

#[tokio::test]
async fn what_was_begun_with_the_old_password_is_void() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let bob = identity.person().await;
    let device = identity.login(&bob.email, PASSWORD).await.device_token();
    let reset = identity.mailed_reset(&bob.email).await;
    let tokens = identity.logged_in(&bob).await;
    let changed = identity
        .change_password(&tokens, PASSWORD, NEW_PASSWORD)
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let answer = identity.reset(&reset, OTHER_PASSWORD).await;
    assert_eq!(answer.problem(), (400, "invalid_reset_token".to_owned()));
    // A device from before is a stranger's.
    identity.lock_out(&bob.email).await;
    assert!(locked(
        &identity.login_from(&device, &bob.email, NEW_PASSWORD).await
    ));

    let ada = region.protected(identity).await;
    let challenge = identity.challenge(&ada.person).await;
    let changed = identity
        .change_password(&ada.tokens, PASSWORD, NEW_PASSWORD)
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let code = region.code(&ada.authenticator);
    let answer = identity.verify_code(&challenge, &code).await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_token"));
}

#[tokio::test]
async fn a_session_that_was_being_opened_with_the_old_password_is_over() {
    // A hashing queue of its own, which nobody else fills.
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let (here, there) = (
        identity.logged_in(&ada).await,
        identity.logged_in(&ada).await,
    );
    let mut work = JoinSet::new();
    for _ in 0..4 {
        let (service, person) = (identity.clone(), ada.clone());
        work.spawn(async move { service.login(&person.email, &person.password).await });
        let (service, session) = (identity.clone(), there.clone());
        work.spawn(async move { service.refresh(&session.refresh).await });
    }
    let (service, session) = (identity.clone(), here.clone());
    let change = tokio::spawn(async move {
        service
            .change_password(&session, PASSWORD, NEW_PASSWORD)
            .await
    });
    let answers = work.join_all().await;
    let change = change.await.expect("no panic");
    assert_eq!(change.status, 200, "{}", change.text);
    for answer in answers {
        assert!(matches!(answer.status, 200 | 401 | 429), "{}", answer.text);
        if answer.status == 200 {
            identity.is_over(&answer.tokens()).await;
        }
    }
    assert_eq!(identity.refresh(&here.refresh).await.status, 200);
}

#[tokio::test]
async fn a_page_changes_a_password_with_its_csrf_token_and_its_session_goes_on() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let (browser, other) = (identity.browser(&ada).await, identity.browser(&ada).await);
    let body = passwords(PASSWORD, NEW_PASSWORD);
    let path = "/api/auth/password";
    let without = browser.request(&identity, Method::POST, path).json(&body);
    let answer = sent(without).await;
    assert_eq!(answer.problem(), (403, "csrf_token_invalid".to_owned()));
    let answer = sent(browser.post(&identity, path).json(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.is_in_its_cookie();
    assert_eq!(browser.refreshed(&identity).await.status, 200);
    let over = other.refreshed(&identity).await;
    assert_eq!(over.problem(), unauthorized("session_ended"));
}

#[tokio::test]
async fn nobody_without_a_living_session_changes_a_password() {
    let identity = Service::of_the_test_run();
    let path = "/api/auth/password";
    let anonymous = identity.request(Method::POST, path);
    let answer = sent(anonymous.json(&passwords(PASSWORD, NEW_PASSWORD))).await;
    assert_eq!(answer.status, 401);
    let ended = identity.logged_in(&identity.person().await).await;
    assert_eq!(identity.logout(&ended.access).await.status, 204);
    let answer = identity
        .change_password(&ended, PASSWORD, NEW_PASSWORD)
        .await;
    assert_eq!(answer.problem(), unauthorized("session_ended"));
    for fate in FATES {
        let tokens = identity.logged_in(&identity.person().await).await;
        befall(&identity, &tokens, fate).await;
        let answer = identity
            .change_password(&tokens, PASSWORD, NEW_PASSWORD)
            .await;
        assert_eq!(answer.problem(), unauthorized("session_ended"), "{fate}");
    }
}
