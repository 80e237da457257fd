//! A mail server that takes what it is given, or misbehaves as it is told: for tests of what is done about it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use crate::Failure;

/// A server on this machine, without encryption. Dropping it closes its port.
pub struct SmtpSink {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What it does instead of what a server should.
#[derive(Clone, Debug)]
pub enum Misbehaviour {
    /// This answer; `{line}` in it is the line that is answered.
    Say(&'static str),
    /// No answer, ever.
    Hang,
    /// The connection ends.
    HangUp,
}

/// One line that a client sent, and on which of its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub connection: usize,
    pub text: String,
}

#[derive(Default)]
struct Shared {
    /// By the word that is answered; `.` is the end of a mail, the empty word the beginning of a connection.
    misbehaviours: Mutex<HashMap<&'static str, Misbehaviour>>,
    lines: Mutex<Vec<Line>>,
    mails: Mutex<Vec<String>>,
}

impl SmtpSink {
    /// Starts it on a free port.
    pub async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.map_err(Failure::when("open a port for mail"))?;
        let port = listener
            .local_addr()
            .map_err(Failure::when("learn it"))?
            .port();
        let shared = Arc::new(Shared::default());
        let taken = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let (input, output) = stream.into_split();
                let conversation = Conversation {
                    shared: Arc::clone(&taken),
                    connection,
                    lines: BufReader::new(input).lines(),
                    output,
                };
                tokio::spawn(conversation.hold());
                connection += 1;
            }
        });
        Ok(Self {
            port,
            shared,
            accepting,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on, where a line begins with `word`; `.` is the end of a mail, the empty word a new connection.
    pub fn misbehave(&self, word: &'static str, how: Misbehaviour) {
        locked(&self.shared.misbehaviours).insert(word, how);
    }

    /// From now on.
    pub fn behave(&self) {
        locked(&self.shared.misbehaviours).clear();
    }

    /// The mails that were taken, as they came.
    pub fn mails(&self) -> Vec<String> {
        locked(&self.shared.mails).clone()
    }

    /// The commands that came, in their order.
    pub fn lines(&self) -> Vec<Line> {
        locked(&self.shared.lines).clone()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Conversation {
    shared: Arc<Shared>,
    connection: usize,
    lines: Lines<BufReader<OwnedReadHalf>>,
    output: OwnedWriteHalf,
}

impl Conversation {
    async fn hold(mut self) {
        if self.answer("", "220 sink").await.is_none() {
            return;
        }
        while let Ok(Some(text)) = self.lines.next_line().await {
            let line = Line {
                connection: self.connection,
                text: text.clone(),
            };
            locked(&self.shared.lines).push(line);
            let usual = match text.get(..4) {
                Some("EHLO") => "250-sink\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
                Some("AUTH") => "235 welcome",
                Some("DATA") => "354 go on",
                Some("QUIT") => "221 bye",
                _ => "250 ok",
            };
            if self.answer(&text, usual).await.is_none() {
                return;
            }
            if text == "DATA" && self.take_mail().await.is_none() {
                return;
            }
        }
    }

    async fn take_mail(&mut self) -> Option<()> {
        let refused = locked(&self.shared.misbehaviours).contains_key("DATA");
        if refused {
            return Some(());
        }
        let mut mail = String::new();
        while let Ok(Some(line)) = self.lines.next_line().await {
            if line == "." {
                let kept = self.misbehaviour(".").is_none();
                if kept {
                    locked(&self.shared.mails).push(mail);
                }
                return self.answer(".", "250 taken").await;
            }
            mail.push_str(line.strip_prefix('.').unwrap_or(&line));
            mail.push('\n');
        }
        None
    }

    fn misbehaviour(&self, line: &str) -> Option<Misbehaviour> {
        let all = locked(&self.shared.misbehaviours);
        let word = line.split([' ', ':']).next().unwrap_or_default();
        all.get(word).cloned()
    }

    /// `None` when the conversation is over.
    async fn answer(&mut self, line: &str, usual: &str) -> Option<()> {
        let answer = match self.misbehaviour(line) {
            None => usual.to_owned(),
            Some(Misbehaviour::Say(answer)) => answer.replace("{line}", line),
            Some(Misbehaviour::Hang) => std::future::pending().await,
            Some(Misbehaviour::HangUp) => return None,
        };
        self.output
            .write_all(format!("{answer}\r\n").as_bytes())
            .await
            .ok()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
