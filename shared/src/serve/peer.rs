//! Who is at the other end of a connection, as far as TLS proves it.

use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The other end of a connection. Handlers take it as `Data<&Arc<Peer>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the socket: the client, or the proxy before it.
    pub address: SocketAddr,
    /// The names in the verified client certificate.
    pub certificate: Option<PeerCertificate>,
}

/// The names that a verified client certificate carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The first common name of the subject.
    pub common_name: Option<String>,
    /// The subject alternative names of type URI, such as `spiffe://keystead/journal`.
    pub uris: Vec<String>,
}

impl PeerCertificate {
    /// `None` for a certificate that rustls accepted and x509-parser cannot read: it names nobody.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let common_name = certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .map(str::to_owned);
        let uris = certificate
            .subject_alternative_name()
            .ok()
            .flatten()
            .map(|names| {
                let uri = |name: &GeneralName<'_>| match name {
                    GeneralName::URI(uri) => Some((*uri).to_owned()),
                    _ => None,
                };
                names.value.general_names.iter().filter_map(uri).collect()
            })
            .unwrap_or_default();
        Some(Self { common_name, uris })
    }
}
