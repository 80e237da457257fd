//! A certificate authority of the test's own, and the certificates it signs.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use time::{Duration, OffsetDateTime};

/// For as long as a test takes.
const ALWAYS: (Duration, Duration) = (Duration::days(-1), Duration::hours(1));

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
            ALWAYS,
        )
    }

    /// A server's, which names a service all the same.
    pub(crate) fn server_called(&self, common_name: &str, uris: &[&str]) -> Certified {
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        self.sign(common_name, named(uris), server, ALWAYS)
    }

    /// A client's, with a common name and as many URIs as it likes.
    pub(crate) fn client(&self, common_name: &str, uris: &[&str]) -> Certified {
        self.client_within(common_name, uris, ALWAYS)
    }

    /// The same for a time, from and to, as seen from now.
    pub(crate) fn client_within(
        &self,
        common_name: &str,
        uris: &[&str],
        valid: (Duration, Duration),
    ) -> Certified {
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        self.sign(common_name, named(uris), client, valid)
    }

    /// One that a client of this authority has signed with its own key, which makes it an authority of nothing.
    pub(crate) fn client_of_a_client(&self, common_name: &str, uris: &[&str]) -> Certified {
        let client = self.client(common_name, uris);
        let key = KeyPair::from_pem(&client.key).expect("its key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let below = Self {
            key,
            params,
            pem: client.certificate,
        };
        let Certified { certificate, key } = below.client(common_name, uris);
        Certified {
            certificate: format!("{certificate}{}", below.pem),
            key,
        }
    }

    fn sign(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        (from, to): (Duration, Duration),
    ) -> Certified {
        let now: OffsetDateTime = shared::clock::Clock::system().now();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        params.not_before = now + from;
        params.not_after = now + to;
        let issuer = Issuer::from_params(&self.params, &self.key);
        Certified {
            certificate: params.signed_by(&key, &issuer).expect("signed").pem(),
            key: key.serialize_pem(),
        }
    }
}

fn named(uris: &[&str]) -> Vec<SanType> {
    uris.iter()
        .map(|uri| SanType::URI((*uri).try_into().expect("an ASCII URI")))
        .collect()
}
