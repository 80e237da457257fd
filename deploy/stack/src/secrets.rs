//! The development secrets: drawn once, kept in files of mode 0600, handed to the services as `NAME_FILE`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::json;

use crate::forgery::Key;
use crate::{Failure, Service, private_file};

const ADMINISTRATOR_URL: &str = "administrator_url";

/// The folder with one file per secret.
pub(crate) struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A password that goes into URLs: hexadecimal needs no escaping there.
    pub(crate) fn password(&self, name: &str) -> Result<String, Failure> {
        self.kept(name, || random_hex(16))
    }

    /// `MASTER_ENCRYPTION_KEY`: 256 bits as 64 hexadecimal digits.
    pub(crate) fn master_key(&self) -> Result<PathBuf, Failure> {
        self.kept("master_encryption_key", || random_hex(32))?;
        Ok(self.file("master_encryption_key"))
    }

    /// `IDENTITY_SECRET_KEYS`: one version to begin with.
    pub(crate) fn identity_keys(&self) -> Result<PathBuf, Failure> {
        self.kept("identity_secret_keys", || {
            Ok(format!("v1:{}", random_hex(32)?))
        })?;
        Ok(self.file("identity_secret_keys"))
    }

    /// A value that changes from run to run, such as an address with a port in it.
    pub(crate) fn put(&self, name: &str, value: &str) -> Result<PathBuf, Failure> {
        let path = self.file(name);
        private_file::write(&path, value)?;
        Ok(path)
    }

    /// `None`: this stack's databases are on a server of somebody else's.
    pub(crate) fn put_administrator_url(&self, url: Option<&str>) -> Result<(), Failure> {
        if let Some(url) = url {
            return self.put(ADMINISTRATOR_URL, url).map(|_| ());
        }
        // One of an earlier run with a private cluster would be taken for this server's.
        let _ = std::fs::remove_file(self.file(ADMINISTRATOR_URL));
        Ok(())
    }

    /// The Ed25519 key that a service, or the operator, signs service tokens with (PKCS#8 PEM).
    pub(crate) fn service_key(&self, name: &str) -> Result<PathBuf, Failure> {
        let file = service_key_name(name);
        self.kept(&file, || Ok(Key::new().pem()))?;
        Ok(self.file(&file))
    }

    /// `SERVICE_JWKS_FILE` of that service: the public halves of those that may call it, each with its name.
    pub(crate) fn service_jwks(
        &self,
        service: Service,
        callers: &[&str],
    ) -> Result<PathBuf, Failure> {
        let mut keys = Vec::new();
        for name in callers {
            let pem = self.kept(&service_key_name(name), || Ok(Key::new().pem()))?;
            let key = KeyPair::from_pem(&pem)
                .map_err(Failure::when(format!("read the service key of {name}")))?;
            keys.push(public_jwk(key.der_bytes(), name));
        }
        let file = format!("{}_service_jwks.json", service.name());
        self.put(&file, &json!({ "keys": keys }).to_string())
    }

    fn kept(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<String, Failure> {
        let path = self.file(name);
        if let Some(value) = private_file::read(&path)? {
            return Ok(value);
        }
        let value = make()?;
        private_file::write(&path, &value)?;
        Ok(value)
    }
}

/// `bytes` from the system's generator as hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Failure> {
    let mut drawn = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut drawn).map_err(Failure::when("draw a random secret"))?;
    Ok(hex::encode(drawn))
}

/// The URL of the private cluster's superuser: on disk only, never in an environment. `None` with a server of somebody
/// else's.
pub(crate) fn administrator_url(stack_dir: &Path) -> Result<Option<String>, Failure> {
    private_file::read(&stack_dir.join("secrets").join(ADMINISTRATOR_URL))
}

fn service_key_name(name: &str) -> String {
    format!("{name}_service_key.pem")
}

fn public_jwk(public_key: &[u8], name: &str) -> serde_json::Value {
    let x = URL_SAFE_NO_PAD.encode(public_key);
    // RFC 7638 §3: the required members only, in alphabetical order, without white space (RFC 8037 §2 for OKP).
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "alg": "EdDSA",
        "use": "sig",
        "x": x,
        "kid": URL_SAFE_NO_PAD.encode(thumbprint),
        "service": name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_id_is_the_thumbprint_of_rfc_8037() {
        // RFC 8037 appendix A.3.
        let x = URL_SAFE_NO_PAD
            .decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
            .unwrap();
        let jwk = public_jwk(&x, "journal");
        assert_eq!(jwk["kid"], "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(jwk["service"], "journal");
    }
}
