//! The PEM files that settings name: certificates, keys, authorities. What is wrong with one is told without a word of
//! it.

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ParsedCertificate,
};

/// A certificate, followed by those between it and its authority.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.unwrap_or_default();
    let readable = |certificate| ParsedCertificate::try_from(certificate).is_ok();
    if found.is_empty() || !found.iter().all(readable) {
        return Err("is not a PEM certificate".to_owned());
    }
    Ok(found)
}

/// The private key of a certificate.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    key.ok()
        .filter(|key| any_supported_type(key).is_ok())
        .ok_or_else(|| "is not a PEM private key".to_owned())
}

/// Those whose certificates are taken.
pub fn authority(pem: &str) -> Result<RootCertStore, String> {
    let mut trusted = RootCertStore::empty();
    for certificate in certificates(pem)? {
        let added = trusted.add(certificate);
        added.map_err(|_| "is not the certificate of an authority".to_owned())?;
    }
    Ok(trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "c2VjcmV0";

    #[test]
    fn what_is_something_else_is_refused_without_a_word_of_it() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default();
        let certificate = certificate.self_signed(&key).expect("a certificate").pem();
        let key = key.serialize_pem();
        let garbage = |what: &str| {
            format!("-----BEGIN {what}-----\n{SECRET}\n-----END {what}-----\n{certificate}{key}")
        };
        let refusals = [
            certificates("").err(),
            certificates(SECRET).err(),
            certificates(&key).err(),
            certificates(&garbage("CERTIFICATE")).err(),
            authority("").err(),
            authority(&key).err(),
            authority(&garbage("CERTIFICATE")).err(),
            private_key("").err(),
            private_key(&certificate).err(),
            private_key(&garbage("PRIVATE KEY")).err(),
        ];
        for (index, refusal) in refusals.into_iter().enumerate() {
            let told = refusal.unwrap_or_else(|| panic!("{index} was taken"));
            assert!(
                told.starts_with("is not ") && !told.contains(SECRET),
                "{told}"
            );
        }
        assert_eq!(
            certificates(&certificate.repeat(2)).map(|it| it.len()),
            Ok(2)
        );
        assert!(private_key(&key).is_ok() && authority(&certificate).is_ok());
    }
}
