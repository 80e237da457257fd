//! Chromium, driven through WebDriver (W3C): a few JSON requests to chromedriver.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use stack::process::dying_with_us;
use stack::{Failure, Progress, install, ports, until};
use tokio::process::{Child, Command};

/// One headless browser that can reach this machine only.
pub(crate) struct Browser {
    client: reqwest::Client,
    session: String,
    version: String,
    _driver: Child,
}

impl Browser {
    pub(crate) async fn start(progress: Progress) -> Result<Self, Failure> {
        let chromium = install::program("chromium", "chromium", progress)?;
        let driver = install::program("chromedriver", "chromium-driver", progress)?;
        let port = ports::free()?;
        let driver = Command::from(dying_with_us(&driver, Signal::TERM))
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::when("start chromedriver"))?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build()
            .map_err(Failure::when("make an HTTP client"))?;
        let base = format!("http://127.0.0.1:{port}");
        until("chromedriver ready", Duration::from_secs(30), async || {
            client
                .get(format!("{base}/status"))
                .send()
                .await
                .map(|_| ())
        })
        .await?;
        let made = post(
            &client,
            &format!("{base}/session"),
            &capabilities(&chromium),
        )
        .await?;
        let text = |pointer| {
            made.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        Ok(Self {
            session: format!("{base}/session/{}", text("/sessionId")),
            version: text("/capabilities/browserVersion").to_owned(),
            client,
            _driver: driver,
        })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) async fn open(&self, url: &str) -> Result<(), Failure> {
        self.command("url", &json!({ "url": url }))
            .await
            .map(|_| ())
    }

    /// Runs a script in the page; what it returns.
    pub(crate) async fn evaluate(&self, script: &str) -> Result<Value, Failure> {
        self.command("execute/sync", &json!({ "script": script, "args": [] }))
            .await
    }

    /// What the page's console got since the last call: errors, warnings and refusals of the security policy.
    pub(crate) async fn console(&self) -> Result<Vec<Value>, Failure> {
        let entries = self
            .command("se/log", &json!({ "type": "browser" }))
            .await?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }

    /// The cookies that the browser would send to where it is now, as WebDriver tells them (W3C §14).
    pub(crate) async fn cookies(&self) -> Result<Vec<Value>, Failure> {
        let url = format!("{}/cookie", self.session);
        let cookies = asked(self.client.get(&url), &url).await?;
        Ok(cookies.as_array().cloned().unwrap_or_default())
    }

    pub(crate) async fn quit(&self) -> Result<(), Failure> {
        self.client
            .delete(&self.session)
            .send()
            .await
            .map(|_| ())
            .map_err(Failure::when("close the browser"))
    }

    async fn command(&self, name: &str, body: &Value) -> Result<Value, Failure> {
        post(&self.client, &format!("{}/{name}", self.session), body).await
    }
}

fn capabilities(chromium: &std::path::Path) -> Value {
    let mut arguments = vec![
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // Names for tests (RFC 6761) are this machine. Whatever a page fetches from elsewhere fails, and is heard of in
        // the console.
        "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ];
    if rustix::process::geteuid().is_root() {
        arguments.push("--no-sandbox");
    }
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        // Certificates of an authority that was made for this run.
        "acceptInsecureCerts": true,
        "goog:chromeOptions": { "binary": chromium, "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    }}})
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> Result<Value, Failure> {
    asked(client.post(url).json(body), url).await
}

async fn asked(request: reqwest::RequestBuilder, url: &str) -> Result<Value, Failure> {
    let doing = || format!("ask chromedriver for {url}");
    let answer = request.send().await.map_err(Failure::when(doing()))?;
    let failed = !answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(Failure::when(doing()))?;
    let value = answer.get_mut("value").map(Value::take).unwrap_or_default();
    if failed {
        Err(Failure::new(format!("chromedriver: {value}")))
    } else {
        Ok(value)
    }
}
