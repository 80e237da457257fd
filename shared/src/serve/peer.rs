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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::default();
        let uri = "spiffe://keystead/journal".try_into().expect("ASCII");
        params.subject_alt_names = vec![SanType::URI(uri)];
        let key = KeyPair::generate().expect("a key");
        params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec()
    }

    #[test]
    fn a_certificate_names_its_uris() {
        let read = PeerCertificate::read(&certificate().into()).expect("a certificate");
        assert_eq!(read.uris, ["spiffe://keystead/journal"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes in vec(any::<u8>(), 0..200), changes in vec((any::<Index>(), any::<u8>()), 1..4),
        ) {
            let mut changed = certificate();
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
                let _ = PeerCertificate::read(&changed[..at].to_vec().into());
            }
            let _ = PeerCertificate::read(&changed.into());
            let _ = PeerCertificate::read(&bytes.into());
        }
    }
}
