//! How a person proved who they are (RFC 8176).

/// The proofs that lead to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amr {
    Password,
    PasswordAndTotp,
    /// RFC 8176 has no name for a code from a list that was written down; that there were two factors it can say.
    PasswordAndRecoveryCode,
}

impl Amr {
    /// The values of the claim `amr`.
    pub(crate) fn values(self) -> &'static [&'static str] {
        match self {
            Self::Password => &["pwd"],
            Self::PasswordAndTotp => &["pwd", "otp"],
            Self::PasswordAndRecoveryCode => &["pwd", "mfa"],
        }
    }

    /// Whether this is enough for an account that has a second factor.
    pub(crate) fn has_second_factor(self) -> bool {
        match self {
            Self::Password => false,
            Self::PasswordAndTotp | Self::PasswordAndRecoveryCode => true,
        }
    }
}
