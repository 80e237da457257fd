//! What an operator does for people from the command line.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use shared::user_id::UserId;
use uuid::Uuid;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody, token},
    device::{Person, befall, unauthorized},
    devices::kinds,
    gate::FATES,
    replica::Region,
    service::Service,
    unlock::locked_out,
};

/// Somebody who has logged in once, and their id.
pub(crate) async fn member(identity: &Service) -> (Person, String) {
    let person = identity.person().await;
    let id = identity.logged_in(&person).await.user_id();
    (person, id)
}

fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// An answer as a script reads it: the whole of standard output.
pub(crate) fn document(output: &Output) -> Value {
    let text = answer(output);
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

/// The audit line of a command that went well, which must not name an address.
pub(crate) fn audit(output: &Output, email: &str) -> Value {
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!told.contains(email), "{told}");
    let lines = told
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut audits = lines.filter(|line| line["message"] == "an operator's command");
    let line = audits
        .next()
        .unwrap_or_else(|| panic!("no audit line: {told}"));
    assert!(audits.next().is_none(), "{told}");
    assert!(
        line["os.uid"].is_u64() && line["timestamp"].is_string(),
        "{line}"
    );
    line
}

#[tokio::test]
async fn whoever_changes_the_signing_keys_by_hand_is_in_the_audit() {
    let region = Region::new().await;
    let replica = region.start().await;
    replica.service.signs().await;
    let listed = region.run(&["keys", "list"]).await;
    assert!(listed.stderr.is_empty(), "{listed:?}");
    let told = String::from_utf8_lossy(&listed.stdout).into_owned();
    let kid = told.lines().nth(1).and_then(|line| line.split(' ').next());
    let kid = kid.expect("a key");
    let db = region.database().await;
    let id = "SELECT key_id::text FROM signing_keys WHERE kid = $1";
    let id: String = db.query_one(id, &[&kid]).await.expect("a row").get(0);
    for (arguments, command, named) in [
        (vec!["keys", "rotate"], "keys rotate", Value::Null),
        (
            vec!["keys", "rotate", "--revoke", kid],
            "keys rotate --revoke",
            json!(id),
        ),
        (
            vec!["keys", "rotate", "--now"],
            "keys rotate --now",
            Value::Null,
        ),
    ] {
        let line = audit(&region.run(&arguments).await, "@");
        assert_eq!(line["command"], command);
        assert_eq!(line["key.id"], named);
    }
}

#[tokio::test]
async fn exit_codes_tell_nobody_from_wrong_usage_wrong_settings_and_failure() {
    let mut region = Region::new().await;
    let code = async |region: &Region, arguments: &[&str]| {
        let output = region.run(&[&["users"], arguments].concat()).await;
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(!output.stderr.is_empty(), "{output:?}");
        output.status.code()
    };
    let nobody = UserId::new(Uuid::from_u128(7)).to_string();
    for command in ["show", "disable", "enable", "require-reset", "delete"] {
        for who in [
            &nobody,
            "nobody@example.test",
            "",
            "no address",
            "\u{1f511}",
        ] {
            assert_eq!(
                code(&region, &[command, who]).await,
                Some(67),
                "{command} {who}"
            );
        }
    }
    assert_eq!(code(&region, &["unlock", &nobody]).await, Some(67));
    for wrong in [
        &["list", "--limit", "0"][..],
        &["list", "--limit", "1001"],
        &["list", "--after", "ada@example.test"],
        &["disable"],
        &["erase", &nobody],
    ] {
        assert_eq!(code(&region, wrong).await, Some(2), "{wrong:?}");
    }
    region.set("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none");
    for command in [&["list"][..], &["disable", &nobody]] {
        assert_eq!(code(&region, command).await, Some(1), "{command:?}");
    }
    assert_eq!(Region::unset(&["users", "list"]).status.code(), Some(78));
}

