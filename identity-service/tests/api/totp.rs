//! Setting up an authenticator, and taking it away again.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::json;
use time::Duration;
use tokio::task::JoinSet;

use crate::{
    accounts::OTHER_PASSWORD,
    authenticator::{Authenticator, STEP},
    device::{Tokens, befall, unauthorized},
    replica::Region,
    service::Service,
};

fn forbidden(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

fn conflict(code: &str) -> (u16, String) {
    (409, code.to_owned())
}

async fn mfa_enabled(identity: &Service, tokens: &Tokens) -> bool {
    let me = identity.me(&tokens.access).await.json();
    me["mfa_enabled"].as_bool().expect("yes or no")
}

#[tokio::test]
async fn an_authenticator_protects_the_account_once_its_first_code_was_shown() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;

    let answer = identity.enrol(&tokens, &ada.password).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let told = answer.json();
    let secret = told["secret"].as_str().expect("a secret");
    assert_eq!(secret.len(), 32, "160 bits in base 32");
    let account = ada.email.replace('@', "%40");
    assert_eq!(
        told["otpauth_uri"],
        format!("otpauth://totp/identity.test:{account}?secret={secret}&issuer=identity.test")
    );
    let picture = told["qr_svg"].as_str().expect("a picture");
    assert!(picture.starts_with(r#"<svg role="img" aria-label="QR code"#));
    assert!(!mfa_enabled(identity, &tokens).await);
    identity.logged_in(&ada).await;

    let app = Authenticator::new(secret);
    let codes = identity
        .confirm(&tokens, &region.code(&app))
        .await
        .recovery_codes();
    let distinct: HashSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), 10);
    assert!(mfa_enabled(identity, &tokens).await);
    identity.challenge(&ada).await;
}

#[tokio::test]
async fn the_code_that_confirmed_logs_nobody_in() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let app = identity.enrolled(&ada, &tokens).await;
    let code = region.code(&app);
    identity.confirm(&tokens, &code).await.recovery_codes();
    let token = identity.challenge(&ada).await;
    let answer = identity.verify_code(&token, &code).await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_code"));
    region.clock.advance(STEP);
    let answer = identity.verify_code(&token, &region.code(&app)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn a_secret_that_was_not_confirmed_gives_way_to_the_next_one() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let first = identity.enrolled(&ada, &tokens).await;
    let second = identity.enrolled(&ada, &tokens).await;
    let answer = identity.confirm(&tokens, &region.code(&first)).await;
    assert_eq!(answer.problem(), forbidden("wrong_code"));
    identity.logged_in(&ada).await;
    identity
        .confirm(&tokens, &region.code(&second))
        .await
        .recovery_codes();
}

#[tokio::test]
async fn a_confirmed_authenticator_is_not_replaced() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let answer = identity.enrol(&ada.tokens, &ada.person.password).await;
    assert_eq!(answer.problem(), conflict("mfa_already_enabled"));
    let code = region.code(&ada.authenticator);
    let answer = identity.confirm(&ada.tokens, &code).await;
    assert_eq!(answer.problem(), conflict("no_enrolment"));
    // Neither attempt used the code up.
    let token = identity.challenge(&ada.person).await;
    assert_eq!(identity.verify_code(&token, &code).await.status, 200);
}

#[tokio::test]
async fn fifty_confirmations_at_once_give_one_set_of_recovery_codes() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let app = identity.enrolled(&ada, &tokens).await;
    let code = region.code(&app);
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (identity, tokens, code) = (identity.clone(), tokens.clone(), code.clone());
        requests.spawn(async move { identity.confirm(&tokens, &code).await });
    }
    let answers = requests.join_all().await;
    let (given, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert_eq!(given.len(), 1);
    for answer in refused {
        assert_eq!(answer.problem(), conflict("no_enrolment"));
    }
    assert_eq!(identity.count("recovery_codes").await, 10);
}

#[tokio::test]
async fn setting_up_takes_the_password_and_a_session_that_goes_on() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let answer = identity.enrol(&tokens, OTHER_PASSWORD).await;
    assert_eq!(answer.problem(), forbidden("wrong_password"));
    assert_eq!(identity.count("totp_factors").await, 0);
    let app = identity.enrolled(&ada, &tokens).await;
    identity.logout(&tokens.access).await;
    let proofs = json!({ "password": ada.password, "code": region.code(&app) });
    for answer in [
        identity.enrol(&tokens, &ada.password).await,
        identity.confirm(&tokens, &region.code(&app)).await,
        identity.disable(&tokens, &proofs).await,
        identity.new_recovery_codes(&tokens, &proofs).await,
    ] {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
}

