//! The development certificate authority: kept between runs, so that what trusts it goes on trusting it. The leaves
//! are issued anew at every start, so that none is ever found expired.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::{Failure, Service, private_file};

/// Who runs the vault: no service, and a client of it all the same.
pub(crate) const OPERATOR: &str = "operator";
const AUTHORITY: &str = "Keystead development CA";

/// The folder with `ca.pem` and a certificate and key for each service.
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes the CA unless it is there, and issues the leaves: the vault's is a server's, the others are clients'.
    pub(crate) fn issue(folder: PathBuf, now: OffsetDateTime) -> Result<Self, Failure> {
        let certificates = Self { folder };
        let key = certificates.authority_key(now)?;
        let authority = authority_params()?;
        let issuer = Issuer::from_params(&authority, &key);
        for name in Service::ALL.map(Service::name).iter().chain(&[OPERATOR]) {
            certificates.leaf(name, &issuer, now)?;
        }
        Ok(certificates)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Of a service, or of the operator.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Of a service, or of the operator.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    fn authority_key(&self, now: OffsetDateTime) -> Result<KeyPair, Failure> {
        let path = self.folder.join("ca.key");
        if let (Some(pem), true) = (private_file::read(&path)?, self.authority().exists()) {
            return KeyPair::from_pem(&pem)
                .map_err(Failure::when(format!("read {}", path.display())));
        }
        let key = KeyPair::generate().map_err(Failure::when("make the CA's key"))?;
        let mut params = authority_params()?;
        params.not_before = now - Duration::hours(1);
        params.not_after = now + Duration::days(3650);
        let certificate = params
            .self_signed(&key)
            .map_err(Failure::when("sign the CA's certificate"))?;
        private_file::write(&path, &key.serialize_pem())?;
        private_file::write(&self.authority(), &certificate.pem())?;
        Ok(key)
    }

    fn leaf(
        &self,
        name: &str,
        issuer: &Issuer<'_, &KeyPair>,
        now: OffsetDateTime,
    ) -> Result<(), Failure> {
        let params = leaf_params(name, now)?;
        let doing = || format!("issue the certificate of {name}");
        let key = KeyPair::generate().map_err(Failure::when(doing()))?;
        let certificate = params
            .signed_by(&key, issuer)
            .map_err(Failure::when(doing()))?;
        private_file::write(&self.key(name), &key.serialize_pem())?;
        private_file::write(&self.certificate(name), &certificate.pem())
    }
}

fn authority_params() -> Result<CertificateParams, Failure> {
    let mut params =
        CertificateParams::new(Vec::new()).map_err(Failure::when("describe the CA"))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(name: &str, now: OffsetDateTime) -> Result<CertificateParams, Failure> {
    let doing = || format!("describe the certificate of {name}");
    let uri =
        Ia5String::try_from(format!("spiffe://keystead/{name}")).map_err(Failure::when(doing()))?;
    let mut params = CertificateParams::new(Vec::new()).map_err(Failure::when(doing()))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(90);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::URI(uri)];
    if name == Service::Vault.name() {
        let localhost = Ia5String::try_from("localhost").map_err(Failure::when(doing()))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName(localhost),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
    } else {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }
    Ok(params)
}
