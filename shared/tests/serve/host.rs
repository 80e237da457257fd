//! A listener with the small service behind it, a CA with certificates, and raw clients.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use shared::serve::{ClientCertificates, Edge, Limits, Server, Shutdown, Trigger, server_config};
use shared::telemetry::{self, LogLevel, Metrics};
use shared::{openapi, pem};
use stack::{environment, suite_log};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::api::{Gate, service};

/// No test waits longer than this for anything; what is awaited comes in a fraction of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A limit that a test shortens, so that it passes soon.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Arc<Gate>,
    trigger: Option<Trigger>,
    running: JoinHandle<()>,
}

impl Host {
    /// Serves on a plain socket.
    pub(crate) async fn plain(limits: Limits) -> Self {
        let server = bind(limits).await;
        Self::run(server)
    }

    /// Serves with TLS.
    pub(crate) async fn tls(limits: Limits, files: &Files, clients: ClientCertificates) -> Self {
        let (chain, key) = (files.certificate("server"), files.key("server"));
        let config = server_config(chain, key, clients).expect("they belong together");
        Self::run(bind(limits).await.with_tls(config))
    }

    /// Serves another edge on a plain socket.
    pub(crate) async fn serving(edge: Edge, limits: Limits) -> Self {
        Self::start(bind(limits).await, edge, Arc::default())
    }

    /// Serves another edge as the server says.
    pub(crate) fn of(server: Server, edge: Edge) -> Self {
        Self::start(server, edge, Arc::default())
    }

    fn run(server: Server) -> Self {
        let gate = Arc::new(Gate::default());
        let api = service(&gate);
        let document = openapi::document(&api, &[], &[]);
        let edge = Edge::new(api, &document).with_explorer(&document);
        Self::start(server, edge, gate)
    }

    fn start(server: Server, edge: Edge, gate: Arc<Gate>) -> Self {
        metrics();
        let (trigger, shutdown) = Shutdown::manual();
        Self {
            address: server.local_addr(),
            gate,
            trigger: Some(trigger),
            running: tokio::spawn(server.run(edge, shutdown)),
        }
    }

    pub(crate) async fn connect(&self) -> Raw<TcpStream> {
        Raw(TcpStream::connect(self.address).await.expect("it listens"))
    }

    pub(crate) fn request_shutdown(&self) {
        self.trigger.as_ref().expect("not yet").request();
    }

    /// Waits for the end of the accept loop.
    pub(crate) async fn ended(self) {
        timeout(PATIENCE, self.running)
            .await
            .expect("the drain is bounded")
            .expect("the accept loop does not panic");
    }

    /// Asks with a well-behaved client, on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let mut raw = self.connect().await;
        raw.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
        ))
        .await;
        raw.answer().await
    }

    /// Posts JSON with a well-behaved client.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let mut raw = self.connect().await;
        raw.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await;
        raw.answer().await
    }
}

/// Telemetry is installed once per process, and some test runners run many tests in one.
pub(crate) fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS
        .get_or_init(|| {
            suite_log::telling_panics(|| {
                let log = suite_log::file("shared.log");
                telemetry::install("shared", "test", LogLevel::TRACE, log).expect("the first")
            })
        })
        .clone()
}

/// Whether a test that measures its process has been run in one of its own instead: `cargo test` runs many in one, where
/// nextest gives each its own.
pub(crate) fn ran_alone(test: &str) -> bool {
    const ALONE: &str = "RUNS_ALONE";
    let is_alone = |name| environment::variable(name).is_some();
    if is_alone("NEXTEST") || is_alone(ALONE) {
        return false;
    }
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    let output = command.args([test, "--exact"]).env(ALONE, "yes").output();
    let output = output.expect("it runs again");
    assert!(output.status.success(), "{output:?}");
    true
}

async fn bind(limits: Limits) -> Server {
    Server::bind("127.0.0.1:0".parse().expect("an address"), limits)
        .await
        .expect("a port is free")
}

