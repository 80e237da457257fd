//! Mail by SMTP (RFC 5321), over one connection that is kept from one mail to the next.
//!
//! lettre's own pool takes a connection back when a mail on it was cut off halfway, and would send the next mail
//! into the middle of it. Here a connection is kept only after a whole mail.

use std::{fmt, time::Duration};

use lettre::{
    Message,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        extension::ClientId,
    },
};
use shared::problem::Unexpected;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::Unsendable;

/// For one mail, from the connection to the last answer. The outbox gives a message to nobody else for longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a look without a mail, which a person waits for.
const EXAMINED: Duration = Duration::from_secs(8);
/// A connection that lay idle for longer is not used again: what is between may have forgotten it.
const KEEP: Duration = Duration::from_secs(30);
/// How soon a server that does not take mail may take it.
const RETRY: Duration = Duration::from_mins(1);

/// Which server takes the mail, and how it is spoken to. Holds a password: no `Debug`.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encryption: Encryption,
    pub(super) credentials: Option<Credentials>,
}

/// How the connection is encrypted. A mail opens accounts: never "if the server offers it".
pub(super) enum Encryption {
    /// From the first byte (RFC 8314 §3.3).
    Implicit(TlsParameters),
    /// Before anything is said (RFC 3207).
    StartTls(TlsParameters),
    /// Not at all: the settings allow it on this machine only.
    None,
}

/// The way to one server.
pub(super) struct Smtp {
    server: Server,
    patience: Duration,
    idle: Mutex<Option<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl Smtp {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            patience: PATIENCE,
            idle: Mutex::new(None),
        }
    }

    /// Hands one mail over; done when the server has said that it has it.
    pub(super) async fn send(&self, message: &Message) -> Result<(), Unsendable> {
        let sent = timeout(self.patience, self.send_now(message)).await;
        sent.unwrap_or_else(|_| Err(away("it takes too long")))
    }

    /// Greets the server, over TLS where the settings want it, shows the password, and leaves.
    pub(super) async fn examine(&self) -> Result<String, Unsendable> {
        let examined = timeout(self.patience.min(EXAMINED), async {
            let connecting = self.connect().await;
            let mut connection = connecting.map_err(|error| away(reason(&error)))?;
            // It has answered all that was asked.
            let _ = connection.quit().await;
            Ok(())
        });
        examined
            .await
            .unwrap_or_else(|_| Err(away("it takes too long")))?;
        let Server { host, port, .. } = &self.server;
        let knows_us = match self.server.credentials {
            Some(_) => " and takes the password",
            None => "",
        };
        Ok(format!("{host}:{port} answers{knows_us}"))
    }

    /// The connection is out of its place while the mail is on it, so that a mail that fails or is given up takes
    /// the connection with it.
    async fn send_now(&self, message: &Message) -> Result<(), Unsendable> {
        let kept = self.idle.lock().await.take();
        let mut connection = match alive(kept).await {
            Some(connection) => connection,
            // Whatever is wrong here is wrong for every mail, and none is dropped for it.
            None => self.connect().await.map_err(|error| away(reason(&error)))?,
        };
        let mail = message.formatted();
        connection
            .send(message.envelope(), &mail)
            .await
            .map_err(|error| refused(&error))?;
        *self.idle.lock().await = Some(Idle {
            connection,
            since: Instant::now(),
        });
        Ok(())
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let Server {
            host,
            port,
            encryption,
            credentials,
        } = &self.server;
        let us = ClientId::default();
        let implicit = match encryption {
            Encryption::Implicit(parameters) => Some(parameters.clone()),
            Encryption::StartTls(_) | Encryption::None => None,
        };
        let address = (host.as_str(), *port);
        let patience = Some(self.patience);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, patience, &us, implicit, None);
        let mut connection = connecting.await?;
        if let Encryption::StartTls(parameters) = encryption {
            connection.starttls(parameters.clone(), &us).await?;
        }
        if let Some(credentials) = credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

/// The kept connection, if the server still answers on it.
async fn alive(kept: Option<Idle>) -> Option<AsyncSmtpConnection> {
    let Idle { mut connection, .. } = kept.filter(|idle| idle.since.elapsed() < KEEP)?;
    connection.test_connected().await.then_some(connection)
}

/// What the server's answer to the mail itself means: 5yz is for good, 4yz is for now (RFC 5321 §4.2.1). One about our
/// password or its encryption is no answer to the mail (RFC 4954 §6).
fn refused(error: &Error) -> Unsendable {
    let code = error.status().map(u16::from);
    let ours = matches!(code, Some(530 | 534 | 535 | 538));
    if !ours && (error.is_permanent() || error.is_client()) {
        Unsendable::Refused(format!("the mail server refuses it: {}", reason(error)))
    } else {
        away(reason(error))
    }
}

fn away(reason: impl fmt::Display) -> Unsendable {
    Unexpected::unavailable(format!("the mail server does not take it: {reason}"), RETRY).into()
}

