//! What can happen to an account that its person should be able to see.

use time::Duration;

/// How far back a person's trail goes.
pub(crate) const TRAIL: Duration = Duration::days(180);

/// One kind of security event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    LoggedIn,
    /// A password that was not the account's, or the right one of a disabled account.
    LoginFailed,
    /// A wrong password where a session must prove it again.
    ReauthenticationFailed,
    LoggedOut,
    /// Every session was ended at once.
    LoggedOutEverywhere,
    /// The person ended one session from another.
    SessionEnded,
    /// A refresh token older than its grace was presented: its session was ended.
    RefreshTokenReused,
    /// A wrong code, or one that was used before, after the right password or in a session.
    SecondFactorFailed,
    RecoveryCodeUsed,
    MfaEnabled,
    MfaDisabled,
    RecoveryCodesReplaced,
    /// A forgotten password was replaced by whoever reads the account's mails.
    PasswordReset,
    /// Somebody who is logged in changed the password.
    PasswordChanged,
    /// Another address was confirmed.
    AddressChanged,
    /// An operator made the password void: another one must be chosen by mail.
    PasswordResetRequired,
    /// An operator closed the account.
    AccountDisabled,
    /// An operator opened it again.
    AccountEnabled,
    /// The person asked for it. Seen by them only when it was undone.
    AccountDeleted,
}

impl Event {
    const ALL: [Self; 19] = [
        Self::LoggedIn,
        Self::LoginFailed,
        Self::ReauthenticationFailed,
        Self::LoggedOut,
        Self::LoggedOutEverywhere,
        Self::SessionEnded,
        Self::RefreshTokenReused,
        Self::SecondFactorFailed,
        Self::RecoveryCodeUsed,
        Self::MfaEnabled,
        Self::MfaDisabled,
        Self::RecoveryCodesReplaced,
        Self::PasswordReset,
        Self::PasswordChanged,
        Self::AddressChanged,
        Self::PasswordResetRequired,
        Self::AccountDisabled,
        Self::AccountEnabled,
        Self::AccountDeleted,
    ];

    /// As the database and the log spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LoggedIn => "logged_in",
            Self::LoginFailed => "login_failed",
            Self::ReauthenticationFailed => "reauthentication_failed",
            Self::LoggedOut => "logged_out",
            Self::LoggedOutEverywhere => "logged_out_everywhere",
            Self::SessionEnded => "session_ended",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::SecondFactorFailed => "second_factor_failed",
            Self::RecoveryCodeUsed => "recovery_code_used",
            Self::MfaEnabled => "mfa_enabled",
            Self::MfaDisabled => "mfa_disabled",
            Self::RecoveryCodesReplaced => "recovery_codes_replaced",
            Self::PasswordReset => "password_reset",
            Self::PasswordChanged => "password_changed",
            Self::AddressChanged => "address_changed",
            Self::PasswordResetRequired => "password_reset_required",
            Self::AccountDisabled => "account_disabled",
            Self::AccountEnabled => "account_enabled",
            Self::AccountDeleted => "account_deleted",
        }
    }

    /// What [`Event::name`] gave; `None` for a kind that only a newer version knows.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}
