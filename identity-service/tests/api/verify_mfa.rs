//! Logging in with a second factor, and every way around it that was thought of.

use serde_json::json;
use time::{Duration, OffsetDateTime};
use tokio::task::JoinSet;

use crate::{
    authenticator::{Protected, STEP},
    device::{claims, unauthorized},
    devices::kinds,
    replica::Region,
    service::{Answer, Service},
};

/// What an account with a second factor is worth until it is shown.
fn over() -> (u16, String) {
    unauthorized("invalid_mfa_token")
}

fn wrong() -> (u16, String) {
    unauthorized("invalid_mfa_code")
}

async fn wrongly(region: &Region, identity: &Service, ada: &Protected, token: &str) -> Answer {
    let code = ada.authenticator.wrong_code(region.clock.now());
    identity.verify_code(token, &code).await
}

#[tokio::test]
async fn a_login_asks_for_the_code_and_the_code_logs_in() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let answer = identity
        .login(&ada.person.email, &ada.person.password)
        .await;
    let body = answer.json();
    let mfa_token = body["mfa_token"].as_str().expect("a token");
    let expected = json!({
        "status": "mfa_required",
        "mfa_token": mfa_token,
        "methods": ["totp", "recovery_code"],
        "expires_in": 300,
    });
    assert_eq!(body, expected);
    assert!(mfa_token.starts_with("kst_m_") && mfa_token.len() == 70);
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    // Apps show the digits in two groups.
    let code = region.code(&ada.authenticator);
    let typed = format!("{} {}", &code[..3], &code[3..]);
    let answer = identity.verify_code(mfa_token, &typed).await;
    assert_eq!(answer.json()["status"], "authenticated");
    let tokens = answer.tokens();
    assert_eq!(claims(&tokens.access)["amr"], json!(["pwd", "otp"]));
    assert_eq!(identity.me(&tokens.access).await.status, 200);
    assert_eq!(identity.refresh(&tokens.refresh).await.status, 200);
}

#[tokio::test]
async fn a_recovery_code_logs_in_once_however_it_is_typed() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let typed = ada.recovery_codes[0].replace('-', " ").to_uppercase();
    let token = identity.challenge(&ada.person).await;
    let tokens = identity.verify_recovery(&token, &typed).await.tokens();
    assert_eq!(claims(&tokens.access)["amr"], json!(["pwd", "mfa"]));
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_recovery(&token, &ada.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), wrong());
    let answer = identity
        .verify_recovery(&token, &ada.recovery_codes[1])
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_wrong_password_is_refused_before_any_second_factor() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let answer = identity.mistyped(&ada.person).await;
    assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
    assert_eq!(identity.count("mfa_challenges").await, 0);
}

/// Moves the clock to the first second of a step.
fn to_the_next_step(region: &Region) -> OffsetDateTime {
    let now = region.clock.now().unix_timestamp();
    let begin = (now / 30 + 1) * 30;
    let begin = OffsetDateTime::from_unix_timestamp(begin).expect("a time");
    region.clock.advance(begin - region.clock.now());
    region.clock.now()
}

#[tokio::test]
async fn a_code_is_good_from_half_a_minute_before_its_step_to_half_a_minute_after() {
    // Seconds from the begin of the step to the login.
    for (moment, good) in [
        (-31, false),
        (-30, true),
        (0, true),
        (59, true),
        (60, false),
    ] {
        let region = Region::new().await;
        let running = region.start().await;
        let identity = &running.service;
        let ada = region.protected(identity).await;
        let begin = to_the_next_step(&region) + STEP * 2;
        let code = ada.authenticator.code(begin);
        let login_at = begin + Duration::seconds(moment);
        region.clock.advance(login_at - region.clock.now());
        let token = identity.challenge(&ada.person).await;
        let answer = identity.verify_code(&token, &code).await;
        if good {
            assert_eq!(answer.status, 200, "{moment}: {}", answer.text);
        } else {
            assert_eq!(answer.problem(), wrong(), "{moment}");
        }
    }
}

#[tokio::test]
async fn no_code_works_twice_and_none_from_before_a_used_one() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    region.clock.advance(STEP);
    let before = ada.authenticator.code(region.clock.now() - STEP);
    let used = region.code(&ada.authenticator);
    let after = ada.authenticator.code(region.clock.now() + STEP);
    let token = identity.challenge(&ada.person).await;
    assert_eq!(identity.verify_code(&token, &used).await.status, 200);
    let token = identity.challenge(&ada.person).await;
    assert_eq!(identity.verify_code(&token, &used).await.problem(), wrong());
    assert_eq!(
        identity.verify_code(&token, &before).await.problem(),
        wrong()
    );
    assert_eq!(identity.verify_code(&token, &after).await.status, 200);
}

