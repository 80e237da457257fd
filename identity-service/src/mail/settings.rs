//! What the environment says about mail.

use std::path::PathBuf;

use lettre::message::Mailbox;
use shared::settings::{Reader, http_url, parsed};

use super::locale::Locale;

/// Where mail goes, in which language, and what its links point to.
pub(crate) struct MailSettings {
    pub(super) folder: PathBuf,
    pub(super) from: Mailbox,
    pub(super) locale: Locale,
    /// The frontend, without a slash at its end.
    pub(crate) app_url: String,
}

impl MailSettings {
    /// Reads `MAIL_DIR`, `MAIL_FROM`, `MAIL_LOCALE` and `APP_URL`, which is the issuer unless it is set.
    pub(crate) fn read(env: &mut Reader<'_>, issuer: Option<&str>) -> Option<Self> {
        let folder = env.required("MAIL_DIR", parsed::<PathBuf>("a path"));
        let from = env.required(
            "MAIL_FROM",
            parsed::<Mailbox>("a mailbox such as App <app@example.com>"),
        );
        let locale = env.or("MAIL_LOCALE", "en", Locale::parse);
        let app_url = match issuer {
            Some(issuer) => env.or("APP_URL", issuer, http_url),
            None => env.optional("APP_URL", http_url).flatten(),
        };
        Some(Self {
            folder: folder?,
            from: from?,
            locale: locale?,
            app_url: app_url?,
        })
    }
}