#[tokio::test]
async fn an_account_of_a_newer_epoch_sets_nothing_up_from_a_session_before_it() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, tokens) = identity.newcomer().await;
    let app = identity.enrolled(&ada, &tokens).await;
    let fate =
        "UPDATE accounts SET session_epoch = session_epoch + 1 WHERE user_id = $1::text::uuid";
    befall(identity, &tokens, fate).await;
    let answer = identity.confirm(&tokens, &region.code(&app)).await;
    assert_eq!(answer.problem(), unauthorized("session_ended"));
    identity.logged_in(&ada).await;
}

#[tokio::test]
async fn a_stolen_session_guesses_at_the_password_five_times_and_locks_out_nobody_else() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let recovery = identity
        .verify_recovery(&token, &ada.recovery_codes[0])
        .await;
    let (stolen, own) = (&ada.tokens, recovery.tokens());
    let guess = json!({ "password": OTHER_PASSWORD, "code": "000000" });
    let mut requests = JoinSet::new();
    for number in 0..50 {
        let (identity, stolen, guess) = (identity.clone(), stolen.clone(), guess.clone());
        requests.spawn(async move {
            match number % 2 {
                0 => identity.disable(&stolen, &guess).await.problem(),
                _ => identity.new_recovery_codes(&stolen, &guess).await.problem(),
            }
        });
    }
    let answers = requests.join_all().await;
    let locked = (429, "too_many_attempts".to_owned());
    let counted = |refusal| answers.iter().filter(|it| **it == refusal).count();
    assert_eq!(counted(forbidden("wrong_password")), 5);
    assert_eq!(counted(locked.clone()), 45);
    let right = json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    let answer = identity.disable(stolen, &right).await;
    assert_eq!(answer.problem(), locked);
    assert_eq!(answer.header("retry-after"), Some("900"));
    // The owner has a session of their own, and logs in as before.
    assert_eq!(identity.disable(&own, &right).await.status, 204);
    identity.logged_in(&ada.person).await;
    let answer = identity.enrol(stolen, &ada.person.password).await;
    assert_eq!(answer.problem(), locked);
    region.clock.advance(Duration::minutes(14));
    let stolen = identity.refresh(&stolen.refresh).await.tokens();
    region.clock.advance(Duration::minutes(1));
    assert_eq!(
        identity.enrol(&stolen, &ada.person.password).await.status,
        200
    );
}

#[tokio::test]
async fn a_secret_can_be_confirmed_for_an_hour() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let app = identity.enrolled(&ada, &tokens).await;
    region
        .clock
        .advance(Duration::minutes(60) + Duration::SECOND);
    let tokens = identity.refresh(&tokens.refresh).await.tokens();
    let answer = identity.confirm(&tokens, &region.code(&app)).await;
    assert_eq!(answer.problem(), conflict("no_enrolment"));
    assert!(!mfa_enabled(identity, &tokens).await);
}

#[tokio::test]
async fn guessing_the_first_code_is_stopped_and_setting_up_again_does_not_help() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let app = identity.enrolled(&ada, &tokens).await;
    for _ in 0..5 {
        let wrong = app.wrong_code(region.clock.now());
        let answer = identity.confirm(&tokens, &wrong).await;
        assert_eq!(answer.problem(), forbidden("wrong_code"));
    }
    let again = identity.enrolled(&ada, &tokens).await;
    let answer = identity.confirm(&tokens, &region.code(&again)).await;
    assert_eq!(answer.problem(), (429, "too_many_attempts".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("900"));
}

#[tokio::test]
async fn guessing_a_code_within_a_session_is_stopped_wherever_it_is_tried() {
    for (method, path) in [
        (Method::DELETE, "mfa/totp"),
        (Method::POST, "mfa/recovery-codes"),
        (Method::DELETE, "account"),
    ] {
        let region = Region::new().await;
        let running = region.start().await;
        let identity = &running.service;
        let ada = region.protected(identity).await;
        let shown = async |code: String| {
            let proofs = json!({ "password": ada.person.password, "code": code });
            identity
                .authorised(method.clone(), path, &ada.tokens, &proofs)
                .await
        };
        for _ in 0..5 {
            let answer = shown(ada.authenticator.wrong_code(region.clock.now())).await;
            assert_eq!(answer.problem(), forbidden("wrong_code"), "{path}");
        }
        let answer = shown(region.code(&ada.authenticator)).await;
        let locked = (429, "too_many_attempts".to_owned());
        assert_eq!(answer.problem(), locked, "{path}");
    }
}

#[tokio::test]
async fn an_authenticator_that_was_not_confirmed_changes_nothing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let code = region.code(&identity.enrolled(&ada, &tokens).await);
    let proofs = json!({ "password": ada.password, "code": code });
    for answer in [
        identity.disable(&tokens, &proofs).await,
        identity.new_recovery_codes(&tokens, &proofs).await,
    ] {
        assert_eq!(answer.problem(), conflict("mfa_not_enabled"));
    }
    // Nor was its code used up.
    identity.confirm(&tokens, &code).await.recovery_codes();
}