/// Shows something fifty times at once, each time to a challenge of its own.
async fn fifty_answers(
    identity: &Service,
    ada: &Protected,
    shown: &str,
    value: &str,
) -> Vec<Answer> {
    let mut tokens = Vec::new();
    for _ in 0..50 {
        tokens.push(identity.challenge(&ada.person).await);
    }
    let mut requests = JoinSet::new();
    for token in tokens {
        let body = json!({ "mfa_token": token, shown: value });
        let identity = identity.clone();
        requests.spawn(async move { identity.post("verify-mfa", &body).await });
    }
    requests.join_all().await
}

/// How often it logged in.
async fn fifty_logins(identity: &Service, ada: &Protected, shown: &str, value: &str) -> usize {
    let answers = fifty_answers(identity, ada, shown, value).await;
    let refused = answers.iter().filter(|it| it.status != 200);
    for answer in refused {
        assert!(matches!(answer.status, 401 | 429), "{}", answer.text);
    }
    answers.iter().filter(|it| it.status == 200).count()
}

#[tokio::test]
async fn fifty_uses_of_one_code_at_once_are_one_login() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let code = region.code(&ada.authenticator);
    assert_eq!(fifty_logins(identity, &ada, "code", &code).await, 1);
}

#[tokio::test]
async fn fifty_uses_of_one_recovery_code_at_once_are_one_login() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let code = &ada.recovery_codes[7];
    assert_eq!(fifty_logins(identity, &ada, "recovery_code", code).await, 1);
    assert_eq!(identity.count("recovery_codes").await, 9);
}

#[tokio::test]
async fn fifty_different_right_answers_to_one_challenge_are_one_login() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let mut requests = JoinSet::new();
    for number in 0..50 {
        let (identity, token) = (identity.clone(), token.clone());
        let code = ada.recovery_codes[number % 10].clone();
        requests.spawn(async move { identity.verify_recovery(&token, &code).await });
    }
    let answers = requests.join_all().await;
    assert_eq!(answers.iter().filter(|it| it.status == 200).count(), 1);
    for answer in answers.iter().filter(|it| it.status != 200) {
        assert_eq!(answer.problem(), over());
    }
    assert_eq!(identity.count("recovery_codes").await, 9);
}

#[tokio::test]
async fn a_challenge_takes_three_tries_and_the_right_code_is_no_fourth() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    for _ in 0..3 {
        assert_eq!(
            wrongly(&region, identity, &ada, &token).await.problem(),
            wrong()
        );
    }
    let code = region.code(&ada.authenticator);
    assert_eq!(identity.verify_code(&token, &code).await.problem(), over());
    // Whoever knows the password gets a new challenge, and the code is still good.
    let token = identity.challenge(&ada.person).await;
    assert_eq!(identity.verify_code(&token, &code).await.status, 200);
}

#[tokio::test]
async fn fifty_guesses_at_once_at_one_challenge_are_three() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (identity, token) = (identity.clone(), token.clone());
        let code = ada.authenticator.wrong_code(region.clock.now());
        requests.spawn(async move { identity.verify_code(&token, &code).await.problem() });
    }
    let answers = requests.join_all().await;
    assert_eq!(answers.iter().filter(|it| **it == wrong()).count(), 3);
    assert_eq!(answers.iter().filter(|it| **it == over()).count(), 47);
}

#[tokio::test]
async fn fifty_guesses_at_once_through_fifty_challenges_are_five() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let code = ada.authenticator.wrong_code(region.clock.now());
    let answers = fifty_answers(identity, &ada, "code", &code).await;
    let counted =
        |refusal: (u16, String)| answers.iter().filter(|it| it.problem() == refusal).count();
    assert_eq!(counted(wrong()), 5);
    assert_eq!(counted((429, "too_many_attempts".to_owned())), 45);
}

