//! What the environment says about mail.

use std::{net::IpAddr, path::PathBuf};

use lettre::{
    message::Mailbox,
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, TlsParameters, TlsParametersBuilder},
    },
};
use secrecy::ExposeSecret;
use shared::{
    pem,
    settings::{Reader, http_url, parsed, secret_text, text},
};

use super::{
    locale::Locale,
    smtp::{Encryption, Server},
};

/// Where mail goes, in which language, and what its links point to.
pub(crate) struct MailSettings {
    pub(super) route: RouteSettings,
    pub(super) from: Mailbox,
    pub(super) locale: Locale,
    /// The frontend, without a slash at its end.
    pub(crate) app_url: String,
}

/// One of the ways that mail can go.
pub(super) enum RouteSettings {
    /// Into a folder.
    Files(PathBuf),
    /// To a server.
    Smtp(Server),
}

/// `SMTP_TLS`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tls {
    Implicit,
    /// `starttls`
    Upgraded,
    None,
}

impl MailSettings {
    /// Reads `MAIL_DIR` or `SMTP_*`, `MAIL_FROM`, `MAIL_LOCALE` and `APP_URL`, which is the issuer unless it is set.
    pub(crate) fn read(env: &mut Reader<'_>, issuer: Option<&str>) -> Option<Self> {
        let route = read_route(env);
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
            route: route?,
            from: from?,
            locale: locale?,
            app_url: app_url?,
        })
    }
}

fn read_route(env: &mut Reader<'_>) -> Option<RouteSettings> {
    let folder = env.optional("MAIL_DIR", parsed::<PathBuf>("a path"));
    let host = env.optional("SMTP_HOST", text);
    match (folder?, host?) {
        (Some(folder), None) => Some(RouteSettings::Files(folder)),
        (None, Some(host)) => read_server(env, host).map(RouteSettings::Smtp),
        (None, None) => env.problem("SMTP_HOST", "is missing (or MAIL_DIR, for mail as files)"),
        (Some(_), Some(_)) => env.problem("SMTP_HOST", "is set beside MAIL_DIR: mail goes one way"),
    }
}

fn read_server(env: &mut Reader<'_>, host: String) -> Option<Server> {
    let tls = env.or("SMTP_TLS", "implicit", parse_tls);
    let default_port = match tls {
        Some(Tls::Upgraded) => "587",
        Some(Tls::None) => "25",
        Some(Tls::Implicit) | None => "465",
    };
    let port = env.or("SMTP_PORT", default_port, parsed::<u16>("a port number"));
    let user = env.optional("SMTP_USER", text);
    let password = match &user {
        Some(Some(_)) => env.secret("SMTP_PASSWORD", secret_text).map(Some),
        _ => Some(None),
    };
    let trust = read_trust(env, &host);
    let encryption = encryption(env, &host, tls?, trust?);
    Some(Server {
        host,
        port: port?,
        encryption: encryption?,
        credentials: user?
            .zip(password?)
            .map(|(user, password)| Credentials::new(user, password.expose_secret().to_owned())),
    })
}

fn parse_tls(text: &str) -> Result<Tls, String> {
    match text {
        "implicit" => Ok(Tls::Implicit),
        "starttls" => Ok(Tls::Upgraded),
        "none" => Ok(Tls::None),
        _ => Err("is not implicit, starttls or none".to_owned()),
    }
}

/// The public authorities, or the one in `SMTP_CA_FILE` and nobody else.
fn read_trust(env: &mut Reader<'_>, host: &str) -> Option<TlsParametersBuilder> {
    let builder = TlsParameters::builder(host.to_owned());
    if env.optional("SMTP_CA_FILE", text)?.is_none() {
        return Some(builder);
    }
    let authority = env.file("SMTP_CA_FILE", |pem| {
        // lettre takes a file without a single certificate, and trusts nobody then.
        pem::authority(pem)?;
        Certificate::from_pem(pem.as_bytes()).map_err(|_| "is not a PEM certificate".to_owned())
    })?;
    let builder = builder.certificate_store(CertificateStore::None);
    Some(builder.add_root_certificate(authority))
}

