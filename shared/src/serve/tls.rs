//! The TLS side of a listener: its certificate and key, and which clients may come.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};
use rustls::{Error, RootCertStore, ServerConfig};

/// Which clients may finish the handshake.
#[derive(Debug)]
pub enum ClientCertificates {
    /// None is asked for.
    Ignored,
    /// Checked against this authority when one is shown; [`super::Peer`] has its names.
    Optional(RootCertStore),
    /// Without a certificate of this authority the handshake fails.
    Required(RootCertStore),
}

/// TLS 1.3, or 1.2 for old clients, with the aws-lc-rs provider; HTTP/2 is preferred by ALPN. Fails when the key is
/// not that of the first certificate.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: ClientCertificates,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let verifier = |authority| {
        WebPkiClientVerifier::builder_with_provider(Arc::new(authority), Arc::clone(&provider))
    };
    let verifier = match clients {
        ClientCertificates::Ignored => None,
        ClientCertificates::Optional(authority) => {
            Some(verifier(authority).allow_unauthenticated())
        }
        ClientCertificates::Required(authority) => Some(verifier(authority)),
    };
    let builder = match verifier.map(ClientCertVerifierBuilder::build).transpose() {
        Ok(None) => builder.with_no_client_auth(),
        Ok(Some(verifier)) => builder.with_client_cert_verifier(verifier),
        Err(error) => return Err(Error::General(error.to_string())),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
