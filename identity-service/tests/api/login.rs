//! Logging in, and what an outsider can learn from trying.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    accounts::{PASSWORD, somebody},
    device::{befall, claims, header, unauthorized},
    replica::Region,
    service::{Answer, Service},
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

/// Everything that an outsider sees, except what names or dates this one answer.
fn visible(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut body = answer.json();
    let id = body.as_object_mut().and_then(|it| it.remove("request_id"));
    assert!(id.is_some());
    (answer.status, answer.lasting_headers(), body)
}

#[tokio::test]
async fn wrong_password_unknown_address_pending_and_disabled_look_the_same() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let wrong = identity.mistyped(&ada).await;
    assert_eq!(wrong.problem(), unauthorized("invalid_credentials"));

    let unknown = identity.login(&somebody(), PASSWORD).await;
    let pending = somebody();
    identity.mailed_sign_up(&pending, PASSWORD).await;
    let unconfirmed = identity.login(&pending, PASSWORD).await;
    let no_address = identity.login("no address", PASSWORD).await;
    let tokens = identity.logged_in(&ada).await;
    let disabling = "UPDATE accounts SET disabled_at = now() WHERE user_id = $1::text::uuid";
    befall(&tokens, disabling).await;
    let disabled = identity.login(&ada.email, &ada.password).await;
    for other in [&unknown, &unconfirmed, &no_address, &disabled] {
        assert_eq!(visible(&wrong), visible(other));
        assert_eq!(wrong.text.len(), other.text.len());
    }
}

/// Rounds of one wrong login for a known and one for an unknown address, in turns.
const ROUNDS: usize = 150;
/// How far the medians may lie apart, as a part of the smaller one.
const APART: f64 = 0.10;
/// The Mann-Whitney test's bound: |z| of two equal distributions exceeds it once in 16,000 runs.
const Z: f64 = 4.0;

#[tokio::test]
async fn the_time_of_a_login_does_not_tell_whether_the_address_is_known() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    take_the_same_time(&identity, &ada.email, &somebody()).await;
}

/// Fails when wrong logins for the two addresses can be told apart by their time.
pub(crate) async fn take_the_same_time(identity: &Service, known: &str, unknown: &str) {
    let time = async |email: &str| {
        let begun = Instant::now();
        let answer = identity.login(email, "not the password of anybody").await;
        assert_eq!(answer.status, 401);
        begun.elapsed()
    };
    let (mut of_known, mut of_unknown) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Taking turns in who comes first: what slows the machine slows both.
        if round % 2 == 0 {
            of_known.push(time(known).await);
            of_unknown.push(time(unknown).await);
        } else {
            of_unknown.push(time(unknown).await);
            of_known.push(time(known).await);
        }
    }
    let (known, unknown) = (median(&mut of_known), median(&mut of_unknown));
    let apart = known.max(unknown).div_duration_f64(known.min(unknown)) - 1.0;
    let z = mann_whitney(&of_known, &of_unknown);
    // Either is noise on a busy machine; a defence that is gone shows in both.
    assert!(
        apart < APART || z.abs() < Z,
        "known {known:?}, unknown {unknown:?}, z {z:.1}"
    );
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

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// z of the Mann-Whitney U test in its normal approximation.
#[expect(clippy::cast_precision_loss, reason = "hundreds of rounds")]
fn mann_whitney(one: &[Duration], other: &[Duration]) -> f64 {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    let u: f64 = pairs
        .map(|(a, b)| match a.cmp(b) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        })
        .sum();
    let (n, m) = (one.len() as f64, other.len() as f64);
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}