#[tokio::test]
async fn the_list_names_everybody_once_the_newest_first_and_no_address() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let mut ids = Vec::new();
    let mut emails = Vec::new();
    for _ in 0..5 {
        let (person, id) = member(identity).await;
        ids.insert(0, id);
        emails.push(person.email);
        region.clock.advance(time::Duration::SECOND);
    }
    region.run(&["users", "disable", &ids[1]]).await;

    let (mut listed, mut after) = (Vec::new(), None::<String>);
    for rows in [2, 2, 1] {
        let mut command = vec!["users", "list", "--json", "--limit", "2"];
        if let Some(last) = &after {
            command.extend(["--after", last]);
        }
        let page = document(&region.run(&command).await);
        let users = page["users"].as_array().expect("a list").clone();
        assert_eq!(users.len(), rows);
        listed.extend(users);
        after = page["next"].as_str().map(str::to_owned);
    }
    assert_eq!(after, None);
    let in_order: Vec<_> = listed.iter().map(|user| user["id"].clone()).collect();
    assert_eq!(json!(in_order), json!(ids));
    for (number, user) in listed.iter().enumerate() {
        let state = if number == 1 { "disabled" } else { "active" };
        assert_eq!(user["state"], state, "{user}");
        assert_eq!(user["disabled_at"].is_string(), number == 1, "{user}");
        assert!(user["created_at"].is_string() && user["last_login_at"].is_string());
        assert_eq!(user["second_factor"], false);
    }

    let output = region.run(&["users", "list", "--limit", "4"]).await;
    let (table, notes) = (answer(&output), String::from_utf8_lossy(&output.stderr));
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(notes.contains(&format!("--after {}", ids[3])), "{notes}");
    for email in emails {
        audit(&output, &email);
        assert!(!table.contains(&email));
    }
}

#[tokio::test]
async fn what_came_after_the_last_login_is_no_login() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, id) = member(identity).await;
    let listed = async || {
        let list = document(&region.run(&["users", "list", "--json"]).await);
        list["users"][0]["last_login_at"].clone()
    };
    let shown = async || document(&region.run(&["users", "show", &id, "--json"]).await);
    let login = listed().await;
    assert!(login.is_string(), "{login}");
    region.clock.advance(time::Duration::SECOND);
    assert_eq!(identity.mistyped(&ada).await.status, 401);
    identity.failed_logins_decided().await;
    region.run(&["users", "disable", &id]).await;
    assert_eq!(listed().await, login);
    assert_eq!(shown().await["last_login_at"], login);
}

#[tokio::test]
async fn one_account_is_shown_with_its_address_and_what_is_counted_against_it() {
    let region = Region::new().await;
    let running = region.start().await;
    let (email, id, _) = locked_out(&running).await;
    running.service.failed_logins_decided().await;
    let by_id = region.run(&["users", "show", &id, "--json"]).await;
    let line = audit(&by_id, &email);
    assert_eq!(
        (&line["user.id"], &line["command"]),
        (&json!(id), &json!("show"))
    );
    let shown = document(&by_id);
    assert_eq!(
        shown,
        document(&region.run(&["users", "show", &email, "--json"]).await)
    );
    assert_eq!(shown["email"], email);
    assert_eq!(
        (&shown["id"], &shown["state"]),
        (&json!(id), &json!("active"))
    );
    assert_eq!(shown["sessions"].as_array().map(Vec::len), Some(1));
    let failed = shown["failed_attempts"].as_array().expect("a list");
    let mut at: Vec<_> = failed.iter().map(|it| it["at"].as_str()).collect();
    at.sort_unstable();
    assert_eq!(at, [Some("address"), Some("device")]);
    assert!(
        failed.iter().all(|it| it["locked_until"].is_string()),
        "{shown}"
    );
    // In no order, since the clock stands still.
    let events = shown["events"].as_array().expect("a list");
    assert!(
        events.iter().any(|it| it["kind"] == "login_failed"),
        "{shown}"
    );
    // Devices are for the person's own eyes.
    assert!(!shown.to_string().contains("127.0.0.1"), "{shown}");

    region.run(&["users", "disable", &id]).await;
    let table = answer(&region.run(&["users", "show", &id]).await);
    for part in [&email, &id, "disabled", "LOCKED UNTIL", "account_disabled"] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }
    let shown = document(&region.run(&["users", "show", &id, "--json"]).await);
    assert_eq!(shown["sessions"], json!([]));
}

