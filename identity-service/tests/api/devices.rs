//! Where a person is logged in, what happened to their account, and ending sessions from elsewhere.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    device::{Person, Tokens, claims, unauthorized},
    replica::Region,
    service::{Answer, Service, sent},
};

const PHONE: &str = "Zinnia-Phone/1.0";
const LAPTOP: &str = "Quartz-Laptop/2.0";

impl Service {
    pub(crate) async fn logged_in_on(&self, person: &Person, user_agent: &str) -> Tokens {
        let body = json!({ "email": person.email, "password": person.password });
        let request = self.request(Method::POST, "/api/auth/login");
        sent(
            request
                .header("User-Agent", user_agent.as_bytes())
                .json(&body),
        )
        .await
        .tokens()
    }

    async fn sessions(&self, tokens: &Tokens) -> Vec<Value> {
        let answer = self.as_person(Method::GET, "sessions", tokens).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["sessions"]
            .as_array()
            .expect("a list")
            .clone()
    }

    pub(crate) async fn events(&self, tokens: &Tokens, query: &str) -> Vec<Value> {
        let path = format!("security-events{query}");
        let answer = self.as_person(Method::GET, &path, tokens).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["events"].as_array().expect("a list").clone()
    }

    pub(crate) async fn as_person(&self, method: Method, path: &str, tokens: &Tokens) -> Answer {
        let request = self.request(method, &format!("/api/auth/{path}"));
        sent(request.bearer_auth(&tokens.access)).await
    }

    async fn end(&self, session: &str, tokens: &Tokens) -> Answer {
        let path = format!("sessions/{session}");
        self.as_person(Method::DELETE, &path, tokens).await
    }
}

fn session_of(tokens: &Tokens) -> String {
    text(&claims(&tokens.access)["sid"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(crate) fn kinds(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["kind"])).collect()
}

#[tokio::test]
async fn a_person_sees_their_sessions_and_no_one_elses() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let phone = identity.logged_in_on(&ada, PHONE).await;
    let laptop = identity.logged_in_on(&ada, LAPTOP).await;
    identity.logged_in(&identity.person().await).await;

    let listed = identity.sessions(&phone).await;
    let shown = |session: &Value| {
        let current = session["current"].as_bool().expect("a flag");
        (text(&session["id"]), text(&session["user_agent"]), current)
    };
    let newest_first: Vec<_> = listed.iter().map(shown).collect();
    let laptop_shown = (session_of(&laptop), LAPTOP.to_owned(), false);
    let phone_shown = (session_of(&phone), PHONE.to_owned(), true);
    assert_eq!(newest_first, [laptop_shown, phone_shown]);
    assert_eq!(listed[0]["network"], "127.0.0.1");

    // Using the phone brings it to the front.
    let phone = identity.refresh(&phone.refresh).await.tokens();
    let listed = identity.sessions(&laptop).await;
    assert_eq!(listed[0]["id"], session_of(&phone));
    assert_eq!(listed[0]["current"], false);
}

#[tokio::test]
async fn a_lost_phone_is_logged_out_from_the_laptop() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let phone = identity.logged_in_on(&ada, PHONE).await;
    let laptop = identity.logged_in_on(&ada, LAPTOP).await;
    let lost = session_of(&phone);
    assert_eq!(identity.end(&lost, &laptop).await.status, 204);
    for answer in [
        identity.refresh(&phone.refresh).await,
        identity.me(&phone.access).await,
        identity.as_person(Method::GET, "sessions", &phone).await,
        identity.end(&session_of(&laptop), &phone).await,
        identity.as_person(Method::POST, "logout-all", &phone).await,
        identity
            .as_person(Method::GET, "security-events", &phone)
            .await,
    ] {
        assert_eq!(answer.problem(), unauthorized("session_ended"));
        // RFC 6750 §3.1, wherever a token is not taken any more.
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some(r#"Bearer error="invalid_token""#));
    }
    let again = identity.end(&lost, &laptop).await;
    assert_eq!(again.problem(), (404, "session_not_found".to_owned()));
    assert_eq!(identity.sessions(&laptop).await.len(), 1);
    assert_eq!(identity.refresh(&laptop.refresh).await.status, 200);
}

