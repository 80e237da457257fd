//! Mail as files, one `.eml` each (RFC 5322), for development and for whatever picks them up.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    time::SystemTime,
};

use lettre::{Address, Message, message::Mailbox};
use shared::problem::Unexpected;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::texts::Text;
use crate::{domain::email_address::EmailAddress, settings::MailSettings};

/// Writes mails into a folder.
pub(crate) struct Mailer(MailSettings);

/// Why a mail did not go.
#[derive(Debug, Error)]
pub(crate) enum Unsendable {
    /// The address cannot be written into a mail; another try changes nothing.
    #[error("the address does not fit a mail")]
    Address,
    /// The folder does not take it now.
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
}

impl Mailer {
    pub(crate) fn new(settings: MailSettings) -> Self {
        Self(settings)
    }

    /// The frontend that links point to.
    pub(crate) fn app_url(&self) -> &str {
        &self.0.app_url
    }

    /// Writes one mail, named by `id`.
    pub(crate) async fn send(
        &self,
        id: Uuid,
        to: &EmailAddress,
        text: Text,
        now: OffsetDateTime,
    ) -> Result<(), Unsendable> {
        let to: Address = to.typed().parse().map_err(|_| Unsendable::Address)?;
        let message = Message::builder()
            .from(self.0.from.clone())
            .to(Mailbox::new(None, to))
            .subject(text.subject)
            .date(SystemTime::from(now))
            .message_id(Some(format!("<{id}@{}>", self.0.from.email.domain())))
            .body(text.body)
            .map_err(|_| Unsendable::Address)?;
        let file = self.0.folder.join(format!("{id}.eml"));
        let folder = self.0.folder.clone();
        let written = spawn_blocking(move || -> std::io::Result<()> {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)?;
            // Whole or not at all, for whoever watches the folder.
            let unfinished = file.with_extension("part");
            let mut options = std::fs::OpenOptions::new();
            let mut writing = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            writing.write_all(&message.formatted())?;
            writing.sync_all()?;
            std::fs::rename(&unfinished, &file)
        });
        let away = || Unexpected::unavailable("writing a mail", std::time::Duration::from_mins(1));
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(away().caused_by(error).into()),
            Err(error) => Err(away().caused_by(error).into()),
        }
    }
}
