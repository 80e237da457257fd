//! Every standing of an account, against every path that could lead to a token or let one count.

use serde_json::Value;

use crate::{
    accounts::{OTHER_PASSWORD, PASSWORD, somebody},
    authenticator::Protected,
    browser_session::Browser,
    device::{Tokens, befall},
    gate::FATES,
    replica::Region,
    service::{Answer, Service},
};

/// The paths, in the order in which they are tried.
const PATHS: [&str; 10] = [
    "login",
    "verify-mfa with a code",
    "verify-mfa with a recovery code",
    "refresh with the token before",
    "refresh",
    "refresh with cookies",
    "me",
    "introspect",
    "verify",
    "password/reset",
];

/// What each path comes to, for an account in good standing and in every other one.
const TABLE: [(&str, [&str; 10]); 8] = [
    ("good", GOING_ON),
    ("disabled", OVER),
    ("closing", OVER),
    ("erased", OVER),
    ("of a newer epoch", AS_NEW),
    ("locked", with_login(LOCKED)),
    ("locked for codes", FACTOR_LOCKED),
    ("unconfirmed", OVER),
];

const TOKENS: &str = "tokens";
const ENDED: &str = "session_ended";
const VOID: &str = "invalid_mfa_token";
const LOCKED: &str = "too_many_attempts";

const GOING_ON: [&str; 10] = [
    "mfa_required",
    TOKENS,
    TOKENS,
    TOKENS,
    TOKENS,
    TOKENS,
    "let in",
    "let in",
    "let in",
    "replaced",
];
const OVER: [&str; 10] = [
    "invalid_credentials",
    VOID,
    VOID,
    ENDED,
    ENDED,
    ENDED,
    ENDED,
    "inactive",
    ENDED,
    "invalid_reset_token",
];
/// The password counts; nothing from before does.
const AS_NEW: [&str; 10] = {
    let mut over = OVER;
    over[0] = "mfa_required";
    over
};
/// Guessing codes ends no session, and is ended by no reset.
const FACTOR_LOCKED: [&str; 10] = {
    let mut row = GOING_ON;
    row[1] = LOCKED;
    row[2] = LOCKED;
    row
};

/// Guessing passwords ends nothing that was shown before.
const fn with_login(outcome: &'static str) -> [&'static str; 10] {
    let mut row = GOING_ON;
    row[0] = outcome;
    row
}

/// What somebody holds who has been everywhere in their account.
struct Held {
    ada: Protected,
    before: Tokens,
    current: Tokens,
    browser: Browser,
    by_code: String,
    by_recovery: String,
    reset: String,
}

impl Held {
    async fn of(region: &Region, identity: &Service) -> Self {
        let person = identity.person().await;
        let tokens = identity.logged_in(&person).await;
        let browser = identity.browser(&person).await;
        let (authenticator, recovery_codes) = region.protect(identity, &person, &tokens).await;
        // The notice about the second factor comes first.
        identity.outbox_empties().await;
        let reset = identity.mailed_reset(&person.email).await;
        Self {
            by_code: identity.challenge(&person).await,
            by_recovery: identity.challenge(&person).await,
            current: identity.refresh(&tokens.refresh).await.tokens(),
            before: tokens.clone(),
            browser,
            reset,
            ada: Protected {
                person,
                tokens,
                authenticator,
                recovery_codes,
            },
        }
    }

    /// Brings the account into its standing.
    async fn becomes(&mut self, standing: &str, identity: &Service) {
        let email = self.ada.person.email.clone();
        match standing {
            "good" => {}
            "disabled" => befall(identity, &self.current, FATES[0]).await,
            "of a newer epoch" => befall(identity, &self.current, FATES[1]).await,
            "erased" => befall(identity, &self.current, FATES[2]).await,
            "closing" => befall(identity, &self.current, FATES[3]).await,
            "locked" => identity.lock_out(&email).await,
            "locked for codes" => self.guess_codes(identity).await,
            // A sign-up of an address is all there is, beside what belonged to an account that is gone.
            "unconfirmed" => {
                befall(identity, &self.current, FATES[2]).await;
                self.ada.person.email = somebody();
                let email = &self.ada.person.email;
                identity.mailed_sign_up(email, PASSWORD).await;
            }
            _ => panic!("{standing}"),
        }
    }

    async fn guess_codes(&self, identity: &Service) {
        let person = &self.ada.person;
        for _ in 0..2 {
            let challenge = identity.challenge(person).await;
            for _ in 0..3 {
                identity
                    .verify_recovery(&challenge, "0000-0000-0000")
                    .await
                    .problem();
            }
        }
    }

    /// What each path comes to.
    async fn tried(&self, region: &Region, identity: &Service) -> [String; 10] {
        let Protected {
            person,
            authenticator,
            recovery_codes,
            ..
        } = &self.ada;
        let code = region.code(authenticator);
        let answers = [
            identity.login(&person.email, &person.password).await,
            identity.verify_code(&self.by_code, &code).await,
            identity
                .verify_recovery(&self.by_recovery, &recovery_codes[0])
                .await,
            identity.refresh(&self.before.refresh).await,
            identity.refresh(&self.current.refresh).await,
            self.browser.refreshed(identity).await,
            identity.me(&self.current.access).await,
            identity.introspect(&self.current.access).await,
            identity.judged(&self.current.access).await,
            identity.reset(&self.reset, OTHER_PASSWORD).await,
        ];
        answers.map(|answer| outcome(&answer))
    }
}

/// One word for an answer. Tokens are looked for wherever they could be.
fn outcome(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let word = |name: &str| body[name].as_str().map(str::to_owned);
    let in_cookie = answer.header("set-cookie").is_some();
    if in_cookie || body.get("access_token").is_some() || body.get("refresh_token").is_some() {
        return TOKENS.to_owned();
    }
    let active = body["active"].as_bool();
    let active = active.map(|active| if active { "let in" } else { "inactive" });
    active
        .map(str::to_owned)
        .or_else(|| word("code"))
        .or_else(|| word("status"))
        .unwrap_or_else(|| {
            assert!(matches!(answer.status, 200 | 204), "{}", answer.text);
            "let in".to_owned()
        })
}

#[tokio::test]
async fn each_path_for_each_standing_comes_to_what_the_table_says() {
    for (standing, expected) in TABLE {
        let region = Region::new().await;
        let running = region.start().await;
        let identity = &running.service;
        let mut held = Held::of(&region, identity).await;
        held.becomes(standing, identity).await;
        let tried = held.tried(&region, identity).await;
        for ((path, came_to), expected) in PATHS.iter().zip(&tried).zip(expected) {
            assert_eq!(came_to, expected, "{path}, {standing}: {tried:?}");
        }
    }
}
