//! No path leads past the one gate before tokens.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    accounts::{OTHER_PASSWORD, somebody},
    authenticator::STEP,
    device::{Tokens, befall, claims, unauthorized},
    lockout::locked,
    replica::Region,
    service::{Answer, Service},
};

/// What happens to an account between two requests of its owner.
pub(crate) const FATES: [&str; 4] = [
    "UPDATE accounts SET disabled_at = now() WHERE user_id = $1::text::uuid",
    "UPDATE accounts SET session_epoch = session_epoch + 1 WHERE user_id = $1::text::uuid",
    "DELETE FROM accounts WHERE user_id = $1::text::uuid",
    // What a deletion does first; by itself, without a session that it would end.
    "UPDATE accounts SET disabled_at = now(), email_index = NULL WHERE user_id = $1::text::uuid",
];

impl Region {
    /// The answer to a request that waits for the end of what befalls somebody's account or sessions.
    pub(crate) async fn meanwhile(
        &self,
        fate: &str,
        tokens: &Tokens,
        request: impl Future<Output = Answer> + Send + 'static,
    ) -> Answer {
        let mut db = self.database().await;
        let acting = db.transaction().await.expect("a transaction");
        let changed = acting.execute(fate, &[&tokens.user_id()]).await;
        assert_ne!(changed.expect(fate), 0, "{fate}");
        let asked = tokio::spawn(request);
        self.waiting(1).await;
        acting.commit().await.expect("committed");
        asked.await.expect("no panic")
    }
}

#[tokio::test]
async fn a_session_of_a_disabled_renewed_or_erased_account_is_worth_nothing() {
    let identity = Service::of_the_test_run();
    for fate in FATES {
        let current = identity.logged_in(&identity.person().await).await;
        let next = identity.refresh(&current.refresh).await.tokens();
        befall(&identity, &next, fate).await;
        for answer in [
            // The current token, and its predecessor within the time of grace.
            identity.refresh(&next.refresh).await,
            identity.refresh(&current.refresh).await,
            identity.me(&next.access).await,
            identity.as_person(Method::POST, "logout-all", &next).await,
            identity.logout(&next.access).await,
        ] {
            assert_eq!(answer.problem(), unauthorized("session_ended"), "{fate}");
        }
    }
}

#[tokio::test]
async fn a_refresh_waits_for_whoever_is_disabling_the_account_and_gives_nothing_then() {
    let identity = Service::of_the_test_run();
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let user = claims(&tokens.access)["sub"].as_str().map(str::to_owned);
    let mut db = identity.database().await;
    let disabling = db.transaction().await.expect("a transaction");
    let changed = disabling.execute(FATES[0], &[&user]).await;
    assert_eq!(changed.expect("an update"), 1);

    let (service, token) = (identity.clone(), tokens.refresh.clone());
    let mut refreshing = tokio::spawn(async move { service.refresh(&token).await });
    let (service, person) = (identity.clone(), ada.clone());
    let mut login =
        tokio::spawn(async move { service.login(&person.email, &person.password).await });
    // Neither may answer while it is open what the account is.
    let early = tokio::time::timeout(Duration::from_millis(500), async {
        tokio::select! {
            answer = &mut refreshing => answer,
            answer = &mut login => answer,
        }
    });
    assert!(early.await.is_err());
    disabling.commit().await.expect("committed");
    let refreshed = refreshing.await.expect("no panic");
    assert_eq!(refreshed.problem(), unauthorized("session_ended"));
    let logged_in = login.await.expect("no panic");
    assert_eq!(logged_in.problem(), unauthorized("invalid_credentials"));
}

#[tokio::test]
async fn a_login_that_waits_for_whoever_is_disabling_the_account_is_asked_for_no_code() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    let (service, person) = (identity.clone(), ada.person.clone());
    let login = async move { service.login(&person.email, &person.password).await };
    let answer = region.meanwhile(FATES[0], &ada.tokens, login).await;
    assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
}

#[tokio::test]
async fn a_login_that_began_before_there_was_a_second_factor_opens_nothing_without_it() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let app = identity.enrolled(&ada, &tokens).await;
    // What is counted against the address is held: a login has read the account by then, and has compared nothing.
    identity.mistyped(&ada).await;
    let mut db = region.database().await;
    let holding = db.transaction().await.expect("a transaction");
    let held = holding
        .execute("SELECT FROM lockouts FOR UPDATE", &[])
        .await;
    assert_eq!(held.ok(), Some(1));
    let (service, person) = (identity.clone(), ada.clone());
    let login = tokio::spawn(async move { service.login(&person.email, &person.password).await });
    region.waiting(1).await;
    let confirmed = identity.confirm(&tokens, &region.code(&app)).await;
    confirmed.recovery_codes();
    holding.commit().await.expect("committed");
    let answer = login.await.expect("no panic");
    assert_eq!(answer.problem(), unauthorized("invalid_credentials"));
    identity.challenge(&ada).await;
}

