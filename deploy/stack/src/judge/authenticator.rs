//! An authenticator that is not ours: `oathtool` reads the secret that identity gives, and its codes log in.

use reqwest::Method;
use serde_json::json;
use stack::{Addresses, Answer, Failure, Person, Progress, install};

use super::{Outcome, python::run};

pub(crate) async fn judge(addresses: &Addresses, progress: Progress) -> Outcome {
    let oathtool = match install::program("oathtool", "oathtool", progress) {
        Ok(oathtool) => oathtool,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    let code = async |secret: &str, now: &str| {
        let arguments = ["--totp", "--base32", "--now", now, secret];
        let shown = run(&oathtool, |command| {
            command.args(arguments);
        });
        Ok(shown.await?.trim().to_owned())
    };
    match logs_in(addresses, code).await {
        Ok(()) => Outcome::Passed("(set up, confirmed, logged in)".to_owned()),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

/// Sets a second factor up and logs in with it; `code` is what the authenticator shows at a moment.
async fn logs_in(
    addresses: &Addresses,
    code: impl AsyncFn(&str, &str) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let ada = Person::try_new(addresses, "oathtool").await?;
    let password = json!({ "password": ada.password });
    let offered = post(&ada, "/mfa/totp", password).await?;
    let secret = offered.text("/secret");

    let first = json!({ "code": code(secret, "now").await? });
    post(&ada, "/mfa/totp/confirm", first).await?;

    let credentials = json!({ "email": ada.email, "password": ada.password });
    let asked = post(&ada, "/login", credentials).await?;
    // The present code is used up; the next one is good already.
    let next = code(secret, "now + 30 seconds").await?;
    let both = json!({ "mfa_token": asked.text("/mfa_token"), "code": next });
    let session = post(&ada, "/verify-mfa", both).await?;
    if session.text("/status") == "authenticated" {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "verify-mfa answered {}",
            session.body
        )))
    }
}

async fn post(person: &Person, path: &str, body: serde_json::Value) -> Result<Answer, Failure> {
    let answer = person.identity(Method::POST, path, Some(body)).await?;
    if answer.status == 200 {
        Ok(answer)
    } else {
        Err(Failure::new(format!(
            "{path}: {} {}",
            answer.status, answer.body
        )))
    }
}
