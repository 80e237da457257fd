//! sslyze looks at the vault's TLS: 1.2 at least and 1.3 at best, authenticated encryption under keys that nobody can come
//! back for, no compression, no renegotiation, nothing replayed, and nobody without a certificate. First it looks at a
//! server that does all of that wrong: a scanner that finds nothing there would find nothing here.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use stack::process::dying_with_us;
use stack::{Addresses, Failure, Progress, install, ports, until};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Outcome, python};

const VERSION: &str = "6.3.1";
const LIMIT: Duration = Duration::from_secs(10);

const SCANS: [&str; 11] = [
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
    "--compression",
    "--reneg",
    "--heartbleed",
    "--openssl_ccs",
    "--early_data",
];

/// Where the report has what was found.
const SERVER: &str = "/server_scan_results/0";

/// What every server is asked that must not be so, by where the scanner tells it.
const NEVER: [(&str, &str); 9] = [
    (
        "/ssl_2_0_cipher_suites/result/is_tls_version_supported",
        "speaks SSL 2",
    ),
    (
        "/ssl_3_0_cipher_suites/result/is_tls_version_supported",
        "speaks SSL 3",
    ),
    (
        "/tls_1_0_cipher_suites/result/is_tls_version_supported",
        "speaks TLS 1.0",
    ),
    (
        "/tls_1_1_cipher_suites/result/is_tls_version_supported",
        "speaks TLS 1.1",
    ),
    ("/tls_compression/result/supports_compression", "compresses"),
    (
        "/session_renegotiation/result/is_vulnerable_to_client_renegotiation_dos",
        "renegotiates when a client wants it",
    ),
    ("/heartbleed/result/is_vulnerable_to_heartbleed", "bleeds"),
    (
        "/openssl_ccs_injection/result/is_vulnerable_to_ccs_injection",
        "takes an early ChangeCipherSpec",
    ),
    (
        "/tls_1_3_early_data/result/supports_early_data",
        "takes early data, which can be replayed",
    ),
];

/// What has to be found at the weak server. Not that it renegotiates: it serves one client after another, and the scan for
/// that may run into its time limit.
const WEAKNESSES: [&str; 6] = [
    "speaks TLS 1.0",
    "speaks TLS 1.1",
    "prefers TLS_1_2",
    "asks nobody for a certificate",
    "takes TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "takes TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
];

