//! Which operations are limited, and how much by default.

/// An operation that answers a client only so often.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// As the API document names it; also the name of the policy in `RateLimit-Policy`.
    pub(crate) operation: &'static str,
    /// The variable that sets the limit.
    pub(crate) setting: &'static str,
    pub(crate) default: &'static str,
}

const fn route(operation: &'static str, setting: &'static str, default: &'static str) -> Route {
    Route {
        operation,
        setting,
        default,
    }
}

/// Every operation that asks for no access token, except the public keys, and those that hash a password or mail a
/// stranger for whoever holds one. Where passwords are guessed without a token or mail is sent the limits are narrow;
/// mailed tokens and refresh tokens cannot be guessed, and whoever holds an access token guesses five times (see
/// `lockout`), so theirs only bound the work, and leave room for an office behind one address.
pub(crate) const ROUTES: &[Route] = &[
    route("signup", "RATE_LIMIT_SIGNUP", "5/15m"),
    route("verify_email", "RATE_LIMIT_VERIFY_EMAIL", "20/15m"),
    route(
        "resend_verification",
        "RATE_LIMIT_RESEND_VERIFICATION",
        "5/15m",
    ),
    route("cancel_signup", "RATE_LIMIT_CANCEL_SIGNUP", "20/15m"),
    route("forgot_password", "RATE_LIMIT_FORGOT_PASSWORD", "5/15m"),
    route("reset_password", "RATE_LIMIT_RESET_PASSWORD", "20/15m"),
    route("change_password", "RATE_LIMIT_CHANGE_PASSWORD", "20/15m"),
    route("change_email", "RATE_LIMIT_CHANGE_EMAIL", "5/15m"),
    route("confirm_email", "RATE_LIMIT_CONFIRM_EMAIL", "20/15m"),
    route("enrol_totp", "RATE_LIMIT_ENROL_TOTP", "20/15m"),
    route("disable_totp", "RATE_LIMIT_DISABLE_TOTP", "20/15m"),
    route(
        "replace_recovery_codes",
        "RATE_LIMIT_REPLACE_RECOVERY_CODES",
        "20/15m",
    ),
    route("delete_account", "RATE_LIMIT_DELETE_ACCOUNT", "20/15m"),
    route("login", "RATE_LIMIT_LOGIN", "5/15m"),
    route("verify_mfa", "RATE_LIMIT_VERIFY_MFA", "3/5m"),
    route("refresh", "RATE_LIMIT_REFRESH", "120/1m"),
];

/// Their ids, for the API document.
pub(crate) fn limited_operations() -> Vec<&'static str> {
    ROUTES.iter().map(|route| route.operation).collect()
}
