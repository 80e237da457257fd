//! What `cargo stack bench` compares the vault with: a handler that does nothing, behind the accept loop, the TLS, the
//! client certificates, the log and the counters of the vault. Reads `LISTEN_ADDR` and the vault's `TLS_…` settings,
//! answers any POST to `/v1/data-keys/unwrap`, and serves until SIGTERM.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc};

use mimalloc::MiMalloc;
use poem::{Route, handler, post};
use rustls::ServerConfig;
use serde_json::json;
use shared::{
    pem,
    serve::{ClientCertificates, Edge, Limits, Server, Shutdown, server_config},
    settings::{Problems, Reader, parsed, process_environment},
    telemetry::{LogLevel, install},
};

/// As the vault has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const PATH: &str = "/v1/data-keys/unwrap";

fn main() -> ExitCode {
    match read() {
        Ok((address, tls)) => serve(address, tls),
        Err(problems) => problems.report(),
    }
}

fn read() -> Result<(SocketAddr, Arc<ServerConfig>), Problems> {
    let mut env = Reader::new(&process_environment);
    let address = env.required("LISTEN_ADDR", parsed("an address with a port"));
    let chain = env.file("TLS_CERT_FILE", pem::certificates);
    let key = env.file("TLS_KEY_FILE", pem::private_key);
    let clients = env.file("TLS_CLIENT_CA_FILE", pem::authority);
    env.finish(|| {
        let clients = ClientCertificates::Required(clients?);
        Some((address?, server_config(chain?, key?, clients).ok()?))
    })
}

#[tokio::main]
async fn serve(address: SocketAddr, tls: Arc<ServerConfig>) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let (Ok(server), Ok(shutdown), Ok(_)) = (
        Server::bind(address, Limits::default()).await,
        Shutdown::on_signals(),
        install("vault", version, LogLevel::INFO, io::stdout()),
    ) else {
        return ExitCode::FAILURE;
    };
    let document = json!({"paths": {PATH: {"post": {"operationId": "empty"}}}});
    let edge = Edge::new(Route::new().at(PATH, post(empty)), &document);
    server.with_tls(tls).run(edge, shutdown).await;
    ExitCode::SUCCESS
}

#[handler]
fn empty() {}