#[tokio::test]
async fn removing_it_takes_both_factors() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let (password, code) = (&ada.person.password, region.code(&ada.authenticator));
    let wrong = ada.authenticator.wrong_code(region.clock.now());
    for (proofs, refusal) in [
        (
            json!({ "password": OTHER_PASSWORD, "code": code }),
            forbidden("wrong_password"),
        ),
        (
            json!({ "password": password, "code": wrong }),
            forbidden("wrong_code"),
        ),
        (
            json!({ "password": password, "recovery_code": "0000-0000-0000" }),
            forbidden("wrong_code"),
        ),
        (
            json!({ "password": password }),
            (400, "invalid_request".to_owned()),
        ),
        (
            json!({ "password": password, "code": code, "recovery_code": ada.recovery_codes[0] }),
            (400, "invalid_request".to_owned()),
        ),
        (
            json!({ "password": password, "code": "12345" }),
            (400, "invalid_request".to_owned()),
        ),
        (
            json!({ "password": password, "recovery_code": "12345" }),
            (400, "invalid_request".to_owned()),
        ),
    ] {
        assert_eq!(
            identity.disable(&ada.tokens, &proofs).await.problem(),
            refusal
        );
        let answer = identity.new_recovery_codes(&ada.tokens, &proofs).await;
        assert_eq!(answer.problem(), refusal);
    }
    assert!(mfa_enabled(identity, &ada.tokens).await);

    let proofs = json!({ "password": password, "code": code });
    let answer = identity.disable(&ada.tokens, &proofs).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    assert!(!mfa_enabled(identity, &ada.tokens).await);
    identity.logged_in(&ada.person).await;
    for table in ["totp_factors", "recovery_codes"] {
        assert_eq!(identity.count(table).await, 0);
    }
    let answer = identity.disable(&ada.tokens, &proofs).await;
    assert_eq!(answer.problem(), conflict("mfa_not_enabled"));
}

#[tokio::test]
async fn a_code_that_logged_in_removes_nothing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let code = region.code(&ada.authenticator);
    let token = identity.challenge(&ada.person).await;
    let tokens = identity.verify_code(&token, &code).await.tokens();
    let proofs = json!({ "password": ada.person.password, "code": code });
    for answer in [
        identity.disable(&tokens, &proofs).await,
        identity.new_recovery_codes(&tokens, &proofs).await,
    ] {
        assert_eq!(answer.problem(), forbidden("wrong_code"));
    }
}

#[tokio::test]
async fn a_recovery_code_removes_a_lost_authenticator() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let proofs = json!({ "password": ada.person.password, "recovery_code": ada.recovery_codes[3] });
    assert_eq!(identity.disable(&ada.tokens, &proofs).await.status, 204);
    // And the account can be protected again, by another one.
    let (app, _) = region.protect(identity, &ada.person, &ada.tokens).await;
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_code(&token, &region.code(&ada.authenticator))
        .await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_code"));
    assert_eq!(
        identity
            .verify_code(&token, &region.code(&app))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn new_recovery_codes_void_the_old_ones() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let proofs =
        json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    let codes = identity
        .new_recovery_codes(&ada.tokens, &proofs)
        .await
        .recovery_codes();
    assert!(codes.iter().all(|code| !ada.recovery_codes.contains(code)));
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_recovery(&token, &ada.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), unauthorized("invalid_mfa_code"));
    assert_eq!(
        identity.verify_recovery(&token, &codes[0]).await.status,
        200
    );
}

#[tokio::test]
async fn the_owner_is_mailed_about_every_change_and_about_guessing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let email = &ada.person.email;
    let told = async |number: usize| identity.mail_number(email, number).await.subject;
    assert_eq!(told(2).await, "Two-factor authentication is on");

    let proofs =
        json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    identity.new_recovery_codes(&ada.tokens, &proofs).await;
    assert_eq!(told(3).await, "You have new recovery codes");

    region.clock.advance(STEP);
    let code = region.code(&ada.authenticator);
    let wrong = ada.authenticator.wrong_code(region.clock.now());
    let guess = json!({ "password": ada.person.password, "code": wrong });
    for _ in 0..4 {
        identity.disable(&ada.tokens, &guess).await;
    }
    let proofs = json!({ "password": ada.person.password, "code": code });
    assert_eq!(identity.disable(&ada.tokens, &proofs).await.status, 204);
    assert_eq!(told(4).await, "Two-factor authentication is off");

    let app = identity.enrolled(&ada.person, &ada.tokens).await;
    for _ in 0..5 {
        identity
            .confirm(&ada.tokens, &app.wrong_code(region.clock.now()))
            .await;
    }
    assert_eq!(told(5).await, "Wrong codes for your account");
}