#[tokio::test]
async fn closing_and_opening_an_account_twice_is_doing_it_once_and_its_owner_sees_both() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, id) = member(identity).await;
    let before = document(&region.run(&["users", "show", &id, "--json"]).await);
    for (command, again) in [
        ("disable", false),
        ("disable", true),
        ("enable", false),
        ("enable", true),
    ] {
        let output = region.run(&["users", command, &id]).await;
        let line = audit(&output, &ada.email);
        assert_eq!(
            (&line["user.id"], &line["command"]),
            (&json!(id), &json!(command))
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(told.contains("already"), again, "{told}");
        assert_eq!(
            identity.logs_in(&ada.email, PASSWORD).await,
            command == "enable"
        );
    }
    let after = document(&region.run(&["users", "show", &id, "--json"]).await);
    assert_eq!(before["created_at"], after["created_at"]);
    region.catch_up();
    let tokens = identity.logged_in(&ada).await;
    let seen = kinds(&identity.events(&tokens, "").await);
    let operators: Vec<_> = seen
        .iter()
        .filter(|kind| kind.starts_with("account_"))
        .collect();
    assert_eq!(operators, ["account_enabled", "account_disabled"]);
}

#[tokio::test]
async fn a_required_reset_voids_the_password_and_mails_its_owner_the_way_to_another() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, id) = member(identity).await;
    let stale = identity.mailed_reset(&ada.email).await;
    // Whoever knows the address cannot use up the mails that this one needs.
    for _ in 0..10 {
        identity.forgot(&ada.email).await;
    }
    identity.outbox_empties().await;
    let mails = identity.mails(&ada.email).len();
    let output = region.run(&["users", "require-reset", &id]).await;
    assert_eq!(audit(&output, &ada.email)["command"], "require-reset");
    region.catch_up();
    let mail = identity.mail_number(&ada.email, mails + 1).await;
    assert_eq!(
        (mail.subject.as_str(), &mail.to),
        ("You need a new password", &ada.email)
    );

    let unknown = identity.login(&somebody(), PASSWORD).await;
    let void = identity.login(&ada.email, PASSWORD).await;
    assert_eq!(void.problem(), unauthorized("invalid_credentials"));
    assert_eq!(void.seen(), unknown.seen());
    let stale = identity.reset(&stale, OTHER_PASSWORD).await;
    assert_eq!(stale.problem().1, "invalid_reset_token");
    assert_eq!(
        identity.reset(&token(&mail), OTHER_PASSWORD).await.status,
        200
    );
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
    let tokens = identity.login(&ada.email, OTHER_PASSWORD).await.tokens();
    let seen = kinds(&identity.events(&tokens, "").await);
    assert!(
        seen.contains(&"password_reset_required".to_owned()),
        "{seen:?}"
    );
    let sessions = identity.as_person(Method::GET, "sessions", &tokens).await;
    assert_eq!(
        sessions.json()["sessions"].as_array().map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_void_password_costs_a_login_what_any_other_costs() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (_, id) = member(identity).await;
    let db = identity.database().await;
    let stored = async || -> String {
        let row = db
            .query_one("SELECT password_hash FROM accounts", &[])
            .await;
        row.expect("one account").get(0)
    };
    let before = stored().await;
    region.run(&["users", "require-reset", &id]).await;
    let first = stored().await;
    region.run(&["users", "require-reset", &id]).await;
    let second = stored().await;
    for hash in [&first, &second] {
        assert_eq!(hash[..7], before[..7], "{hash}");
        assert_eq!(hash.len(), 60);
    }
    // Of a password that nobody knows, not of one that is the same for everybody.
    assert!(before != first && first != second);
}

#[tokio::test]
async fn without_the_vault_no_reset_is_required_and_nothing_is_changed() {
    let mut region = Region::new().await;
    let running = region.start().await;
    let identity = running.service.clone();
    let (ada, id) = member(&identity).await;
    region.set("VAULT_URL", "https://127.0.0.1:1/");
    let output = region.run(&["users", "require-reset", &id]).await;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("nothing was changed"), "{told}");
    assert!(identity.logs_in(&ada.email, PASSWORD).await);
    // Whom to stop in a hurry can be stopped all the same.
    audit(
        &region.run(&["users", "disable", &ada.email]).await,
        &ada.email,
    );
    assert!(!identity.logs_in(&ada.email, PASSWORD).await);
}

#[tokio::test]
async fn what_is_opened_again_leads_to_no_session_from_before_however_it_was_closed() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let (ada, tokens) = identity.newcomer().await;
    // By hand, as somebody in a hurry does it, who ends nothing.
    befall(identity, &tokens, FATES[0]).await;
    let opened = region.run(&["users", "enable", &tokens.user_id()]).await;
    audit(&opened, &ada.email);
    let ended = unauthorized("session_ended");
    assert_eq!(identity.refresh(&tokens.refresh).await.problem(), ended);
    assert_eq!(identity.me(&tokens.access).await.problem(), ended);
    identity.logged_in(&ada).await;
}