/// What operators do to an account between two steps of its owner.
const COMMANDS: [&[&str]; 4] = [
    &["disable"],
    &["require-reset"],
    &["delete"],
    &["disable", "enable"],
];

async fn operate(region: &Region, commands: &[&str], who: &str) {
    for command in commands {
        let output = region.run(&["users", command, who]).await;
        assert!(output.status.success(), "{command}: {output:?}");
    }
    region.catch_up();
}

#[tokio::test]
async fn nothing_that_was_got_before_an_operator_acted_leads_to_a_token() {
    for commands in COMMANDS {
        let region = Region::new().await;
        let running = region.start().await;
        let identity = &running.service;
        let ada = region.protected(identity).await;
        // The notice about the second factor comes first.
        identity.outbox_empties().await;
        let reset = identity.mailed_reset(&ada.person.email).await;
        let [by_code, by_recovery] = [
            identity.challenge(&ada.person).await,
            identity.challenge(&ada.person).await,
        ];
        let next = identity.refresh(&ada.tokens.refresh).await.tokens();
        operate(&region, commands, &ada.person.email).await;

        let code = region.code(&ada.authenticator);
        for (answer, expected) in [
            (identity.refresh(&next.refresh).await, "session_ended"),
            (identity.refresh(&ada.tokens.refresh).await, "session_ended"),
            (identity.me(&next.access).await, "session_ended"),
            (
                identity.verify_code(&by_code, &code).await,
                "invalid_mfa_token",
            ),
            (
                identity
                    .verify_recovery(&by_recovery, &ada.recovery_codes[0])
                    .await,
                "invalid_mfa_token",
            ),
        ] {
            assert_eq!(answer.problem(), unauthorized(expected), "{commands:?}");
        }
        let reset = identity.reset(&reset, OTHER_PASSWORD).await;
        assert_eq!(reset.problem().1, "invalid_reset_token", "{commands:?}");

        // Only an account that is open and whose password holds begins anew, and has lost no factor.
        let login = identity
            .login(&ada.person.email, &ada.person.password)
            .await;
        if commands.ends_with(&["enable"]) {
            let token = identity.challenge(&ada.person).await;
            let code = region.code(&ada.authenticator);
            identity.verify_code(&token, &code).await.tokens();
        } else {
            assert_eq!(login.problem(), unauthorized("invalid_credentials"));
        }
    }
}

#[tokio::test]
async fn no_login_that_runs_while_an_operator_acts_leaves_a_session() {
    for commands in [COMMANDS[0], COMMANDS[1], COMMANDS[2]] {
        let region = Region::new().await;
        let running = region.start().await;
        let identity = &running.service;
        let ada = identity.person().await;
        let (opened, mut sessions) = mpsc::unbounded_channel();
        let mut logins = JoinSet::new();
        for _ in 0..4 {
            let (service, person, opened) = (identity.clone(), ada.clone(), opened.clone());
            logins.spawn(async move {
                loop {
                    let answer = service.login(&person.email, &person.password).await;
                    if answer.status != 200 {
                        return;
                    }
                    opened.send(answer.tokens()).expect("it is received");
                }
            });
        }
        drop(opened);
        let first: Tokens = sessions.recv().await.expect("a login");
        operate(&region, commands, &ada.email).await;
        logins.join_all().await;
        let mut tokens = vec![first];
        while let Some(further) = sessions.recv().await {
            tokens.push(further);
        }
        for tokens in tokens {
            let refreshed = identity.refresh(&tokens.refresh).await;
            assert_eq!(refreshed.problem(), unauthorized("session_ended"));
        }
    }
}

/// What takes a session that goes on.
const CHANGES: [(Method, &str); 6] = [
    (Method::DELETE, "mfa/totp"),
    (Method::POST, "mfa/recovery-codes"),
    (Method::DELETE, "account"),
    (Method::POST, "email"),
    (Method::POST, "password"),
    (Method::POST, "logout-all"),
];

/// What logging out does.
const LOGGED_OUT: &str =
    "UPDATE sessions SET ended_at = now(), end_reason = 'logout' WHERE user_id = $1::text::uuid";

