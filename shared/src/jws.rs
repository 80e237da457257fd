//! What access tokens, service tokens and receipts share: signed JSON (RFC 7515) with one algorithm and one `typ`,
//! whose header names a key among those already trusted and decides nothing else (RFC 8725 §3.1, §3.11).

use jsonwebtoken::{Algorithm, Validation, decode_header};

/// How every opaque token of the platform begins.
const OPAQUE: &str = "kst_";

/// Why a text is not looked at further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// No token, or none that we would have made.
    Invalid,
    /// Another kind of token.
    WrongType,
}

/// The name of the key that is to verify `token`, when it is one of type `typ`, `EdDSA`, and no longer
/// than `longest` bytes.
pub fn key_name(token: &str, typ: &str, longest: usize) -> Result<String, Misfit> {
    if token.starts_with(OPAQUE) {
        return Err(Misfit::WrongType);
    }
    if token.len() > longest {
        return Err(Misfit::Invalid);
    }
    let header = decode_header(token).map_err(|_| Misfit::Invalid)?;
    if header.alg != Algorithm::EdDSA || header.crit.is_some() {
        return Err(Misfit::Invalid);
    }
    if header.typ.as_deref() != Some(typ) {
        return Err(Misfit::WrongType);
    }
    header.kid.ok_or(Misfit::Invalid)
}

/// `jsonwebtoken` checks algorithm and signature; the claims are checked against the caller's `now`.
pub fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}
