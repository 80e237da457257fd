//! A certificate authority of the test's own, and the certificates it signs.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use time::{Duration, OffsetDateTime};

/// Signs what it is asked to.
pub(crate) struct Authority {
    key: KeyPair,
    params: CertificateParams,
    pub(crate) pem: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Certified {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { key, params, pem }
    }

    /// The vault's own.
    pub(crate) fn server(&self) -> Certified {
        let address = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.sign(
            "vault",
            vec![address],
            ExtendedKeyUsagePurpose::ServerAuth,
            Duration::hours(1),
        )
    }

    /// A client's, with a common name and as many URIs as it likes.
    pub(crate) fn client(&self, common_name: &str, uris: &[&str]) -> Certified {
        self.client_until(common_name, uris, Duration::hours(1))
    }

    pub(crate) fn client_until(
        &self,
        common_name: &str,
        uris: &[&str],
        valid_for: Duration,
    ) -> Certified {
        let names = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().expect("an ASCII URI")))
            .collect();
        self.sign(
            common_name,
            names,
            ExtendedKeyUsagePurpose::ClientAuth,
            valid_for,
        )
    }

    fn sign(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        valid_for: Duration,
    ) -> Certified {
        let now: OffsetDateTime = shared::clock::Clock::system().now();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        params.not_before = now - Duration::days(1);
        params.not_after = now + valid_for;
        let issuer = Issuer::from_params(&self.params, &self.key);
        Certified {
            certificate: params.signed_by(&key, &issuer).expect("signed").pem(),
            key: key.serialize_pem(),
        }
    }
}