fn encryption(
    env: &mut Reader<'_>,
    host: &str,
    tls: Tls,
    trust: TlsParametersBuilder,
) -> Option<Encryption> {
    if tls == Tls::None {
        return if is_this_machine(host) {
            Some(Encryption::None)
        } else {
            env.problem("SMTP_TLS", "is none, which is for a server on this machine")
        };
    }
    let Ok(parameters) = trust.build() else {
        return env.problem("SMTP_HOST", "is not a name that TLS can verify");
    };
    Some(match tls {
        Tls::Upgraded => Encryption::StartTls(parameters),
        _ => Encryption::Implicit(parameters),
    })
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use reqwest::Url;
    use shared::settings::Problems;
    use stack::Addresses;

    use super::*;
    use crate::mail::{Unsendable, smtp::Smtp};

    fn read(variables: &[(&str, &str)]) -> Result<MailSettings, Problems> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            let default = (name == "MAIL_FROM").then_some("App <app@example.com>");
            found
                .map(|(_, value)| *value)
                .or(default)
                .map(str::to_owned)
        };
        let mut env = Reader::new(&lookup);
        let settings = MailSettings::read(&mut env, Some("https://app.test"));
        env.finish(|| settings)
    }

    /// What is wrong with these settings, if anything.
    fn problems(variables: &[(&str, &str)]) -> Option<String> {
        read(variables).err().map(|it| it.to_string())
    }

    #[test]
    fn mail_goes_one_way() {
        assert!(problems(&[("MAIL_DIR", "/mail")]).is_none());
        assert!(problems(&[("SMTP_HOST", "mail.example.com")]).is_none());
        for neither_or_both in [
            &[][..],
            &[("MAIL_DIR", "/mail"), ("SMTP_HOST", "mail.example.com")],
        ] {
            let told = problems(neither_or_both).expect("refused");
            assert!(
                told.contains("MAIL_DIR") && told.contains("SMTP_HOST"),
                "{told}"
            );
        }
    }

    #[test]
    fn mail_crosses_no_network_in_the_clear() {
        let to = |host| problems(&[("SMTP_HOST", host), ("SMTP_TLS", "none")]);
        for here in ["localhost", "127.0.0.1", "::1"] {
            assert!(to(here).is_none(), "{here}");
        }
        for elsewhere in ["mail.example.com", "10.0.0.1", "localhost.example.com"] {
            let told = to(elsewhere).expect("refused");
            assert!(told.contains("SMTP_TLS"), "{told}");
        }
    }

    #[test]
    fn a_name_without_a_password_and_a_word_that_is_no_choice_are_refused() {
        let host = ("SMTP_HOST", "mail.example.com");
        let told = problems(&[host, ("SMTP_USER", "keystead")]).expect("refused");
        assert!(told.contains("SMTP_PASSWORD"), "{told}");
        let both = [host, ("SMTP_USER", "keystead"), ("SMTP_PASSWORD", "secret")];
        assert!(problems(&both).is_none());
        for (name, value) in [
            ("SMTP_TLS", "opportunistic"),
            ("SMTP_PORT", "99999"),
            ("SMTP_CA_FILE", "/nowhere.pem"),
            ("MAIL_LOCALE", "tlh"),
            ("MAIL_FROM", "nobody"),
        ] {
            let told = problems(&[host, (name, value)]).expect("refused");
            assert!(told.contains(name), "{told}");
        }
    }

    const DISTRUST: &str = "invalid peer certificate: UnknownIssuer";

    /// A file of the test run's.
    fn file(name: &str) -> String {
        let folder = Addresses::of_the_test_run().stack_dir;
        folder.join("tls").join(name).display().to_string()
    }

    #[test]
    fn an_authority_that_is_none_is_refused() {
        let host = ("SMTP_HOST", "mail.example.com");
        assert!(problems(&[host, ("SMTP_CA_FILE", &file("ca.pem"))]).is_none());
        // PEM, but no certificate: it would trust nobody, and no mail would ever go.
        let told = problems(&[host, ("SMTP_CA_FILE", &file("identity.key"))]).expect("refused");
        assert!(
            told.contains("SMTP_CA_FILE is not a PEM certificate"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_server_of_another_authority_is_told_nothing() {
        // The vault: no mail server, but one that speaks TLS, and whose authority is known.
        let vault: Url = Addresses::of_the_test_run()
            .api
            .vault
            .parse()
            .expect("a URL");
        let port = vault.port().expect("a port").to_string();
        let told = async |authority: &str| {
            let variables = [
                ("SMTP_HOST", "127.0.0.1"),
                ("SMTP_PORT", &port),
                ("SMTP_CA_FILE", authority),
            ];
            let Some(MailSettings {
                route: RouteSettings::Smtp(server),
                ..
            }) = read(&variables).ok()
            else {
                panic!("{variables:?} are good settings");
            };
            match Smtp::new(server)
                .examine()
                .await
                .expect_err("no mail server")
            {
                Unsendable::Unexpected(error) => error.chain(),
                Unsendable::Refused(reason) => reason,
            }
        };
        for other in ["", &file("identity.pem")] {
            let told = told(other).await;
            assert!(told.contains(DISTRUST), "{told}");
        }
        let told = told(&file("ca.pem")).await;
        assert!(!told.contains(DISTRUST), "{told}");
    }
}