#[tokio::test]
async fn another_persons_session_does_not_exist() {
    let identity = Service::of_the_test_run();
    let ada = identity.logged_in(&identity.person().await).await;
    let eve = identity.logged_in(&identity.person().await).await;
    let not_hers = identity.end(&session_of(&ada), &eve).await;
    let nowhere = identity
        .end("019ab4f0-7c00-7000-8000-0000000000ff", &eve)
        .await;
    assert_eq!(not_hers.seen(), nowhere.seen());
    assert_eq!(not_hers.status, 404);
    assert_eq!(identity.end("me", &eve).await.status, 400);
    assert_eq!(identity.refresh(&ada.refresh).await.status, 200);
    // Her cursor in his trail leads nowhere but to his own past.
    let hers = text(&identity.events(&ada, "").await[0]["id"]);
    let seen = identity.events(&eve, &format!("?after={hers}")).await;
    assert_eq!(seen.len(), 0, "{seen:?}");
}

#[tokio::test]
async fn logging_out_everywhere_ends_sessions_that_are_being_used_at_that_moment() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(identity.logged_in(&ada).await);
    }
    let mut work = JoinSet::new();
    for session in sessions.clone() {
        let identity = identity.clone();
        work.spawn(async move { identity.refresh(&session.refresh).await });
    }
    for session in sessions.clone().into_iter().take(3) {
        let identity = identity.clone();
        work.spawn(async move {
            let path = "logout-all";
            identity.as_person(Method::POST, path, &session).await
        });
    }
    let answers = work.join_all().await;
    let ends = answers.iter().filter(|answer| answer.status == 204);
    assert!(ends.count() >= 1);
    for answer in &answers {
        assert!(matches!(answer.status, 200 | 204 | 401), "{}", answer.text);
        if answer.status == 200 {
            sessions.push(answer.tokens());
        }
    }
    for session in sessions {
        let answer = identity.refresh(&session.refresh).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"));
    }
    identity.logged_in(&ada).await;
}

#[tokio::test]
async fn the_trail_tells_logins_theft_and_ends_with_their_devices() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let phone = identity.logged_in_on(&ada, PHONE).await;
    let laptop = identity.logged_in_on(&ada, LAPTOP).await;
    let second = identity.refresh(&laptop.refresh).await.tokens();
    identity.refresh(&second.refresh).await.tokens();
    assert_eq!(identity.refresh(&laptop.refresh).await.status, 401);
    let other = identity.logged_in(&ada).await;
    assert_eq!(identity.end(&session_of(&other), &phone).await.status, 204);
    let gone = identity.logged_in(&ada).await;
    assert_eq!(identity.logout(&gone.access).await.status, 204);

    let trail = identity.events(&phone, "").await;
    let expected = [
        "logged_out",
        "logged_in",
        "session_ended",
        "logged_in",
        "refresh_token_reused",
        "logged_in",
        "logged_in",
    ];
    assert_eq!(kinds(&trail), expected);
    assert_eq!(trail[5]["user_agent"], LAPTOP);
    assert_eq!(trail[6]["user_agent"], PHONE);
    assert_eq!(trail[4]["network"], "127.0.0.1");

    let first = identity.events(&phone, "?limit=3").await;
    let rest = format!("?after={}&limit=100", text(&first[2]["id"]));
    let rest = identity.events(&phone, &rest).await;
    assert_eq!([first, rest].concat(), trail);
    for wrong in ["?limit=0", "?limit=101", "?after=x", "?limit=x"] {
        let path = format!("security-events{wrong}");
        let answer = identity.as_person(Method::GET, &path, &phone).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn a_hostile_user_agent_is_cut_and_shown_as_text() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let long = format!("<script>alert(1)</script>{}", "x".repeat(2_000));
    let tokens = identity.logged_in_on(&ada, &long).await;
    let shown = text(&identity.sessions(&tokens).await[0]["user_agent"]);
    assert_eq!(shown, long[..256]);
    let written = identity.logged_in_on(&ada, "Téléphone/1.0").await;
    let shown = &identity.sessions(&written).await[0]["user_agent"];
    assert_eq!(shown, "Téléphone/1.0");
    // What a terminal would obey, of what a header may hold.
    let obeyed = identity.logged_in_on(&ada, "App\t\u{9b}2J1.0").await;
    let shown = &identity.sessions(&obeyed).await[0]["user_agent"];
    assert_eq!(shown, "App2J1.0");
    let nothing = identity.logged_in_on(&ada, "").await;
    assert_eq!(identity.sessions(&nothing).await[0]["user_agent"], "");
}

