//! The way from an address to an account, as tests walk it.

use serde_json::json;
use shared::random;
use stack::{
    mail::{self, Mail},
    until,
};

use crate::service::{Answer, PATIENCE, Service};

/// A password that every rule lets pass.
pub(crate) const PASSWORD: &str = "plough candle orbit 1843";
/// Another one.
pub(crate) const OTHER_PASSWORD: &str = "walnut lantern river 2077";

/// The subject of the notices of new devices.
pub(crate) const NEW_DEVICE: &str = "A login from a new device";

/// An address that no other test knows.
pub(crate) fn somebody() -> String {
    format!(
        "somebody.{}@example.test",
        hex::encode(random::bytes::<8>())
    )
}

impl Service {
    pub(crate) async fn sign_up(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.post("signup", &body).await
    }

    pub(crate) async fn verify(&self, token: &str) -> Answer {
        self.post("verify-email", &json!({ "token": token })).await
    }

    /// The same with the password of the sign-up.
    pub(crate) async fn verify_as(&self, token: &str, password: &str) -> Answer {
        let body = json!({ "token": token, "password": password });
        self.post("verify-email", &body).await
    }

    pub(crate) async fn resend(&self, email: &str) -> Answer {
        self.post("resend-verification", &json!({ "email": email }))
            .await
    }

    pub(crate) async fn cancel(&self, token: &str) -> Answer {
        self.post("signup/cancel", &json!({ "token": token })).await
    }

    /// Whether that address and password log in; anything but a plain yes or no fails the test.
    pub(crate) async fn logs_in(&self, email: &str, password: &str) -> bool {
        let body = json!({ "email": email, "password": password });
        let answer = self.post("login", &body).await;
        if answer.status == 200 {
            return true;
        }
        assert_eq!(answer.problem(), (401, "invalid_credentials".to_owned()));
        false
    }

    /// Signs up and waits for the mail; its token.
    pub(crate) async fn mailed_sign_up(&self, email: &str, password: &str) -> String {
        let before = self.mails(email).len();
        let answer = self.sign_up(email, password).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        token(&self.mail_number(email, before + 1).await)
    }

    /// Makes an account.
    pub(crate) async fn account(&self, email: &str, password: &str) {
        let token = self.mailed_sign_up(email, password).await;
        let answer = self.verify(&token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// What that address has been mailed so far, oldest first; less the notices of new devices, which come whenever a
    /// test logs somebody in for a second time.
    pub(crate) fn mails(&self, email: &str) -> Vec<Mail> {
        let mut mails = self.all_mails(email);
        mails.retain(|mail| mail.subject != NEW_DEVICE);
        mails
    }

    fn all_mails(&self, email: &str) -> Vec<Mail> {
        mail::all(&self.mail_dir, Some(email)).unwrap_or_default()
    }

    /// Waits until that address has so many mails, and gives the last of them.
    pub(crate) async fn mail_number(&self, email: &str, number: usize) -> Mail {
        let mailed = async || {
            let mails = self.mails(email);
            let found = mails.len();
            let mail = mails.into_iter().nth(number - 1);
            mail.ok_or_else(|| format!("{found} mails"))
        };
        let mail = until(&format!("mail {number}"), PATIENCE, mailed).await;
        mail.expect("the worker writes it")
    }

    /// The mails of that address with that subject.
    pub(crate) fn mails_about(&self, email: &str, subject: &str) -> Vec<Mail> {
        let mut mails = self.all_mails(email);
        mails.retain(|mail| mail.subject == subject);
        mails
    }

    /// Waits until that address has a mail with that subject, and gives the first of them.
    pub(crate) async fn mail_about(&self, email: &str, subject: &str) -> Mail {
        self.nth_mail_about(email, subject, 1).await
    }

    /// The same of so many mails.
    pub(crate) async fn nth_mail_about(&self, email: &str, subject: &str, number: usize) -> Mail {
        let mailed = async || {
            let mails = self.mails_about(email, subject);
            let found = mails.len();
            let mail = mails.into_iter().nth(number - 1);
            mail.ok_or_else(|| format!("{found} such mails"))
        };
        let mail = until(subject, PATIENCE, mailed).await;
        mail.expect("the worker writes it")
    }

    /// Waits until all that is in the outbox now has been decided: it is worked off in its order.
    pub(crate) async fn outbox_worked_off(&self) {
        self.mailed_sign_up(&somebody(), PASSWORD).await;
    }

    /// The same where nobody else uses the database, for a clock that stands still: then there is no order.
    pub(crate) async fn outbox_empties(&self) {
        let emptied = async || match self.count("outbox").await {
            0 => Ok(()),
            waiting => Err(format!("{waiting} messages")),
        };
        until("the outbox", PATIENCE, emptied)
            .await
            .expect("the worker empties it");
    }

    /// The number of rows in a table of a database that nobody else uses.
    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let row = self.database().await.query_one(&sql, &[]).await;
        row.expect("a table of identity's").get(0)
    }
}

/// The token in a confirmation.
pub(crate) fn token(mail: &Mail) -> String {
    mail.token().expect("a confirmation has a token").to_owned()
}

/// What every token that cannot be confirmed is answered with.
pub(crate) fn invalid_token() -> (u16, String) {
    (400, "invalid_verification_token".to_owned())
}
