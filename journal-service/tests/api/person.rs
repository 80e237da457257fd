//! Somebody who signed up, confirmed the address from the mail and logged in.

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use stack::{Addresses, until};

const PASSWORD: &str = "plough candle orbit meadow 7";
/// Longer than the mail's way from the outbox to its file takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// The access token of a new person.
pub(crate) async fn sign_up(addresses: &Addresses) -> String {
    let http = Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .build()
        .expect("a client builds");
    let email = format!(
        "{}@example.test",
        shared::random::bytes::<16>()
            .map(|it| format!("{it:02x}"))
            .concat()
    );
    let ask = async |path: &str, body: Value| {
        let url = format!("{}/api/auth/{path}", addresses.api.identity);
        let response = http
            .post(url)
            .json(&body)
            .send()
            .await
            .expect("identity answers");
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.json::<Value>().await.expect("the answer is JSON")
    };
    ask("signup", json!({"email": email, "password": PASSWORD})).await;
    let token = until("the mail", PATIENCE, async || {
        mailed_token(addresses, &email)
    })
    .await
    .expect("a sign-up is answered by a mail");
    ask("verify-email", json!({"token": token})).await;
    let login = ask("login", json!({"email": email, "password": PASSWORD})).await;
    login["access_token"]
        .as_str()
        .expect("a login gives an access token")
        .to_owned()
}

fn mailed_token(addresses: &Addresses, email: &str) -> Result<String, &'static str> {
    let folder = std::fs::read_dir(&addresses.mail_dir).map_err(|_| "no folder")?;
    folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter(|mail| mail.contains(email))
        .find_map(|mail| {
            mail.lines()
                .find(|line| line.starts_with("kst_v_"))
                .map(str::to_owned)
        })
        .ok_or("no mail")
}
