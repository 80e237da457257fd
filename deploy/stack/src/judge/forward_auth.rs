//! The documented nginx configuration in a real nginx, in front of an application that repeats what it was told.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use stack::{Failure, Person, Progress, Service, Stack, ports, repository, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Outcome;
use super::nginx::Nginx;

/// What an end of a session may take until it counts here.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

pub(crate) async fn judge(stack: &mut Stack, progress: Progress) -> Outcome {
    let nginx = match Nginx::program(progress) {
        Ok(nginx) => nginx,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    match look(&nginx, stack).await {
        Ok(complaints) => Outcome::of(&complaints, String::new()),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

async fn look(nginx: &Path, stack: &mut Stack) -> Result<Vec<String>, Failure> {
    let application = Application::start().await?;
    let proxy = Proxy::start(nginx, stack, application.port).await?;
    let mut ada = Person::new(stack.addresses(), "ada").await;
    let mut complaints = Complaints::default();
    complaints.refusals(&proxy, &ada).await?;
    complaints.passage(&proxy, &ada).await?;
    complaints.end_of_session(&proxy, &mut ada).await?;
    complaints.identity_away(&proxy, stack, &ada).await?;
    Ok(complaints.0)
}

#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn expect(&mut self, holds: bool, what: &str, seen: &Seen) {
        if !holds {
            self.0
                .push(format!("{what}: {} {}", seen.status, seen.text));
        }
    }

    /// Nothing but a good access token gets as far as the application.
    async fn refusals(&mut self, proxy: &Proxy, ada: &Person) -> Result<(), Failure> {
        let cut = ada.access_token.get(..200).unwrap_or_default().to_owned();
        for (what, credential) in [
            ("no token", None),
            ("a made-up token", Some("nonsense".to_owned())),
            ("a token cut short", Some(cut)),
            ("a refresh token", Some(ada.refresh_token.clone())),
        ] {
            let mut request = proxy.get("/").header("X-User-Id", ada.id.as_str());
            if let Some(credential) = credential {
                request = request.bearer_auth(credential);
            }
            let seen = seen(request).await?;
            let told = seen.challenge.starts_with("Bearer") && !seen.text.contains("request line");
            self.expect(seen.status == 401 && told, what, &seen);
        }
        let inner = seen(
            proxy
                .get("/_keystead_verify")
                .bearer_auth(&ada.access_token),
        )
        .await?;
        self.expect(
            inner.status == 404,
            "the inner location is reachable",
            &inner,
        );
        Ok(())
    }

    /// The application hears from identity who it is, and from nobody else; the token it does not get.
    async fn passage(&mut self, proxy: &Proxy, ada: &Person) -> Result<(), Failure> {
        const FORGED: &str = "0198c0de-0000-7000-8000-0000000000ff";
        let mut request = proxy
            .post("/orders?x=1", "a body")
            .bearer_auth(&ada.access_token);
        for name in [
            "X-User-Id",
            "x-user-id",
            "X_User_Id",
            "X-Session-Id",
            "X_Session_Id",
            "X-Auth-Time",
            "X-Auth-Methods",
        ] {
            request = request.header(name, FORGED);
        }
        let seen = seen(request).await?;
        let text = seen.text.to_ascii_lowercase();
        let once = |line: &str| text.matches(line).count() == 1;
        self.expect(seen.status == 200, "a good token", &seen);
        self.expect(
            once("request line: post /orders?x=1 ") && text.ends_with("\r\n\r\na body"),
            "the request itself",
            &seen,
        );
        self.expect(
            once(&format!("\r\nx-user-id: {}\r\n", ada.id)) && once("\r\nx-auth-methods: pwd\r\n"),
            "who it is",
            &seen,
        );
        self.expect(
            ["x-session-id: ", "x-auth-time: "].into_iter().all(once),
            "the session",
            &seen,
        );
        self.expect(!text.contains(FORGED), "a forged header passed", &seen);
        self.expect(!text.contains("authorization"), "the token passed", &seen);
        Ok(())
    }

    async fn end_of_session(&mut self, proxy: &Proxy, ada: &mut Person) -> Result<(), Failure> {
        let (ended, began) = (ada.access_token.clone(), Instant::now());
        ada.identity(reqwest::Method::POST, "/logout", None).await?;
        loop {
            let seen = seen(proxy.get("/").bearer_auth(&ended)).await?;
            if seen.status == 401 {
                break;
            }
            if began.elapsed() > ENDS_WITHIN {
                self.expect(false, "an ended session passes", &seen);
                break;
            }
        }
        ada.log_in().await?;
        let seen = seen(proxy.get("/").bearer_auth(&ada.access_token)).await?;
        self.expect(seen.status == 200, "a new session", &seen);
        Ok(())
    }

    /// Without identity nobody passes, and everybody does again when it is back.
    async fn identity_away(
        &mut self,
        proxy: &Proxy,
        stack: &mut Stack,
        ada: &Person,
    ) -> Result<(), Failure> {
        stack.stop_service(Service::Identity).await?;
        let away = seen(proxy.get("/").bearer_auth(&ada.access_token)).await?;
        let closed = away.status >= 500 && !away.text.contains("request line");
        self.expect(closed, "identity away", &away);
        stack.start_service(Service::Identity).await?;
        let back = until("identity behind nginx again", LIMIT, async || {
            let seen = seen(proxy.get("/").bearer_auth(&ada.access_token)).await;
            match seen {
                Ok(seen) if seen.status == 200 => Ok(()),
                Ok(seen) => Err(seen.status.to_string()),
                Err(failure) => Err(failure.to_string()),
            }
        });
        back.await
    }
}

/// Longer than nginx takes to try a server again that was away (10 s).
const LIMIT: Duration = Duration::from_secs(30);

struct Seen {
    status: u16,
    challenge: String,
    text: String,
}

async fn seen(request: RequestBuilder) -> Result<Seen, Failure> {
    let doing = || Failure::when("ask through nginx");
    let answer = request.send().await.map_err(doing())?;
    let challenge = answer.headers().get("www-authenticate");
    let challenge = challenge.and_then(|value| value.to_str().ok());
    Ok(Seen {
        status: answer.status().as_u16(),
        challenge: challenge.unwrap_or_default().to_owned(),
        text: answer.text().await.map_err(doing())?,
    })
}

/// nginx with the documented configuration.
struct Proxy {
    http: Client,
    url: String,
    _nginx: Nginx,
}

impl Proxy {
    async fn start(program: &Path, stack: &Stack, application: u16) -> Result<Self, Failure> {
        let port = ports::free()?;
        let identity = stack.addresses().api.identity.trim_start_matches("http://");
        let documented = documented(identity, application, port)?;
        let folder = stack.folder().join("forward-auth");
        let nginx = Nginx::start(program, &folder, &documented, port).await?;
        let http = Client::builder()
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .map_err(Failure::when("make an HTTP client"))?;
        Ok(Self {
            http,
            url: format!("http://127.0.0.1:{port}"),
            _nginx: nginx,
        })
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    fn post(&self, path: &str, body: &'static str) -> RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).body(body)
    }
}

/// The documented file with its three addresses replaced.
fn documented(identity: &str, application: u16, port: u16) -> Result<String, Failure> {
    let file = repository::root().join("deploy/nginx/forward-auth.conf");
    let mut text = std::fs::read_to_string(&file)
        .map_err(Failure::when(format!("read {}", file.display())))?;
    for (told, here) in [
        ("server 127.0.0.1:8081;", format!("server {identity};")),
        (
            "server 127.0.0.1:3000;",
            format!("server 127.0.0.1:{application};"),
        ),
        (
            "listen 127.0.0.1:8080;",
            format!("listen 127.0.0.1:{port};"),
        ),
    ] {
        if text.matches(told).count() != 1 {
            return Err(Failure::new(format!("{}: no `{told}`", file.display())));
        }
        text = text.replace(told, &here);
    }
    Ok(text)
}

/// Answers every request with the request.
struct Application {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Application {
    async fn start() -> Result<Self, Failure> {
        let doing = || Failure::when("start the application behind nginx");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(doing())?;
        let port = listener.local_addr().map_err(doing())?.port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(repeat(stream));
            }
        });
        Ok(Self { port, task })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn repeat(mut stream: TcpStream) {
    let mut request = Vec::new();
    // nginx sends the whole of so small a request before it waits for an answer.
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let text = String::from_utf8_lossy(&request);
    let answer = format!(
        "HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\nrequest line: {text}",
        "request line: ".len() + text.len()
    );
    // A proxy that reads no more has its reasons.
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name.eq_ignore_ascii_case("content-length");
        length.then(|| value.trim().parse().ok()).flatten()
    });
    body.len() >= length.unwrap_or(0)
}