pub(crate) async fn judge(addresses: &Addresses, progress: Progress) -> Outcome {
    let tools = async {
        let openssl = install::program("openssl", "openssl", progress)?;
        let python = python::with_package("sslyze", VERSION, progress).await?;
        Ok::<_, Failure>((openssl, python))
    };
    let (openssl, python) = match tools.await {
        Ok(tools) => tools,
        Err(failure) => return Outcome::Skipped(failure.to_string()),
    };
    match scan_both(&openssl, &python, addresses).await {
        Ok(complaints) => Outcome::of(
            &complaints,
            format!(
                "(sslyze {VERSION}, which finds {} weaknesses where they are)",
                WEAKNESSES.len()
            ),
        ),
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

async fn scan_both(
    openssl: &Path,
    python: &Path,
    addresses: &Addresses,
) -> Result<Vec<String>, Failure> {
    let port = ports::free()?;
    let weak = WeakServer::start(openssl, addresses, port).await?;
    let found = wrong_with(&format!("127.0.0.1:{port}"), python, addresses).await?;
    drop(weak);
    for weakness in WEAKNESSES {
        if !found.iter().any(|it| it == weakness) {
            return Err(Failure::new(format!(
                "the scan does not find that a weak server {weakness}, but: {}",
                found.join(", ")
            )));
        }
    }
    let vault = addresses.api.vault.trim_start_matches("https://");
    wrong_with(vault, python, addresses).await
}

/// How often a scan is repeated that left something out.
const TRIES: u32 = 3;
const NOT_LOOKED_AT: &str = "was not looked at for whether it";

/// What is wrong with that server. Twice: only a client without a certificate is told to bring one, and only one with a
/// certificate is let in to try the rest.
async fn wrong_with(
    target: &str,
    python: &Path,
    addresses: &Addresses,
) -> Result<Vec<String>, Failure> {
    let tls = addresses.stack_dir.join("tls");
    let certificate = [
        OsString::from("--cert"),
        tls.join("identity.pem").into(),
        "--key".into(),
        tls.join("identity.key").into(),
    ];
    let report = addresses.stack_dir.join("sslyze.json");
    let mut found = Vec::new();
    // A server that serves one client after another lets a scan run into its time limits.
    for _ in 0..TRIES {
        found = complaints(&scan(target, python, &report, &SCANS, &certificate).await?);
        if !found.iter().any(|it| it.starts_with(NOT_LOOKED_AT)) {
            break;
        }
    }
    let unknown = scan(target, python, &report, &["--compression"], &[]).await?;
    let asked = unknown.pointer(&format!(
        "{SERVER}/connectivity_result/client_auth_requirement"
    ));
    if asked.and_then(Value::as_str) != Some("REQUIRED") {
        found.push("asks nobody for a certificate".to_owned());
    }
    Ok(found)
}

async fn scan(
    target: &str,
    python: &Path,
    report: &Path,
    scans: &[&str],
    certificate: &[OsString],
) -> Result<Value, Failure> {
    python::run(python, |command| {
        command
            .args(["-m", "sslyze", "--quiet", "--mozilla_config", "disable"])
            .args(scans)
            .args(certificate)
            .arg("--json_out")
            .arg(report)
            .arg(target);
    })
    .await?;
    let text = std::fs::read_to_string(report).map_err(Failure::when("read sslyze's report"))?;
    serde_json::from_str(&text).map_err(Failure::when("read sslyze's report"))
}

/// Everything that is wrong with the scanned server.
fn complaints(report: &Value) -> Vec<String> {
    let scan = |pointer: &str| report.pointer(&format!("{SERVER}{pointer}"));
    let found = |pointer: &str| scan(&format!("/scan_result{pointer}"));
    let mut complaints = Vec::new();
    for (pointer, what) in NEVER {
        match found(pointer).and_then(Value::as_bool) {
            Some(false) => {}
            Some(true) => complaints.push(what.to_owned()),
            None => complaints.push(format!("{NOT_LOOKED_AT} {what}")),
        }
    }
    let text = |pointer| scan(pointer).and_then(Value::as_str).unwrap_or("nothing");
    let highest = text("/connectivity_result/highest_tls_version_supported");
    if highest != "TLS_1_3" {
        complaints.push(format!("prefers {highest}"));
    }
    let mut suites = 0;
    for version in ["1_0", "1_1", "1_2", "1_3"] {
        let accepted = found(&format!(
            "/tls_{version}_cipher_suites/result/accepted_cipher_suites"
        ));
        for suite in accepted.and_then(Value::as_array).into_iter().flatten() {
            suites += 1;
            let name = suite.pointer("/cipher_suite/name").and_then(Value::as_str);
            let name = name.unwrap_or_default();
            if !is_modern(name) {
                complaints.push(format!("takes {name}"));
            }
        }
    }
    if suites == 0 {
        complaints.push("takes no cipher suite at all".to_owned());
    }
    complaints
}

/// Authenticated encryption, and in TLS 1.2 a key exchange that nobody can repeat with the server's key. Those of TLS 1.3
/// are all so.
fn is_modern(suite: &str) -> bool {
    let exchange = suite
        .strip_prefix("TLS_ECDHE_ECDSA_WITH_")
        .or_else(|| suite.strip_prefix("TLS_ECDHE_RSA_WITH_"));
    let cipher = exchange
        .or_else(|| suite.strip_prefix("TLS_"))
        .unwrap_or_default();
    let of_1_3 = ["AES_", "CHACHA20_"]
        .iter()
        .any(|it| suite.starts_with(&format!("TLS_{it}")));
    let authenticated = cipher.contains("_GCM_") || cipher.starts_with("CHACHA20_POLY1305");
    (exchange.is_some() || of_1_3) && authenticated
}

/// OpenSSL's test server, told to do what no server should.
struct WeakServer {
    _running: Child,
}

impl WeakServer {
    async fn start(openssl: &Path, addresses: &Addresses, port: u16) -> Result<Self, Failure> {
        let tls = addresses.stack_dir.join("tls");
        let running = Command::from(dying_with_us(openssl, Signal::KILL))
            .args([
                "s_server",
                "-quiet",
                "-www",
                "-no_tls1_3",
                "-client_renegotiation",
            ])
            .args(["-cipher", "ALL:eNULL:@SECLEVEL=0"])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(tls.join("vault.pem"))
            .arg("-key")
            .arg(tls.join("vault.key"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::when("start openssl s_server"))?;
        until("the weak server ready", LIMIT, async || {
            let answers = TcpStream::connect(("127.0.0.1", port)).await;
            answers.map(|_| ()).map_err(|error| error.to_string())
        })
        .await?;
        Ok(Self { _running: running })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_authenticated_encryption_with_forward_secrecy_is_modern() {
        for good in [
            "TLS_AES_256_GCM_SHA384",
            "TLS_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ] {
            assert!(is_modern(good), "{good}");
        }
        for bad in [
            "TLS_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
            "TLS_ECDH_anon_WITH_AES_128_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
            "TLS_ECDHE_RSA_WITH_NULL_SHA",
            "TLS_PSK_WITH_AES_128_GCM_SHA256",
            "",
        ] {
            assert!(!is_modern(bad), "{bad}");
        }
    }

    #[test]
    fn an_empty_report_is_no_praise() {
        let complaints = complaints(&Value::Null);
        assert_eq!(complaints.len(), NEVER.len() + 2, "{complaints:?}");
    }
}
