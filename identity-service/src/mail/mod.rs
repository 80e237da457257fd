//! Mail: what is left for the worker to decide, what the mails say, and where they go.

mod errand;
mod files;
mod letter;
mod locale;
mod settings;
mod smtp;

pub(crate) use errand::Errand;
pub(crate) use letter::{Letter, Occasion};
pub(crate) use settings::MailSettings;

use std::{path::PathBuf, time::SystemTime};

use lettre::{
    Address, Message,
    message::{Mailbox, header::ContentType},
};
use shared::problem::Unexpected;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use self::{locale::Locale, settings::RouteSettings, smtp::Smtp};
use crate::domain::email_address::EmailAddress;

/// Writes mails in words and hands them over.
pub(crate) struct Mailer {
    route: Route,
    from: Mailbox,
    locale: Locale,
    app_url: String,
}

enum Route {
    Files(PathBuf),
    Smtp(Box<Smtp>),
}

/// A mail that is to go to somebody.
pub(crate) struct Mail<'a> {
    /// Names it, to whoever takes it and reads it.
    pub(crate) id: Uuid,
    pub(crate) to: &'a EmailAddress,
    pub(crate) letter: Letter<'a>,
    pub(crate) occasion: Occasion<'a>,
}

/// Why a mail did not go.
#[derive(Debug, Error)]
pub(crate) enum Unsendable {
    /// Another try changes nothing.
    #[error("{0}")]
    Refused(String),
    /// It does not go now.
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Mailer {
    pub(crate) fn new(settings: MailSettings) -> Self {
        Self {
            route: match settings.route {
                RouteSettings::Files(folder) => Route::Files(folder),
                RouteSettings::Smtp(server) => Route::Smtp(Box::new(Smtp::new(server))),
            },
            from: settings.from,
            locale: settings.locale,
            app_url: settings.app_url,
        }
    }

    /// Whether mail would be taken, as far as that can be seen without sending any; what is known, for a person.
    pub(crate) async fn examine(&self) -> Result<String, Unsendable> {
        match &self.route {
            Route::Files(folder) => {
                files::examine(folder).await?;
                Ok(format!("{} takes files", folder.display()))
            }
            Route::Smtp(smtp) => smtp.examine().await,
        }
    }

    /// Hands over one mail.
    pub(crate) async fn send(
        &self,
        mail: &Mail<'_>,
        now: OffsetDateTime,
    ) -> Result<(), Unsendable> {
        let Mail {
            id,
            to,
            letter,
            occasion,
        } = *mail;
        let text = self.locale.write(&self.app_url, letter, occasion);
        let unfit = || Unsendable::Refused("the address does not fit a mail".to_owned());
        let to: Address = to.mailbox().parse().map_err(|_| unfit())?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(text.subject)
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(text.body)
            .map_err(|_| unfit())?;
        match &self.route {
            Route::Files(folder) => Ok(files::write(folder, id, message.formatted()).await?),
            Route::Smtp(smtp) => smtp.send(&message).await,
        }
    }
}