#[tokio::test]
async fn a_challenge_is_good_once_and_for_five_minutes() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let answered = identity.challenge(&ada.person).await;
    let late = identity.challenge(&ada.person).await;
    let in_time = identity.challenge(&ada.person).await;
    let code = region.code(&ada.authenticator);
    assert_eq!(identity.verify_code(&answered, &code).await.status, 200);
    let answer = identity
        .verify_recovery(&answered, &ada.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), over());
    region
        .clock
        .advance(Duration::minutes(5) - Duration::SECOND);
    let code = region.code(&ada.authenticator);
    assert_eq!(identity.verify_code(&in_time, &code).await.status, 200);
    region.clock.advance(Duration::SECOND);
    let answer = identity
        .verify_recovery(&late, &ada.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), over());
    assert_eq!(identity.count("recovery_codes").await, 10);
}

#[tokio::test]
async fn one_persons_code_does_not_answer_anothers_challenge() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, eve) = region.two_protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_code(&token, &region.code(&eve.authenticator))
        .await;
    assert_eq!(answer.problem(), wrong());
    let answer = identity
        .verify_recovery(&token, &eve.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), wrong());
    // Eve's own challenge gets her into her own account only.
    let token = identity.challenge(&eve.person).await;
    let tokens = identity
        .verify_code(&token, &region.code(&eve.authenticator))
        .await
        .tokens();
    assert_eq!(
        identity.me(&tokens.access).await.json()["email"],
        eve.person.email.as_str()
    );
}

#[tokio::test]
async fn five_wrong_codes_make_the_account_wait_through_whichever_challenges_they_came() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    for tries in [3, 2] {
        let token = identity.challenge(&ada.person).await;
        for _ in 0..tries {
            assert_eq!(
                wrongly(&region, identity, &ada, &token).await.problem(),
                wrong()
            );
        }
    }
    let locked = (429, "too_many_attempts".to_owned());
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_code(&token, &region.code(&ada.authenticator))
        .await;
    assert_eq!(answer.problem(), locked);
    assert_eq!(answer.header("retry-after"), Some("900"));
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_recovery(&token, &ada.recovery_codes[0])
        .await;
    assert_eq!(answer.problem(), locked);
    // A session of the owner is no way around it either.
    let proofs =
        json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    let answer = identity.disable(&ada.tokens, &proofs).await;
    assert_eq!(answer.problem(), locked);

    region.clock.advance(Duration::minutes(15));
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_code(&token, &region.code(&ada.authenticator))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn the_wait_doubles_until_a_right_code_and_begins_anew_after_one() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let five_wrong = async || {
        for tries in [3, 2] {
            let token = identity.challenge(&ada.person).await;
            for _ in 0..tries {
                assert_eq!(
                    wrongly(&region, identity, &ada, &token).await.problem(),
                    wrong()
                );
            }
        }
        let token = identity.challenge(&ada.person).await;
        let answer = wrongly(&region, identity, &ada, &token).await;
        answer.header("retry-after").map(str::to_owned)
    };
    assert_eq!(five_wrong().await.as_deref(), Some("900"));
    region.clock.advance(Duration::minutes(15));
    assert_eq!(five_wrong().await.as_deref(), Some("1800"));
    region.clock.advance(Duration::minutes(30));
    let token = identity.challenge(&ada.person).await;
    let answer = identity
        .verify_code(&token, &region.code(&ada.authenticator))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(five_wrong().await.as_deref(), Some("900"));
}

#[tokio::test]
async fn an_operator_ends_the_wait() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    for tries in [3, 2] {
        let token = identity.challenge(&ada.person).await;
        for _ in 0..tries {
            wrongly(&region, identity, &ada, &token).await;
        }
    }
    let token = identity.challenge(&ada.person).await;
    let code = region.code(&ada.authenticator);
    assert_eq!(identity.verify_code(&token, &code).await.status, 429);
    let output = region.run(&["users", "unlock", &ada.person.email]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(identity.verify_code(&token, &code).await.status, 200);
}

/// What happens to an account between password and code.
const FATES: [&str; 3] = [
    "UPDATE accounts SET disabled_at = now()",
    "UPDATE accounts SET session_epoch = session_epoch + 1",
    "DELETE FROM accounts",
];

#[tokio::test]
async fn a_challenge_from_before_an_account_changed_mints_nothing() {
    for fate in FATES {
        let region = Region::new().await;
        let running = region.start().await;
        let identity = &running.service;
        let ada = region.protected(identity).await;
        let token = identity.challenge(&ada.person).await;
        let changed = identity.database().await.execute(fate, &[]).await;
        assert_eq!(changed.expect("the account is there"), 1);
        for answer in [
            identity
                .verify_code(&token, &region.code(&ada.authenticator))
                .await,
            identity
                .verify_recovery(&token, &ada.recovery_codes[0])
                .await,
        ] {
            assert_eq!(answer.problem(), over(), "{fate}");
        }
    }
}

