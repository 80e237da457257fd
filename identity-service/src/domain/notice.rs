//! What the owner of an account is told about by mail.

/// Something that happened to an account and that its owner may have to object to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The password is another one.
    PasswordChanged,
    /// Logging in needs a second factor from now on.
    MfaEnabled,
    /// Logging in needs no second factor any more.
    MfaDisabled,
    /// The recovery codes from before are void.
    RecoveryCodesReplaced,
    /// Somebody with the password showed so many wrong codes that the account takes none for a while.
    SecondFactorGuessed,
    /// A refresh token came that had been replaced: two parties hold the session.
    TokenReused,
    /// Somebody logged in from a device that the account did not know.
    NewDevice,
}

impl Notice {
    const ALL: [Self; 7] = [
        Self::PasswordChanged,
        Self::MfaEnabled,
        Self::MfaDisabled,
        Self::RecoveryCodesReplaced,
        Self::SecondFactorGuessed,
        Self::TokenReused,
        Self::NewDevice,
    ];

    /// As the database spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PasswordChanged => "password_changed",
            Self::MfaEnabled => "mfa_enabled",
            Self::MfaDisabled => "mfa_disabled",
            Self::RecoveryCodesReplaced => "recovery_codes_replaced",
            Self::SecondFactorGuessed => "second_factor_guessed",
            Self::TokenReused => "token_reused",
            Self::NewDevice => "new_device",
        }
    }

    /// What [`Notice::name`] gave.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.name() == name)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const ALL: [Notice; 7] = Notice::ALL;

    #[test]
    fn a_notice_is_found_again_by_its_name() {
        for notice in ALL {
            assert_eq!(Notice::from_name(notice.name()), Some(notice));
        }
        assert_eq!(Notice::from_name("news"), None);
    }
}
