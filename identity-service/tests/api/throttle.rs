//! How often one client may come, counted in Redis for all replicas.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use stack::Redis;
use time::Duration;

use crate::{
    accounts::{PASSWORD, somebody},
    replica::{Region, Replica},
    service::{Answer, Service, sent},
};

/// A region whose routes have their default limits, and a Redis for itself. A machine that is busy with tests
/// may stall for longer than a decision is worth, which is no failure of Redis.
pub(crate) async fn limited(redis_url: &str, further: &[(&str, &str)]) -> Region {
    let settings = [("REDIS_URL", redis_url), ("REDIS_TIMEOUT", "1000ms")];
    Region::with(&[further, &settings].concat()).await.limited()
}

async fn private_redis() -> Redis {
    Redis::for_a_test("").await.expect("a Redis starts")
}

impl Replica {
    /// Waits until this replica counts in Redis.
    pub(crate) async fn counts_in_redis(&self) {
        self.readiness_until("redis at work", |it| {
            it["degraded"] == json!([]) && it["checks"]["rate_limits"] == "redis"
        })
        .await;
    }

    /// Waits until this replica has seen that Redis is away; it stays ready.
    pub(crate) async fn counts_in_memory(&self) {
        self.readiness_until("redis away", |it| {
            it["degraded"] == json!(["redis"]) && it["status"] == "ready"
        })
        .await;
    }
}

/// A login that nobody's password allows; each for another address, so that none is locked out.
pub(crate) async fn knock(service: &Service) -> Answer {
    service.login(&somebody(), PASSWORD).await
}

/// As if a proxy had taken it from that client.
async fn knock_from(service: &Service, forwarded_for: &str) -> u16 {
    let request = service.request(Method::POST, "/api/auth/login");
    let body = json!({ "email": somebody(), "password": PASSWORD });
    let request = request.header("X-Forwarded-For", forwarded_for).json(&body);
    sent(request).await.status
}

pub(crate) async fn statuses(service: &Service, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(knock(service).await.status);
    }
    statuses
}

#[tokio::test]
async fn five_logins_are_answered_and_the_sixth_is_told_when_to_come_back() {
    let redis = private_redis().await;
    let region = limited(&redis.url(), &[]).await;
    let replica = region.start().await;
    replica.counts_in_redis().await;
    for remaining in ["4", "3", "2", "1", "0"] {
        let answer = knock(&replica.service).await;
        assert_eq!(answer.problem(), (401, "invalid_credentials".to_owned()));
        let policy = answer.header("ratelimit-policy");
        assert_eq!(policy, Some("\"login\";q=5;w=900"));
        let limit = format!("\"login\";r={remaining};t=180");
        assert_eq!(answer.header("ratelimit"), Some(limit.as_str()));
        assert_eq!(answer.header("ratelimit-limit"), Some("5"));
        assert_eq!(answer.header("ratelimit-remaining"), Some(remaining));
        assert_eq!(answer.header("ratelimit-reset"), Some("180"));
        assert_eq!(answer.header("retry-after"), None);
    }
    let refused = knock(&replica.service).await;
    assert_eq!(refused.problem(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("180"));
    assert_eq!(refused.header("ratelimit"), Some("\"login\";r=0;t=180"));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));

    region.clock.advance(Duration::milliseconds(179_500));
    let early = knock(&replica.service).await;
    assert_eq!(early.status, 429);
    assert_eq!(early.header("retry-after"), Some("1"));
    region.clock.advance(Duration::milliseconds(500));
    assert_eq!(statuses(&replica.service, 2).await, [401, 429]);
    region.clock.advance(Duration::minutes(15));
    assert_eq!(
        statuses(&replica.service, 6).await,
        [401, 401, 401, 401, 401, 429]
    );
}

#[tokio::test]
async fn of_a_hundred_logins_at_once_at_two_replicas_five_are_answered() {
    let redis = private_redis().await;
    let region = limited(&redis.url(), &[]).await;
    let (one, other) = tokio::join!(region.start(), region.start());
    one.counts_in_redis().await;
    other.counts_in_redis().await;
    let mut knocks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let replica = if number % 2 == 0 { &one } else { &other };
        let service = replica.service.clone();
        knocks.spawn(async move { knock(&service).await.status });
    }
    let statuses = knocks.join_all().await;
    let answered = statuses.iter().filter(|status| **status == 401).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!((answered, refused), (5, 95));
}

/// Every route that has a limit, and how often it answers at once by default.
const LIMITED: [(Method, &str, usize); 16] = [
    (Method::POST, "signup", 5),
    (Method::POST, "verify-email", 20),
    (Method::POST, "resend-verification", 5),
    (Method::POST, "signup/cancel", 20),
    (Method::POST, "login", 5),
    (Method::POST, "verify-mfa", 3),
    (Method::POST, "refresh", 120),
    (Method::POST, "password", 20),
    (Method::POST, "password/forgot", 5),
    (Method::POST, "password/reset", 20),
    (Method::POST, "email", 5),
    (Method::POST, "email/confirm", 20),
    (Method::POST, "mfa/totp", 20),
    (Method::DELETE, "mfa/totp", 20),
    (Method::POST, "mfa/recovery-codes", 20),
    (Method::DELETE, "account", 20),
];