#[tokio::test]
async fn a_thief_of_the_tables_reads_no_device_and_pastes_none() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (ada, bob) = (identity.person().await, identity.person().await);
    let hers = identity.logged_in_on(&ada, PHONE).await;
    let his = identity.logged_in_on(&bob, LAPTOP).await;
    let db = identity.database().await;
    for table in ["sessions", "security_events"] {
        let rows = format!("SELECT string_agg(t::text, ' ') FROM {table} t");
        let dump: String = db.query_one(&rows, &[]).await.expect("a dump").get(0);
        for secret in [PHONE, LAPTOP, "127.0.0.1"] {
            let hidden = hex::encode(secret);
            assert!(!dump.contains(secret) && !dump.contains(&hidden), "{table}");
        }
    }
    let paste = "UPDATE sessions SET device_sealed =
                 (SELECT device_sealed FROM sessions ORDER BY created_at LIMIT 1)";
    db.execute(paste, &[]).await.expect("an update");
    let shown = &identity.sessions(&his).await[0];
    assert_eq!(shown.get("user_agent"), None, "{shown}");
    assert_eq!(identity.sessions(&hers).await[0]["user_agent"], PHONE);
}

#[tokio::test]
async fn an_idle_session_is_not_listed() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    identity.logged_in_on(&ada, PHONE).await;
    region.clock.advance(time::Duration::days(7));
    let laptop = identity.logged_in_on(&ada, LAPTOP).await;
    let listed = identity.sessions(&laptop).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn a_list_of_sessions_has_two_hundred_of_them_at_most_the_one_last_used_first() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    let (_, tokens) = identity.newcomer().await;
    let many = "INSERT INTO sessions (session_id, user_id, advanced_at, created_at, expires_at, auth_time, amr, epoch)
                SELECT gen_random_uuid(), user_id, advanced_at - number * interval '1 minute', created_at, expires_at,
                       auth_time, amr, epoch
                  FROM sessions, generate_series(1, 300) AS number";
    let made = identity.database().await.execute(many, &[]).await;
    assert_eq!(made.ok(), Some(300));
    let listed = identity.sessions(&tokens).await;
    assert_eq!(listed.len(), 200);
    assert_eq!(listed[0]["id"], session_of(&tokens));
    let used: Vec<_> = listed.iter().map(|it| text(&it["last_used_at"])).collect();
    assert!(used.is_sorted_by(|newer, older| newer > older), "{used:?}");
}

#[tokio::test]
async fn a_session_that_is_over_is_not_listed_though_nobody_has_ended_it() {
    let region = Region::new().await;
    let replica = region.start().await;
    let identity = &replica.service;
    for over in ["expires_at = advanced_at", "epoch = epoch - 1"] {
        let ada = identity.person().await;
        let phone = identity.logged_in_on(&ada, PHONE).await;
        let laptop = identity.logged_in_on(&ada, LAPTOP).await;
        assert_eq!(identity.sessions(&laptop).await.len(), 2);
        let sql = format!("UPDATE sessions SET {over} WHERE session_id = $1::text::uuid");
        let db = identity.database().await;
        let changed = db.execute(&sql, &[&session_of(&phone)]).await;
        assert_eq!(changed.ok(), Some(1));
        let listed = identity.sessions(&laptop).await;
        assert_eq!(listed.len(), 1, "{over}");
        assert_eq!(listed[0]["id"], session_of(&laptop));
    }
}