/// For the log. Of an answer only its code: servers like to repeat the address in the text.
fn reason(error: &Error) -> String {
    match error.status() {
        Some(code) => format!("it answers {code}"),
        None if error.is_response() => "its answer is not SMTP".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stack::smtp_sink::{Misbehaviour, SmtpSink};

    const TO: &str = "ada@example.test";

    fn smtp(sink: &SmtpSink) -> Smtp {
        let server = Server {
            host: "127.0.0.1".to_owned(),
            port: sink.port(),
            encryption: Encryption::None,
            credentials: Some(Credentials::new("keystead".to_owned(), "secret".to_owned())),
        };
        Smtp {
            patience: Duration::from_secs(3),
            ..Smtp::new(server)
        }
    }

    async fn sink() -> SmtpSink {
        SmtpSink::start().await.expect("a free port")
    }

    fn mail(subject: &str) -> Message {
        let message = Message::builder()
            .from("no-reply@example.test".parse().expect("an address"))
            .to(TO.parse().expect("an address"))
            .subject(subject)
            .body("hello".to_owned());
        message.expect("a mail")
    }

    /// Whether it is for good, and what the log says.
    fn failure(sent: Result<(), Unsendable>) -> (bool, String) {
        match sent.expect_err("it fails") {
            Unsendable::Refused(reason) => (true, reason),
            Unsendable::Unexpected(error) => {
                assert!(error.is_unavailable());
                (false, error.chain())
            }
        }
    }

    fn connections(sink: &SmtpSink) -> usize {
        sink.lines().last().map_or(0, |line| line.connection + 1)
    }

    #[tokio::test]
    async fn mails_go_one_after_the_other_over_one_connection() {
        let sink = sink().await;
        let smtp = smtp(&sink);
        for subject in ["one", "two", "three"] {
            smtp.send(&mail(subject)).await.expect("taken");
        }
        assert_eq!(connections(&sink), 1);
        let mails = sink.mails();
        assert_eq!(mails.len(), 3);
        assert!(mails[1].contains("Subject: two"), "{}", mails[1]);
        assert!(mails[1].contains(&format!("To: {TO}")));
    }

    #[tokio::test]
    async fn an_answer_to_the_mail_tells_for_good_from_for_now_and_never_reaches_the_log() {
        for (word, answer, for_good) in [
            ("RCPT", "550 5.1.1 {line} nobody here", true),
            ("RCPT", "450 4.2.1 {line} come back later", false),
            ("MAIL", "452 4.3.1 {line} full", false),
            ("DATA", "554 5.7.1 {line} go away", true),
            (".", "550 5.7.1 {line} spam for ada@example.test", true),
            (".", "451 4.7.1 {line} greylisted ada@example.test", false),
        ] {
            let sink = sink().await;
            let smtp = smtp(&sink);
            sink.misbehave(word, Misbehaviour::Say(answer));
            let (good, told) = failure(smtp.send(&mail("one")).await);
            assert_eq!(good, for_good, "{word} {answer}: {told}");
            assert!(told.contains(&answer[..3]), "{told}");
            assert!(!told.contains("example.test"), "{told}");
            sink.behave();
            smtp.send(&mail("two")).await.expect("taken");
            assert_eq!(sink.mails().len(), 1);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_server_or_our_password_drops_no_mail() {
        for (word, how) in [
            ("", Misbehaviour::Say("554 no service for you")),
            ("EHLO", Misbehaviour::Say("550 who are you")),
            ("AUTH", Misbehaviour::Say("535 5.7.8 wrong password")),
            ("MAIL", Misbehaviour::Say("530 5.7.0 log in first")),
            ("MAIL", Misbehaviour::Say("538 5.7.11 not in the clear")),
            ("", Misbehaviour::Say("hello, this is no SMTP")),
            ("", Misbehaviour::HangUp),
            ("RCPT", Misbehaviour::HangUp),
            ("DATA", Misbehaviour::HangUp),
            (".", Misbehaviour::HangUp),
        ] {
            let sink = sink().await;
            sink.misbehave(word, how.clone());
            let smtp = smtp(&sink);
            let (for_good, told) = failure(smtp.send(&mail("one")).await);
            assert!(!for_good, "{word} {how:?}: {told}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_drops_no_mail() {
        let sink = sink().await;
        let smtp = smtp(&sink);
        drop(sink);
        assert!(!failure(smtp.send(&mail("one")).await).0);
    }

    #[tokio::test]
    async fn a_mail_that_was_given_up_halfway_takes_its_connection_with_it() {
        for word in ["MAIL", "RCPT", "DATA", "."] {
            let sink = sink().await;
            let smtp = smtp(&sink);
            smtp.send(&mail("one")).await.expect("taken");
            sink.misbehave(word, Misbehaviour::Hang);
            let (for_good, told) = failure(smtp.send(&mail("two")).await);
            assert!(!for_good && told.contains("too long"), "{told}");
            sink.behave();
            smtp.send(&mail("three")).await.expect("taken");
            assert_eq!(connections(&sink), 2, "after {word}");
            let mails = sink.mails();
            let last = mails.last().expect("the third");
            assert!(
                last.contains("Subject: three") && !last.contains("two"),
                "{last}"
            );
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_meanwhile_is_opened_anew() {
        let sink = sink().await;
        let smtp = smtp(&sink);
        smtp.send(&mail("one")).await.expect("taken");
        sink.misbehave("NOOP", Misbehaviour::HangUp);
        smtp.send(&mail("two")).await.expect("taken");
        assert_eq!(connections(&sink), 2);
    }

    #[tokio::test]
    async fn nothing_is_said_in_the_clear_to_a_server_without_starttls() {
        let sink = sink().await;
        let parameters = TlsParameters::new("localhost".to_owned()).expect("a name");
        let mut smtp = smtp(&sink);
        smtp.server.encryption = Encryption::StartTls(parameters);
        let (for_good, told) = failure(smtp.send(&mail("one")).await);
        assert!(!for_good && told.contains("STARTTLS"), "{told}");
        let said = |word: &str| sink.lines().iter().any(|line| line.text.starts_with(word));
        assert!(said("EHLO") && !said("AUTH") && !said("MAIL"));
    }
}
