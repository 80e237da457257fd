//! A stand-in for identity's `/.well-known/jwks.json` that answers as told and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use shared::jwk::{Jwk, JwkSet};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

#[derive(Clone)]
pub(crate) enum Answer {
    Text(String),
    Status(&'static str),
    Redirect(String),
    /// Takes the request and says nothing.
    Silence,
    /// As `Text`, but only when the gate opens.
    Gated(String, watch::Receiver<bool>),
}

pub(crate) struct KeyServer {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl KeyServer {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(Mutex::new(answer));
        let asked = Arc::new(AtomicUsize::new(0));
        let (current, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (current, count) = (Arc::clone(&current), Arc::clone(&count));
                tokio::spawn(serve(stream, current, count));
            }
        });
        Self {
            address,
            answer,
            asked,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// How many requests came in.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn set(keys: impl IntoIterator<Item = Jwk>) -> String {
    let keys = keys.into_iter().collect();
    serde_json::to_string(&JwkSet { keys }).expect("JSON")
}

async fn serve(mut stream: TcpStream, answer: Arc<Mutex<Answer>>, asked: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let answer = answer
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    asked.fetch_add(1, Ordering::SeqCst);
    let (status, more, body) = match answer {
        Answer::Text(body) => ("200 OK", String::new(), body),
        Answer::Status(status) => (status, String::new(), String::new()),
        Answer::Redirect(to) => ("302 Found", format!("location: {to}\r\n"), String::new()),
        Answer::Gated(body, mut gate) => {
            if gate.wait_for(|open| *open).await.is_err() {
                return;
            }
            ("200 OK", String::new(), body)
        }
        Answer::Silence => {
            // Until the client gives up.
            let _ = stream.read(&mut [0]).await;
            return;
        }
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         {more}connection: close\r\n\r\n{body}"
    );
    // A client that reads no more has its reasons.
    let _ = stream.write_all(text.as_bytes()).await;
}
