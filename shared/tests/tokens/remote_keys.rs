//! Verifiers that fetch their keys, and an identity that is slow, broken, away or posing.

use std::{
    sync::Arc,
    time::{Duration as Span, Instant},
};

use serde_json::json;
use shared::{
    access_token::{Claims, Refused, Verifier},
    clock::Clock,
};
use time::Duration;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    key_server::{Answer, KeyServer, set},
    signing::{AUDIENCE, ISSUER, NOW, Signing, access_claims, with},
};

/// One time-out of a fetch (2 s) and room for a busy machine, below two of them.
const ABOUT_ONE_TIMEOUT: Span = Span::from_millis(3_900);
/// What an answer from memory may take on a busy machine, far below a time-out.
const AT_ONCE: Span = Span::from_secs(1);
const LIMIT: Span = Span::from_secs(20);

/// A service that fetches its keys, and the clock it reads.
struct Service {
    identity: KeyServer,
    clock: Clock,
    verifier: Arc<Verifier>,
}

impl Service {
    async fn start(answer: Answer) -> Self {
        let identity = KeyServer::start(answer).await;
        let clock = Clock::manual(NOW);
        let verifier = Verifier::remote(ISSUER, AUDIENCE, &identity.url(), &clock);
        Self {
            identity,
            clock,
            verifier: Arc::new(verifier),
        }
    }

    /// A service that has fetched the one key once.
    async fn knowing(key: &Signing) -> Self {
        let service = Self::start(Answer::Text(set([key.jwk(None)]))).await;
        service.verify(&key.access_token()).await.expect("good");
        service
    }

    async fn verify(&self, token: &str) -> Result<Claims, Refused> {
        self.verifier.verify(token, NOW).await
    }

    /// Asks until the answer is as wished: what happens behind a request takes its time.
    async fn until(&self, token: &str, wished: fn(&Result<Claims, Refused>) -> bool) {
        let start = Instant::now();
        loop {
            let answer = self.verify(token).await;
            if wished(&answer) {
                return;
            }
            assert!(start.elapsed() < LIMIT, "{answer:?}");
            tokio::task::yield_now().await;
        }
    }

    async fn until_asked(&self, times: usize) {
        let start = Instant::now();
        while self.identity.asked() < times {
            assert!(start.elapsed() < LIMIT, "asked {}", self.identity.asked());
            tokio::task::yield_now().await;
        }
    }
}

fn unavailable(answer: &Result<Claims, Refused>) -> bool {
    matches!(answer, Err(Refused::KeysUnavailable(error)) if error.is_unavailable())
}

fn invalid(answer: &Result<Claims, Refused>) -> bool {
    matches!(answer, Err(Refused::Invalid))
}

#[tokio::test]
async fn a_burst_of_first_requests_fetches_once() {
    let key = Signing::new();
    let (open, gate) = watch::channel(false);
    let service = Service::start(Answer::Gated(set([key.jwk(None)]), gate)).await;
    let mut burst = JoinSet::new();
    for _ in 0..32 {
        let (verifier, token) = (Arc::clone(&service.verifier), key.access_token());
        burst.spawn(async move { verifier.verify(&token, NOW).await });
    }
    service.until_asked(1).await;
    open.send(true).expect("the server waits");
    for answer in burst.join_all().await {
        answer.expect("good");
    }
    assert_eq!(service.identity.asked(), 1);
}

#[tokio::test]
async fn made_up_key_names_ask_at_most_every_ten_seconds() {
    let key = Signing::new();
    let service = Service::knowing(&key).await;
    for turn in 1..4 {
        for _ in 0..20 {
            let answer = service.verify(&Signing::new().access_token()).await;
            assert!(invalid(&answer), "{answer:?}");
        }
        assert_eq!(service.identity.asked(), turn);
        service.clock.advance(Duration::milliseconds(9_999));
        let answer = service.verify(&Signing::new().access_token()).await;
        assert!(invalid(&answer), "{answer:?}");
        assert_eq!(service.identity.asked(), turn);
        service.clock.advance(Duration::milliseconds(1));
    }
}