#[tokio::test]
async fn a_disabled_account_with_a_second_factor_gets_no_challenge() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let changed = identity.database().await.execute(FATES[0], &[]).await;
    assert_eq!(changed.expect("the account is there"), 1);
    let answer = identity
        .login(&ada.person.email, &ada.person.password)
        .await;
    assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
}

#[tokio::test]
async fn a_challenge_ends_with_the_authenticator_it_asked_for() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let proofs = json!({ "password": ada.person.password, "recovery_code": ada.recovery_codes[0] });
    assert_eq!(identity.disable(&ada.tokens, &proofs).await.status, 204);
    for answer in [
        identity
            .verify_code(&token, &region.code(&ada.authenticator))
            .await,
        identity
            .verify_recovery(&token, &ada.recovery_codes[1])
            .await,
    ] {
        assert_eq!(answer.problem(), over());
    }
}

#[tokio::test]
async fn every_token_is_good_in_its_own_place_only() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let wrong_type = unauthorized("wrong_token_type");
    assert_eq!(identity.me(&token).await.problem(), wrong_type);
    assert_eq!(identity.logout(&token).await.problem(), wrong_type);
    assert_eq!(identity.refresh(&token).await.problem(), wrong_type);
    let code = region.code(&ada.authenticator);
    for (other, refusal) in [
        (ada.tokens.access.as_str(), &wrong_type),
        (&ada.tokens.refresh, &wrong_type),
        ("kst_v_AAAA", &wrong_type),
        ("", &over()),
        ("kst_m_", &over()),
        (&format!("{token}A"), &over()),
        (&token[..48], &over()),
        (&token.to_uppercase(), &over()),
    ] {
        let answer = identity.verify_code(other, &code).await;
        assert_eq!(&answer.problem(), refusal, "{other}");
        assert!(other.is_empty() || !answer.text.contains(other));
    }
    // None of it harmed the challenge or used the code.
    assert_eq!(identity.verify_code(&token, &code).await.status, 200);
}

#[tokio::test]
async fn what_is_neither_code_is_named_and_counts_as_no_try() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    let code = region.code(&ada.authenticator);
    for (body, pointer) in [
        (json!({ "mfa_token": token }), "#"),
        (
            json!({ "mfa_token": token, "code": code, "recovery_code": ada.recovery_codes[0] }),
            "#",
        ),
        (json!({ "mfa_token": token, "code": "12345" }), "#/code"),
        (json!({ "mfa_token": token, "code": "1234567" }), "#/code"),
        (json!({ "mfa_token": token, "code": "12e456" }), "#/code"),
        (json!({ "mfa_token": token, "code": 123_456 }), "#/code"),
        (
            json!({ "mfa_token": token, "recovery_code": "nonsense" }),
            "#/recovery_code",
        ),
        (json!({ "code": code }), "#/mfa_token"),
    ] {
        let answer = identity.post("verify-mfa", &body).await;
        assert_eq!(
            answer.problem(),
            (400, "invalid_request".to_owned()),
            "{body}"
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(identity.verify_code(&token, &code).await.status, 200);
}

#[tokio::test]
async fn what_happened_to_the_second_factor_is_in_the_persons_trail() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let token = identity.challenge(&ada.person).await;
    wrongly(&region, identity, &ada, &token).await;
    let tokens = identity
        .verify_recovery(&token, &ada.recovery_codes[0])
        .await
        .tokens();
    let proofs =
        json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    identity
        .new_recovery_codes(&tokens, &proofs)
        .await
        .recovery_codes();
    region.clock.advance(STEP);
    let proofs =
        json!({ "password": ada.person.password, "code": region.code(&ada.authenticator) });
    assert_eq!(identity.disable(&tokens, &proofs).await.status, 204);
    let mut happened = kinds(&identity.events(&tokens, "").await);
    // Of one millisecond, the order is left to chance.
    happened.sort_unstable();
    assert_eq!(
        happened,
        [
            "logged_in",
            "logged_in",
            "mfa_disabled",
            "mfa_enabled",
            "recovery_code_used",
            "recovery_codes_replaced",
            "second_factor_failed",
        ]
    );
}