/// A change that has come as far as the session when its owner ends that one.
async fn overtaken(
    region: &Region,
    identity: &Service,
    tokens: Tokens,
    (method, path): (Method, &'static str),
    body: Value,
) -> Answer {
    let (service, asker) = (identity.clone(), tokens.clone());
    let change = async move { service.authorised(method, path, &asker, &body).await };
    region.meanwhile(LOGGED_OUT, &tokens, change).await
}

#[tokio::test]
async fn a_session_that_its_owner_ends_meanwhile_changes_nothing() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    for (method, path) in CHANGES {
        let login = identity.challenge(&ada.person).await;
        let code = region.code(&ada.authenticator);
        let tokens = identity.verify_code(&login, &code).await.tokens();
        region.clock.advance(STEP);
        let (password, code) = (&ada.person.password, region.code(&ada.authenticator));
        let proofs = match path {
            "password" => json!({ "current_password": password, "new_password": OTHER_PASSWORD }),
            "email" => json!({ "password": password, "code": code, "new_email": somebody() }),
            _ => json!({ "password": password, "code": code }),
        };
        let answer = overtaken(&region, identity, tokens, (method, path), proofs).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"), "{path}");
    }
    assert_eq!(identity.count("erasures").await, 0);
    // The factor is there, and its recovery codes are those from before; no code was spent.
    let login = identity.challenge(&ada.person).await;
    let recovery = identity
        .verify_recovery(&login, &ada.recovery_codes[0])
        .await;
    recovery.tokens();
}

#[tokio::test]
async fn a_session_that_its_owner_ends_meanwhile_sets_up_no_second_factor() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let authenticator = identity.enrolled(&ada, &tokens).await;
    let code = region.code(&authenticator);
    for (path, body) in [
        ("mfa/totp", json!({ "password": ada.password })),
        ("mfa/totp/confirm", json!({ "code": code })),
    ] {
        // The password is enough still.
        let tokens = identity.logged_in(&ada).await;
        let change = (Method::POST, path);
        let answer = overtaken(&region, identity, tokens, change, body).await;
        assert_eq!(answer.problem(), unauthorized("session_ended"), "{path}");
    }
    // What was offered before was not replaced, and its code was not spent.
    let tokens = identity.logged_in(&ada).await;
    identity.confirm(&tokens, &code).await.recovery_codes();
}

#[tokio::test]
async fn a_lock_stops_whoever_guesses_and_nobody_who_has_shown_something() {
    let region = Region::new().await;
    let running = region.start().await;
    let identity = &running.service;
    let ada = region.protected(identity).await;
    identity.outbox_empties().await;
    let reset = identity.mailed_reset(&ada.person.email).await;
    let [by_code, by_recovery] = [
        identity.challenge(&ada.person).await,
        identity.challenge(&ada.person).await,
    ];
    let code = region.code(&ada.authenticator);
    let opened = identity.verify_code(&by_code, &code).await;
    let (device, session) = (opened.device_token(), opened.tokens());
    identity.lock_out(&ada.person.email).await;

    let login = async || {
        let (email, password) = (&ada.person.email, &ada.person.password);
        identity.login(email, password).await
    };
    assert!(locked(&login().await));
    let known = identity
        .login_from(&device, &ada.person.email, &ada.person.password)
        .await;
    assert_eq!(known.json()["status"], "mfa_required");
    // The password was shown before, and the session has a key of its own.
    let recovery = identity.verify_recovery(&by_recovery, &ada.recovery_codes[0]);
    recovery.await.tokens();
    let next = identity.refresh(&session.refresh).await.tokens();
    assert_eq!(identity.me(&next.access).await.status, 200);
    // A token from the mailbox chooses another password, and the guessing stays stopped.
    assert_eq!(identity.reset(&reset, OTHER_PASSWORD).await.status, 200);
    assert!(locked(&login().await));
}

#[tokio::test]
async fn the_database_holds_no_token() {
    let identity = Service::of_the_test_run();
    let first = identity.logged_in(&identity.person().await).await;
    let second = identity.refresh(&first.refresh).await.tokens();
    let db = identity.database().await;
    let tables =
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let tables = db.query(tables, &[]).await.expect("the catalogue");
    assert!(tables.len() >= 6);
    for table in tables {
        let table: String = table.get(0);
        // Bytes show as hexadecimal, so every column is searched in both spellings.
        let rows = format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t");
        let dump: String = db.query_one(&rows, &[]).await.expect("a dump").get(0);
        for token in [
            &first.access,
            &first.refresh,
            &second.access,
            &second.refresh,
        ] {
            let bytes = token.as_bytes();
            for part in [&bytes[..24], &bytes[bytes.len() - 24..]] {
                // The head of all access tokens is the same; of refresh tokens it is the session's id.
                let text = std::str::from_utf8(part).expect("tokens are ASCII");
                assert!(!dump.contains(text), "{table}");
                assert!(!dump.contains(&hex::encode(part)), "{table}");
            }
            assert!(!dump.contains(&hex::encode(mac(token))), "{table}");
        }
    }
}

/// The last 32 bytes of a token: the signature's half, or the whole MAC.
fn mac(token: &str) -> Vec<u8> {
    // `_` is a digit of base64url too: only a dot or the whole prefix ends what is before.
    let encoded = token.rsplit('.').next().unwrap_or_default();
    let encoded = encoded.strip_prefix("kst_r_").unwrap_or(encoded);
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).unwrap_or_default();
    let start = bytes.len().saturating_sub(32);
    bytes[start..].to_vec()
}