#[tokio::test]
async fn a_burst_of_made_up_key_names_asks_once() {
    let key = Signing::new();
    let service = Service::knowing(&key).await;
    service.clock.advance(Duration::seconds(10));
    let mut burst = JoinSet::new();
    for _ in 0..32 {
        let (verifier, token) = (Arc::clone(&service.verifier), Signing::new().access_token());
        burst.spawn(async move { verifier.verify(&token, NOW).await });
    }
    assert!(burst.join_all().await.iter().all(invalid));
    assert_eq!(service.identity.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_names_it() {
    let (old, new) = (Signing::new(), Signing::new());
    let service = Service::knowing(&old).await;
    service
        .identity
        .answer(Answer::Text(set([old.jwk(None), new.jwk(None)])));
    service.clock.advance(Duration::seconds(10));
    assert!(service.verify(&new.access_token()).await.is_ok());
    assert!(service.verify(&old.access_token()).await.is_ok());
    assert_eq!(service.identity.asked(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_stops_counting_behind_the_requests_of_a_busy_service() {
    let (withdrawn, kept) = (Signing::new(), Signing::new());
    let both = set([withdrawn.jwk(None), kept.jwk(None)]);
    let service = Service::start(Answer::Text(both)).await;
    assert!(service.verify(&withdrawn.access_token()).await.is_ok());
    service.identity.answer(Answer::Text(set([kept.jwk(None)])));
    service.clock.advance(Duration::milliseconds(29_999));
    assert!(service.verify(&withdrawn.access_token()).await.is_ok());
    assert_eq!(service.identity.asked(), 1);
    service.clock.advance(Duration::milliseconds(1));
    service.until(&withdrawn.access_token(), invalid).await;
    assert!(service.verify(&kept.access_token()).await.is_ok());
    assert_eq!(service.identity.asked(), 2);
}

#[tokio::test]
async fn a_withdrawn_key_counts_not_once_more_after_a_silence() {
    let (withdrawn, kept) = (Signing::new(), Signing::new());
    let both = set([withdrawn.jwk(None), kept.jwk(None)]);
    for silence in [Duration::minutes(1), Duration::days(1), -Duration::hours(1)] {
        let service = Service::start(Answer::Text(both.clone())).await;
        assert!(service.verify(&withdrawn.access_token()).await.is_ok());
        service.identity.answer(Answer::Text(set([kept.jwk(None)])));
        service.clock.advance(silence);
        let answer = service.verify(&withdrawn.access_token()).await;
        assert!(invalid(&answer), "{silence}: {answer:?}");
        assert!(service.verify(&kept.access_token()).await.is_ok());
        assert_eq!(service.identity.asked(), 2);
    }
}

#[tokio::test]
async fn a_key_withdrawn_while_identity_was_away_counts_not_once_more_after_a_silence() {
    let (withdrawn, kept) = (Signing::new(), Signing::new());
    let service = Service::knowing(&withdrawn).await;
    service.identity.answer(Answer::Status("502 Bad Gateway"));
    service.clock.advance(Duration::minutes(5));
    assert!(service.verify(&withdrawn.access_token()).await.is_ok());
    service.identity.answer(Answer::Text(set([kept.jwk(None)])));
    service.clock.advance(Duration::minutes(1));
    assert!(invalid(&service.verify(&withdrawn.access_token()).await));
}

#[tokio::test]
async fn known_keys_stay_while_identity_is_away_or_broken() {
    let (key, stranger) = (Signing::new(), Signing::new());
    let mut other = stranger.jwk(None);
    other.alg = "HS256".to_owned();
    let large = json!({"keys": [stranger.jwk(None)], "more": "a".repeat(100_000)});
    let posing = KeyServer::start(Answer::Text(set([stranger.jwk(None)]))).await;
    for (what, answer) in [
        ("500", Answer::Status("500 Internal Server Error")),
        ("not JSON", Answer::Text("<html>".to_owned())),
        (
            "a key of another kind",
            Answer::Text(set([stranger.jwk(None), other])),
        ),
        ("no key", Answer::Text(set([]))),
        ("a large set", Answer::Text(large.to_string())),
        ("a redirect", Answer::Redirect(posing.url())),
    ] {
        let service = Service::knowing(&key).await;
        service.identity.answer(answer);
        service.clock.advance(Duration::minutes(5));
        // The fetch fails.
        assert!(service.verify(&key.access_token()).await.is_ok(), "{what}");
        service.until_asked(2).await;
        assert!(service.verify(&key.access_token()).await.is_ok(), "{what}");
        // Whether this key counts cannot be known now: no reason to end a session.
        let answer = service.verify(&stranger.access_token()).await;
        assert!(unavailable(&answer), "{what}: {answer:?}");
        assert_eq!(service.identity.asked(), 2, "{what}");
        service.identity.answer(Answer::Text(set([key.jwk(None)])));
        service.clock.advance(Duration::seconds(10));
        let answer = service.verify(&stranger.access_token()).await;
        assert!(invalid(&answer), "{what}: {answer:?}");
    }
    assert_eq!(posing.asked(), 0);
}

#[tokio::test]
async fn a_first_set_with_one_key_of_another_kind_is_refused_whole() {
    let key = Signing::new();
    let mut other = Signing::new().jwk(None);
    other.crv = "X25519".to_owned();
    let service = Service::start(Answer::Text(set([key.jwk(None), other]))).await;
    let answer = service.verify(&key.access_token()).await;
    assert!(unavailable(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_hung_identity_costs_a_burst_of_first_requests_one_timeout() {
    let key = Signing::new();
    let service = Service::start(Answer::Silence).await;
    let start = Instant::now();
    let mut burst = JoinSet::new();
    for _ in 0..16 {
        let (verifier, token) = (Arc::clone(&service.verifier), key.access_token());
        burst.spawn(async move { verifier.verify(&token, NOW).await });
    }
    assert!(burst.join_all().await.iter().all(unavailable));
    assert!(start.elapsed() < ABOUT_ONE_TIMEOUT, "{:?}", start.elapsed());
    assert_eq!(service.identity.asked(), 1);
    // It has come up: the failure is forgotten after a second, not after ten.
    service.identity.answer(Answer::Text(set([key.jwk(None)])));
    service.clock.advance(Duration::milliseconds(999));
    assert!(unavailable(&service.verify(&key.access_token()).await));
    service.clock.advance(Duration::milliseconds(1));
    assert!(service.verify(&key.access_token()).await.is_ok());
    assert_eq!(service.identity.asked(), 2);
}

#[tokio::test]
async fn a_hung_identity_does_not_stall_tokens_with_known_keys() {
    let key = Signing::new();
    let service = Service::knowing(&key).await;
    service.identity.answer(Answer::Silence);
    service.clock.advance(Duration::seconds(45));
    let (verifier, token) = (Arc::clone(&service.verifier), Signing::new().access_token());
    let made_up = tokio::spawn(async move { verifier.verify(&token, NOW).await });
    service.until_asked(2).await;
    let start = Instant::now();
    for _ in 0..50 {
        assert!(service.verify(&key.access_token()).await.is_ok());
    }
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    assert!(!made_up.is_finished(), "the fetch hangs all the while");
    made_up.abort();
}

#[tokio::test]
async fn a_hung_identity_stalls_tokens_with_known_keys_once_after_a_silence() {
    let key = Signing::new();
    let service = Service::knowing(&key).await;
    service.identity.answer(Answer::Silence);
    service.clock.advance(Duration::minutes(5));
    let start = Instant::now();
    assert!(service.verify(&key.access_token()).await.is_ok());
    assert!(start.elapsed() < ABOUT_ONE_TIMEOUT, "{:?}", start.elapsed());
    for _ in 0..2 {
        service.clock.advance(Duration::seconds(20));
        let start = Instant::now();
        for _ in 0..50 {
            assert!(service.verify(&key.access_token()).await.is_ok());
        }
        assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_end_the_fetch_of_the_others() {
    let (key, new) = (Signing::new(), Signing::new());
    let service = Service::knowing(&key).await;
    service.clock.advance(Duration::seconds(10));
    let (open, gate) = watch::channel(false);
    service
        .identity
        .answer(Answer::Gated(set([new.jwk(None)]), gate));
    let (verifier, token) = (Arc::clone(&service.verifier), new.access_token());
    let impatient = tokio::spawn(async move { verifier.verify(&token, NOW).await });
    service.until_asked(2).await;
    impatient.abort();
    assert!(impatient.await.is_err(), "it hung up");
    open.send(true).expect("the server waits");
    assert!(service.verify(&new.access_token()).await.is_ok());
    assert_eq!(service.identity.asked(), 2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_end_the_fetching() {
    let (key, new) = (Signing::new(), Signing::new());
    let service = Service::knowing(&key).await;
    service
        .identity
        .answer(Answer::Text(set([key.jwk(None), new.jwk(None)])));
    service.clock.advance(-Duration::hours(1));
    assert!(service.verify(&new.access_token()).await.is_ok());
}

#[tokio::test]
async fn fetched_keys_do_not_loosen_the_checks() {
    let key = Signing::new();
    let service = Service::knowing(&key).await;
    let claims = with(access_claims(), "aud", "another");
    let token = key.sign(&key.header("at+jwt"), &claims);
    assert!(invalid(&service.verify(&token).await));
    // Wrong types and refresh tokens are told apart without asking identity at all.
    let away = Service::start(Answer::Silence).await;
    for token in [
        "kst_r_x",
        &key.sign(&key.header("svc+jwt"), &access_claims()),
    ] {
        let answer = away.verify(token).await;
        assert!(matches!(answer, Err(Refused::WrongType)), "{answer:?}");
    }
    assert_eq!(away.identity.asked(), 0);
}