#[tokio::test]
async fn every_route_has_a_limit_of_its_own_and_guessing_costs_the_same_in_any_shape() {
    let redis = private_redis().await;
    let region = limited(&redis.url(), &[]).await;
    let replica = region.start().await;
    let ask = async |method: &Method, path: &str, number: usize| {
        let request = replica
            .service
            .request(method.clone(), &format!("/api/auth/{path}"));
        sent(match number % 3 {
            0 => request.json(&json!({})),
            1 => request.json(&json!([])),
            _ => request.header("content-type", "text/plain").body("{"),
        })
        .await
    };
    for (method, path, limit) in &LIMITED {
        for number in 0..*limit {
            let answer = ask(method, path, number).await;
            assert!(
                (400..500).contains(&answer.status),
                "{path}: {}",
                answer.text
            );
            assert_ne!(answer.status, 429, "{method} {path}, {number}");
            let told = answer.header("ratelimit-limit");
            assert_eq!(told, Some(limit.to_string().as_str()), "{path}");
        }
        let refused = ask(method, path, 0).await;
        assert_eq!(
            refused.problem(),
            (429, "rate_limited".to_owned()),
            "{path}"
        );
        assert!(refused.header("retry-after").is_some(), "{path}");
    }
    // What needs no limit says nothing of any.
    let jwks = replica.service.jwks().await;
    assert_eq!(jwks.header("ratelimit-limit"), None);
}

#[tokio::test]
async fn the_answers_of_a_limit_do_not_tell_known_from_unknown_addresses() {
    let redis = private_redis().await;
    let region = limited(&redis.url(), &[]).await;
    let replica = region.start().await;
    let known = somebody();
    replica.service.account(&known, PASSWORD).await;
    let mut seen = BTreeSet::new();
    for email in [&known, &somebody()] {
        region.clock.advance(Duration::hours(1));
        let mut answers = Vec::new();
        for _ in 0..6 {
            let answer = replica
                .service
                .login(email, "not the password of anybody")
                .await;
            let code = answer.problem();
            answers.push((code, answer.lasting_headers(), answer.text.len()));
        }
        seen.insert(answers);
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
}

#[tokio::test]
async fn a_made_up_x_forwarded_for_changes_nothing() {
    let redis = private_redis().await;
    let region = limited(&redis.url(), &[]).await;
    let replica = region.start().await;
    let mut statuses = Vec::new();
    for host in 1..=6 {
        statuses.push(knock_from(&replica.service, &format!("198.51.100.{host}")).await);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429]);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit_and_an_ipv6_client_its_64() {
    let redis = private_redis().await;
    let proxies = ("TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8");
    let region = limited(&redis.url(), &[proxies]).await;
    let replica = region.start().await;
    let from = async |forwarded_for: String| knock_from(&replica.service, &forwarded_for).await;
    for invented in 1..=5 {
        // Whatever the client put there before the proxy added its address.
        let line = format!("203.0.113.{invented}, 198.51.100.7:4{invented}00, 10.0.0.1");
        assert_eq!(from(line).await, 401);
    }
    assert_eq!(from("198.51.100.7".to_owned()).await, 429);
    assert_eq!(from("::ffff:198.51.100.7".to_owned()).await, 429);
    assert_eq!(from("198.51.100.8".to_owned()).await, 401);
    for host in 1..=5 {
        assert_eq!(from(format!("[2001:db8:1:2:{host}::1]:443")).await, 401);
    }
    assert_eq!(from("2001:db8:1:2:ffff::1".to_owned()).await, 429);
    assert_eq!(from("2001:db8:1:3::1".to_owned()).await, 401);
}

#[tokio::test]
async fn the_mail_about_a_sign_up_names_the_client_and_not_the_proxy() {
    let region = Region::with(&[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let replica = region.start().await;
    let email = somebody();
    let request = replica.service.request(Method::POST, "/api/auth/signup");
    let request = request.header("X-Forwarded-For", "192.0.2.1, 198.51.100.7");
    let body = json!({ "email": email, "password": PASSWORD });
    assert_eq!(sent(request.json(&body)).await.status, 202);
    let mail = replica.service.mail_number(&email, 1).await;
    assert!(mail.text.contains("from 198.51.100.7"), "{}", mail.text);
}

#[tokio::test]
async fn a_thief_of_redis_gets_neither_networks_nor_addresses_and_nothing_stays_there() {
    let redis = private_redis().await;
    let region = limited(&redis.url(), &[("TRUSTED_PROXIES", "127.0.0.1")]).await;
    let replica = region.start().await;
    replica.counts_in_redis().await;
    knock_from(&replica.service, "198.51.100.7").await;
    knock_from(&replica.service, "2001:db8:1:2::1").await;
    replica.service.sign_up(&somebody(), PASSWORD).await;
    let keys = redis.command("KEYS *").await.expect("keys");
    assert_eq!(keys.lines().count(), 3, "{keys}");
    for key in keys.lines() {
        let name = key.strip_prefix("keystead:rate:{").expect("a counter");
        let (network, _) = name.split_once("}:").expect("its slot's name");
        assert!(network.len() == 64 && network.bytes().all(|it| it.is_ascii_hexdigit()));
        let lives = redis.command(&format!("PTTL {key}")).await.expect("a time");
        let lives: i64 = lives.parse().expect("milliseconds");
        // As long as it counts anything, less what the test has taken.
        assert!((120_000..=180_000).contains(&lives), "{lives}");
    }
}
