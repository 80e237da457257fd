//! Codes of authenticator apps (RFC 6238): SHA-1, six digits, a step of 30 seconds, which is what all of them do.

use secrecy::{ExposeSecret, SecretString};
use shared::random;
use time::OffsetDateTime;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

/// 160 bits (RFC 4226 §4).
const SECRET: usize = 20;
const DIGITS: usize = 6;

/// What a person's authenticator shares with us. No `Debug`.
pub(crate) struct TotpSecret(Zeroizing<[u8; SECRET]>);

/// Six digits that a person typed. No `Debug`.
pub(crate) struct TotpCode(SecretString);

/// A secret as an authenticator takes it.
pub(crate) struct Provisioning {
    /// Base 32, for typing.
    pub(crate) secret: SecretString,
    /// `otpauth://totp/…`, for the QR code and for a link on the telephone itself.
    pub(crate) uri: SecretString,
}

impl TotpCode {
    /// Six digits, with the spaces that apps show between them or without.
    pub(crate) fn parse(text: &SecretString) -> Option<Self> {
        let text = text.expose_secret();
        let digits: Zeroizing<String> = Zeroizing::new(text.split(' ').collect());
        let right = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        right.then(|| Self(digits.as_str().into()))
    }
}

impl TotpSecret {
    pub(crate) fn generate() -> Self {
        let mut secret = Zeroizing::new([0; SECRET]);
        random::fill(secret.as_mut_slice());
        Self(secret)
    }

    /// The bytes that [`TotpSecret::expose`] gave.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes
            .try_into()
            .ok()
            .map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// For sealing, and for nothing else.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The step (30 s since 1970) whose code this is, if it is the present one or a neighbour: a clock may be
    /// half a minute off, and a code may be typed as it ends (RFC 6238 §5.2). The step is what makes it single-use.
    pub(crate) fn step_of(&self, code: &TotpCode, now: OffsetDateTime) -> Option<i64> {
        let time = u64::try_from(now.unix_timestamp()).ok()?;
        let totp = self.builder().build().expect("160 bits and the usual rest");
        let step = totp.check(code.0.expose_secret(), time)?;
        i64::try_from(step).ok()
    }

    /// What an app needs to know, for the account it will show under that issuer.
    pub(crate) fn provisioning(&self, issuer: &str, account: &str) -> Provisioning {
        // A colon ends the issuer in the label and is allowed in neither (Key URI format).
        let named = |name: &str| name.replace(':', "_");
        let totp: Totp = self
            .builder()
            .with_issuer(Some(named(issuer)))
            .with_account_name(named(account))
            .build()
            .expect("160 bits, and names without colons");
        Provisioning {
            secret: totp.secret().to_base32().into(),
            uri: totp.to_url().expect("the account has a name").into(),
        }
    }

    fn builder(&self) -> Builder {
        Builder::new().with_secret(Secret::new_stack(*self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B, SHA-1; authenticators show the last six of its eight digits.
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    fn rfc() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890").expect("160 bits")
    }

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(seconds).expect("a time")
    }

    fn code(text: &str) -> TotpCode {
        TotpCode::parse(&text.into()).expect("six digits")
    }

    #[test]
    fn the_vectors_of_the_rfc_are_codes_of_their_step() {
        for (time, digits) in VECTORS {
            assert_eq!(rfc().step_of(&code(digits), at(time)), Some(time / 30));
        }
    }

    #[test]
    fn a_code_is_good_from_one_step_before_to_one_step_after_its_own() {
        for (time, digits) in VECTORS {
            let (begin, step) = (time / 30 * 30, time / 30);
            for (moment, found) in [
                (begin - 31, None),
                (begin - 30, Some(step)),
                (begin, Some(step)),
                (begin + 59, Some(step)),
                (begin + 60, None),
            ] {
                if moment >= 0 {
                    assert_eq!(rfc().step_of(&code(digits), at(moment)), found, "{moment}");
                }
            }
        }
    }

    #[test]
    fn a_time_before_the_epoch_has_no_codes() {
        assert_eq!(rfc().step_of(&code("287082"), at(-1)), None);
    }

    #[test]
    fn only_six_digits_are_a_code() {
        assert_eq!(rfc().step_of(&code(" 287 082"), at(59)), Some(1));
        for wrong in [
            "",
            "28708",
            "2870820",
            "+28708",
            "28708a",
            "٢٨٧٠٨٢",
            "287-082",
        ] {
            assert!(TotpCode::parse(&wrong.into()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_app_is_told_the_secret_the_issuer_and_the_account() {
        let told = rfc().provisioning("Ada: & co", "ada+\"x:y\"@example.com");
        assert_eq!(
            told.secret.expose_secret(),
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
        assert_eq!(
            told.uri.expose_secret(),
            "otpauth://totp/Ada_%20%26%20co:ada%2B%22x_y%22%40example.com\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Ada_%20%26%20co"
        );
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(
            TotpSecret::generate().expose(),
            TotpSecret::generate().expose()
        );
    }
}
