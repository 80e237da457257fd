//! The owner of an account hears of logins from devices that it does not know.

use reqwest::Method;
use serde_json::json;
use time::Duration;

use crate::{
    accounts::{NEW_DEVICE, OTHER_PASSWORD, PASSWORD},
    device::{Person, befall},
    replica::{Region, Replica},
    service::{Service, sent},
};

/// A service whose mails nobody else makes.
async fn started() -> (Region, Replica) {
    let region = Region::new().await;
    let replica = region.start().await;
    (region, replica)
}

impl Service {
    /// How many notices of new devices somebody has, when all that waits is sent.
    async fn new_devices(&self, person: &Person) -> usize {
        self.outbox_empties().await;
        self.mails_about(&person.email, NEW_DEVICE).len()
    }
}

#[tokio::test]
async fn a_login_without_the_token_of_a_device_is_told_unless_it_is_the_first() {
    let (_region, replica) = started().await;
    let identity = &replica.service;
    let (ada, eve) = (identity.person().await, identity.person().await);
    let first = identity.login(&ada.email, PASSWORD).await;
    assert_eq!(identity.new_devices(&ada).await, 0);
    let device = first.device_token();
    let again = identity.login_from(&device, &ada.email, PASSWORD).await;
    let again = again.device_token();
    assert_eq!(identity.new_devices(&ada).await, 0);

    let bait = "Win a prize at https://eve.example.test";
    identity.logged_in_on(&ada, bait).await;
    assert_eq!(identity.new_devices(&ada).await, 1);
    let notice = identity.mail_about(&ada.email, NEW_DEVICE).await;
    for part in ["from 127.0.0.1", " UTC", "/forgot-password\n"] {
        assert!(notice.text.contains(part), "{}", notice.text);
    }
    assert!(!notice.text.contains("eve.example.test"), "{}", notice.text);
    assert_eq!(notice.token(), None);

    // What is no device of hers is a new one.
    let eves = identity.login(&eve.email, PASSWORD).await.device_token();
    for (number, strange) in [eves, "kst_d_".to_owned(), format!("{again}A")]
        .iter()
        .enumerate()
    {
        identity
            .login_from(strange, &ada.email, PASSWORD)
            .await
            .tokens();
        assert_eq!(identity.new_devices(&ada).await, number + 2, "{strange}");
    }
    identity
        .login_from(&again, &ada.email, PASSWORD)
        .await
        .tokens();
    assert_eq!(identity.new_devices(&ada).await, 4);
    assert_eq!(identity.new_devices(&eve).await, 0);
}

#[tokio::test]
async fn a_failed_login_is_no_new_device_and_many_fill_no_mailbox() {
    let (_region, replica) = started().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    identity.logged_in(&ada).await;
    for _ in 0..4 {
        assert_eq!(identity.mistyped(&ada).await.status, 401);
    }
    assert_eq!(identity.new_devices(&ada).await, 0);
    for _ in 0..20 {
        identity.logged_in(&ada).await;
    }
    assert_eq!(identity.new_devices(&ada).await, 5);
}

#[tokio::test]
async fn with_a_second_factor_it_is_the_device_of_the_password_that_counts() {
    let (region, replica) = started().await;
    let identity = &replica.service;
    let ada = region.protected(identity).await;
    let login = async |device: Option<&str>| {
        let Person { email, password } = &ada.person;
        let answer = match device {
            Some(device) => identity.login_from(device, email, password).await,
            None => identity.login(email, password).await,
        };
        let token = answer.json()["mfa_token"].as_str().map(str::to_owned);
        token.expect("a challenge")
    };
    let challenge = login(None).await;
    let before = identity.new_devices(&ada.person).await;
    // A password alone opens nothing that would be news.
    assert_eq!(before, 0);
    let opened = identity
        .verify_recovery(&challenge, &ada.recovery_codes[0])
        .await;
    let device = opened.device_token();
    assert_eq!(identity.new_devices(&ada.person).await, 1);
    let challenge = login(Some(&device)).await;
    let opened = identity
        .verify_code(&challenge, &region.code(&ada.authenticator))
        .await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    assert_eq!(identity.new_devices(&ada.person).await, 1);
}

#[tokio::test]
async fn a_browser_that_logged_in_before_is_known_by_its_cookie() {
    let (_region, replica) = started().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let body = json!({ "email": ada.email, "password": PASSWORD, "session": "cookie" });
    let login = |cookie: String| {
        let request = identity
            .request(Method::POST, "/api/auth/login")
            .json(&body);
        sent(request.header("Cookie", cookie))
    };
    let first = login(String::new()).await;
    let lines = first.headers.get_all("set-cookie").iter();
    let mut lines = lines.filter_map(|line| line.to_str().ok()?.split(';').next());
    let device = lines.find(|it| it.starts_with("__Secure-ks_device="));
    let device = device.expect("a device cookie").to_owned();
    assert_eq!(login(device).await.status, 200);
    assert_eq!(identity.new_devices(&ada).await, 0);
    assert_eq!(login(String::new()).await.status, 200);
    assert_eq!(identity.new_devices(&ada).await, 1);
}

#[tokio::test]
async fn a_device_from_before_the_password_changed_is_a_new_one() {
    let (_region, replica) = started().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let login = identity.login(&ada.email, PASSWORD).await;
    let body = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    let tokens = login.tokens();
    let changed = identity.authorised(Method::POST, "password", &tokens, &body);
    assert_eq!(changed.await.status, 200);
    let device = login.device_token();
    identity
        .login_from(&device, &ada.email, OTHER_PASSWORD)
        .await
        .tokens();
    assert_eq!(identity.new_devices(&ada).await, 1);
}

#[tokio::test]
async fn an_account_that_slept_for_longer_than_its_trail_is_not_taken_over_in_silence() {
    let (_region, replica) = started().await;
    let identity = &replica.service;
    let ada = identity.person().await;
    let tokens = identity.logged_in(&ada).await;
    let days = Duration::days(181).whole_days();
    let slept = format!(
        "UPDATE accounts SET created_at = created_at - interval '{days} days' WHERE user_id = $1::text::uuid"
    );
    befall(identity, &tokens, &slept).await;
    let db = identity.database().await;
    db.execute("DELETE FROM security_events", &[])
        .await
        .expect("an empty trail");
    db.execute("DELETE FROM sessions", &[])
        .await
        .expect("no sessions");
    identity.logged_in(&ada).await;
    assert_eq!(identity.new_devices(&ada).await, 1);
}