/// A client that sends bytes as it likes.
pub(crate) struct Raw<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) async fn send(&mut self, text: &str) {
        self.0
            .write_all(text.as_bytes())
            .await
            .expect("the server reads");
    }

    /// Sends `text` byte by byte, one each `pause`, until it is through or the server closes.
    pub(crate) async fn drip(&mut self, text: &str, pause: Duration) -> io::Result<()> {
        for byte in text.as_bytes() {
            self.0.write_all(&[*byte]).await?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    /// Waits until the server closes, and returns what it said before.
    pub(crate) async fn closed(&mut self) -> String {
        let mut said = Vec::new();
        let end = timeout(PATIENCE, self.0.read_to_end(&mut said)).await;
        // A reset is an end as well.
        let _ = end.expect("the server closes the connection");
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Reads one answer to the end of its declared body.
    pub(crate) async fn answer(&mut self) -> Answer {
        timeout(PATIENCE, self.read_answer())
            .await
            .expect("the server answers")
            .expect("a whole answer")
    }

    async fn read_answer(&mut self) -> io::Result<Answer> {
        let mut text = Vec::new();
        let head = loop {
            if let Some(at) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            text.push(self.0.read_u8().await?);
        };
        let header = String::from_utf8_lossy(&text[..head]).into_owned();
        let mut answer = Answer {
            header,
            body: String::new(),
        };
        let length = answer
            .field("content-length")
            .map_or(0, |it| it.parse().expect("a number"));
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) header: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        let word = self.header.split(' ').nth(1).expect("a status line");
        word.parse().expect("a status")
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.header.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    /// The answer is a whole problem with this status and code.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status(), status, "{self:?}");
        assert_eq!(self.field("content-type"), Some("application/problem+json"));
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:keystead:problem:{code}"));
        assert_eq!(body["request_id"].as_str(), self.field("x-request-id"));
        self.assert_secured();
    }

    /// The answer carries the headers that every answer carries.
    #[track_caller]
    pub(crate) fn assert_secured(&self) {
        for name in [
            "content-security-policy",
            "strict-transport-security",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "cross-origin-resource-policy",
            "permissions-policy",
            "cache-control",
            "x-request-id",
        ] {
            assert!(self.field(name).is_some(), "{name} is missing in {self:?}");
        }
    }
}

/// A CA, a server certificate, and a client certificate of this and of another CA, as PEM files.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn make(test: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let files = Self(folder);
        let (ca, ca_key) = authority();
        files.write("ca.pem", &ca.0);
        let issuer = Issuer::new(ca.1, ca_key);
        files.issue(
            "server",
            &issuer,
            &[SanType::DnsName("localhost".try_into().expect("a name"))],
        );
        let uri = SanType::URI("spiffe://keystead/journal".try_into().expect("a URI"));
        files.issue("journal", &issuer, std::slice::from_ref(&uri));
        let (other, other_key) = authority();
        files.issue("stranger", &Issuer::new(other.1, other_key), &[uri]);
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).expect("it was made")
    }

    pub(crate) fn certificate(&self, name: &str) -> Vec<CertificateDer<'static>> {
        pem::certificates(&self.read(&format!("{name}.pem"))).expect("a certificate")
    }

    pub(crate) fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        pem::private_key(&self.read(&format!("{name}.key"))).expect("a key")
    }

    pub(crate) fn authority(&self) -> RootCertStore {
        pem::authority(&self.read("ca.pem")).expect("an authority")
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = std::fs::File::create(self.at(name)).expect("it can be made");
        file.write_all(text.as_bytes()).expect("it can be written");
    }

    fn issue(&self, name: &str, issuer: &Issuer<'_, KeyPair>, sans: &[SanType]) {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.subject_alt_names = sans.to_vec();
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, issuer).expect("a certificate");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// A handshake as `client`, offering `protocol`. With TLS 1.3 a refusal of the client's certificate
    /// shows at the first read.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        client: Option<&str>,
        protocol: &str,
    ) -> io::Result<Raw<TlsStream<TcpStream>>> {
        let config = Arc::new(self.client_config(client, protocol));
        let socket = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map(Raw)
    }

    pub(crate) fn client_config(&self, client: Option<&str>, protocol: &str) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.authority());
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(name) => builder
                .with_client_auth_cert(self.certificate(name), self.key(name))
                .expect("they fit"),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        config
    }
}

fn authority() -> ((String, CertificateParams), KeyPair) {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    ((certificate.pem(), parameters), key)
}
