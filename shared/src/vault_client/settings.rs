//! What a service needs to talk to the vault, and the connection that follows from it.

use std::time::Duration;

use reqwest::{Certificate, Client, Identity, Url};
use zeroize::Zeroizing;

use crate::{
    pem,
    service_token::Signer,
    settings::{Reader, https_root},
};

const CONNECT: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);
/// What a service needs to talk to the vault.
pub struct VaultSettings {
    pub(super) url: Url,
    pub(super) http: Client,
    pub(super) signer: Signer,
}

impl VaultSettings {
    /// Reads `VAULT_URL`, `VAULT_CA_FILE`, `CLIENT_CERT_FILE`, `CLIENT_KEY_FILE` and `SERVICE_KEY_FILE`
    /// for the service of that name.
    pub fn read(env: &mut Reader<'_>, service: &str) -> Option<Self> {
        let url = env.or("VAULT_URL", "https://127.0.0.1:8082/", https_root);
        let authority = env.file("VAULT_CA_FILE", checked(pem::authority));
        let certificate = env.file("CLIENT_CERT_FILE", checked(pem::certificates));
        let key = env.file("CLIENT_KEY_FILE", checked(pem::private_key));
        let signer = env.file("SERVICE_KEY_FILE", |pem| Signer::from_pem(service, pem));
        let http = client(&authority?, &certificate?, &key?).map_or_else(
            |_| {
                let problem = "is not the key of the certificate in CLIENT_CERT_FILE";
                env.problem("CLIENT_KEY_FILE", problem)
            },
            Some,
        );
        Some(Self {
            url: url?,
            http: http?,
            signer: signer?,
        })
    }
}

/// The text of a PEM file that `parse` takes: reqwest wants it as text, and does not look at it before it builds a
/// client, nor at a file without a single certificate then.
fn checked<T>(
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> impl FnOnce(&str) -> Result<Zeroizing<String>, String> {
    move |pem| parse(pem).map(|_| Zeroizing::new(pem.to_owned()))
}

fn client(authority: &str, certificate: &str, key: &str) -> reqwest::Result<Client> {
    let identity = Zeroizing::new(format!("{certificate}\n{key}"));
    Client::builder()
        .tls_certs_only([Certificate::from_pem(authority.as_bytes())?])
        .identity(Identity::from_pem(identity.as_bytes())?)
        .https_only(true)
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .no_proxy()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use rcgen::{CertificateParams, KeyPair};
    use uuid::Uuid;

    /// What is told of the settings with these client files; the key that signs tokens is missing.
    fn problems(certificate: &str, key: &str) -> String {
        let folder = std::env::temp_dir();
        let file = |name: &str, text: &str| {
            let name = format!("keystead-{}-{name}", Uuid::from_bytes(random::bytes()));
            let path = folder.join(name).display().to_string();
            std::fs::write(&path, text).expect("a temporary file");
            path
        };
        let files = [
            ("VAULT_CA_FILE", file("ca", certificate)),
            ("CLIENT_CERT_FILE", file("certificate", certificate)),
            ("CLIENT_KEY_FILE", file("key", key)),
        ];
        let lookup = |name: &str| {
            let found = files.iter().find(|(known, _)| *known == name);
            found.map(|(_, path)| path.clone())
        };
        let mut env = Reader::new(&lookup);
        let settings = VaultSettings::read(&mut env, "journal");
        let problems = env.finish(|| settings).err();
        for (_, path) in &files {
            std::fs::remove_file(path).expect("it was written");
        }
        problems.expect("the key that signs is missing").to_string()
    }

    #[test]
    fn a_key_that_does_not_fit_its_certificate_is_found_before_anything_is_asked() {
        let pair = || KeyPair::generate().expect("a key");
        let (key, other) = (pair(), pair());
        let certificate = CertificateParams::default().self_signed(&key);
        let certificate = certificate.expect("a certificate").pem();
        let told = problems(&certificate, &key.serialize_pem());
        assert!(
            !told.contains("CLIENT") && !told.contains("VAULT"),
            "{told}"
        );
        let told = problems(&certificate, &other.serialize_pem());
        let misfit = "CLIENT_KEY_FILE is not the key of the certificate in CLIENT_CERT_FILE";
        assert!(told.contains(misfit), "{told}");
        let told = problems("hunter2", "hunter2");
        for name in ["VAULT_CA_FILE", "CLIENT_CERT_FILE", "CLIENT_KEY_FILE"] {
            assert!(told.contains(&format!("\n  {name} is not ")), "{told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
    }
}
