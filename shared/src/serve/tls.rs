//! The TLS side of a listener: certificate, key, and which clients may come, from PEM files.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Which clients may finish the handshake.
#[derive(Clone, Copy, Debug)]
pub enum ClientCertificates<'a> {
    /// None is asked for.
    Ignored,
    /// Checked against the CA in this PEM file when one is shown; [`super::Peer`] has its names.
    Optional(&'a Path),
    /// Without a certificate of the CA in this PEM file the handshake fails.
    Required(&'a Path),
}

/// Why there is no TLS. Names no path: what was meant as one may be the key itself.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct TlsError {
    what: &'static str,
    reason: String,
}

/// TLS 1.3, or 1.2 for old clients, with the aws-lc-rs provider; HTTP/2 is preferred by ALPN.
pub fn server_config(
    certificates: &Path,
    key: &Path,
    clients: ClientCertificates<'_>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = read_certificates("certificate file", certificates)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| problem("key file", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| problem("certificate file", &error))?;
    let builder = match clients {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        ClientCertificates::Optional(ca) | ClientCertificates::Required(ca) => {
            let mut roots = RootCertStore::empty();
            for certificate in read_certificates("client CA file", ca)? {
                roots
                    .add(certificate)
                    .map_err(|error| problem("client CA file", &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match clients {
                ClientCertificates::Optional(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier
                .build()
                .map_err(|error| problem("client CA file", &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| problem("key file", &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_certificates(
    what: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| problem(what, &error))?;
    if certificates.is_empty() {
        return Err(problem(what, &"holds no certificate"));
    }
    Ok(certificates)
}

fn problem(what: &'static str, reason: &dyn Display) -> TlsError {
    TlsError {
        what,
        reason: reason.to_string(),
    }
}
