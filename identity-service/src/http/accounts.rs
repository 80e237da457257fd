//! `/api/auth`: from an address to a confirmed account.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Example};
use shared::{
    access_token::Caller,
    problem::Problem,
    serve::{ClientAddress, Json},
};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{
    Tag,
    cookies::{self, Page, SessionKind},
    secret_text::SecretText,
    sessions::EXAMPLE_DEVICE,
};
use crate::{
    Identity,
    cancel_signup::{CancelError, cancel_signup},
    mail_request::{MailRequestError, resend_verification},
    me::{self, MeError, me},
    signup::{Attempt, SignupError, signup},
    verify_email::{self, VerifyError, verify_email},
};

pub(super) const EXAMPLE_EMAIL: &str = "ada@example.com";
pub(super) const EXAMPLE_PASSWORD: &str = "a difference engine of my own";
const EXAMPLE_TOKEN: &str =
    "kst_v_AZq08HwAcACAAAAAAAAAAeGW0NJibd6wtaFZ_Mj6l5Nrh7OnS4FnwHk4gc0cezXD";

/// An address and a password for it.
#[derive(Object)]
#[oai(example)]
struct Signup {
    /// Where the confirmation goes. At most 254 bytes; the local part without quotes, the domain in its own
    /// script or in ASCII.
    #[oai(validator(max_length = 254))]
    email: String,
    /// 15 (unless the service is set up otherwise) to 1,024 bytes of any kind, hard to guess; there are no rules about
    /// its composition. Compared in Unicode normal form C.
    password: SecretText,
}

impl Example for Signup {
    fn example() -> Self {
        Self {
            email: EXAMPLE_EMAIL.to_owned(),
            password: SecretText::example(EXAMPLE_PASSWORD),
        }
    }
}

/// An address.
#[derive(Object)]
#[oai(example)]
pub(super) struct Address {
    #[oai(validator(max_length = 254))]
    pub(super) email: String,
}

impl Example for Address {
    fn example() -> Self {
        Self {
            email: EXAMPLE_EMAIL.to_owned(),
        }
    }
}

/// The token from a mail.
#[derive(Object)]
#[oai(example)]
struct MailedToken {
    /// From the link in the mail. Good once.
    token: SecretText,
}

impl Example for MailedToken {
    fn example() -> Self {
        Self {
            token: SecretText::example(EXAMPLE_TOKEN),
        }
    }
}

/// The token from a mail, and the password of the sign-up where several wait.
#[derive(Object)]
#[oai(example)]
struct Confirmation {
    /// From the link in the mail. Good once.
    token: SecretText,
    /// The one that was chosen at sign-up. Needed where several sign-ups wait for the address; right whenever it is sent.
    password: Option<SecretText>,
    /// Where the device token goes.
    #[oai(default)]
    session: SessionKind,
}

impl Example for Confirmation {
    fn example() -> Self {
        Self {
            token: SecretText::example(EXAMPLE_TOKEN),
            password: Some(SecretText::example(EXAMPLE_PASSWORD)),
            session: SessionKind::Token,
        }
    }
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum MailStatus {
    /// If the address can be written to, its owner has mail.
    VerificationSent,
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum AccountStatus {
    /// The account exists from now on.
    Verified,
}

/// What became of the request, in public.
#[derive(Object)]
#[oai(example)]
struct MailSent {
    status: MailStatus,
}

impl Example for MailSent {
    fn example() -> Self {
        Self {
            status: MailStatus::VerificationSent,
        }
    }
}

/// The address is confirmed.
#[derive(Object)]
#[oai(example)]
struct Verified {
    status: AccountStatus,
    /// For the first login on this device. Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    device_token: Option<String>,
}

impl Example for Verified {
    fn example() -> Self {
        Self {
            status: AccountStatus::Verified,
            device_token: Some(EXAMPLE_DEVICE.to_owned()),
        }
    }
}

/// A person's own account.
#[derive(Object)]
#[oai(example)]
struct Me {
    id: Uuid,
    /// As its owner typed it.
    email: String,
    email_verified: bool,
    /// Logging in needs a second factor.
    mfa_enabled: bool,
    /// With a second factor: how many of its ten recovery codes are good for good. Codes that hang on a secret which the
    /// service is about to replace are not counted: at 0, ask for new ones.
    #[oai(skip_serializing_if_is_none)]
    recovery_codes_left: Option<u32>,
    created_at: OffsetDateTime,
}

impl Example for Me {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_0001),
            email: EXAMPLE_EMAIL.to_owned(),
            email_verified: true,
            mfa_enabled: true,
            recovery_codes_left: Some(10),
            created_at: datetime!(2026-11-24 21:04:05.123456 UTC),
        }
    }
}

impl From<me::Me> for Me {
    fn from(me: me::Me) -> Self {
        Self {
            id: me.id.uuid(),
            email: me.email,
            // An account exists only for a confirmed address.
            email_verified: true,
            mfa_enabled: me.mfa_enabled,
            recovery_codes_left: me.recovery_codes_left,
            created_at: me.created_at,
        }
    }
}

#[derive(ApiResponse)]
enum Accepted {
    /// Accepted: the same for every address.
    #[oai(status = 202)]
    Accepted(Json<MailSent>),
}

impl Accepted {
    fn sent() -> Self {
        Self::Accepted(Json(MailSent {
            status: MailStatus::VerificationSent,
        }))
    }
}

#[derive(ApiResponse)]
enum Cancelled {
    /// No sign-up with that token waits any more.
    #[oai(status = 204)]
    NoContent,
}

/// Accounts; the service comes with the request.
pub(super) struct AccountsApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Accounts")]
impl AccountsApi {
    /// Sign up
    ///
    /// Mails the address a link that is good for 24 hours. An address that has an account already gets a
    /// notice instead; the answer is the same.
    #[oai(path = "/signup", method = "post", operation_id = "signup")]
    async fn signup(
        &self,
        identity: Data<&Arc<Identity>>,
        client: Data<&ClientAddress>,
        body: Json<Signup>,
    ) -> Result<Accepted, Problem<SignupError>> {
        let attempt = Attempt {
            email: body.0.email,
            password: body.0.password.into_secret(),
            network: client.network().to_string(),
        };
        signup(&identity, attempt, identity.clock.now()).await?;
        Ok(Accepted::sent())
    }

    /// Confirm an address
    ///
    /// Makes the account, with the password chosen at sign-up. A token is good once. Where several sign-ups wait for the
    /// address, whoever they are of, the one with `password` becomes the account, whichever of their mails the token is
    /// from; without it the answer is `password_required`. Neither that nor a wrong password uses the token up; after
    /// five wrong ones the address waits.
    #[oai(path = "/verify-email", method = "post", operation_id = "verify_email")]
    async fn verify_email(
        &self,
        identity: Data<&Arc<Identity>>,
        page: Page,
        body: Json<Confirmation>,
    ) -> Result<Json<Verified>, Problem<VerifyError>> {
        let carrier = body.0.session.into();
        page.admit(carrier).map_err(|_| VerifyError::CrossSite)?;
        let confirmation = verify_email::Confirmation {
            token: body.0.token.into_secret(),
            password: body.0.password.map(SecretText::into_secret),
        };
        let device_token = verify_email(&identity, confirmation, identity.clock.now()).await?;
        Ok(Json(Verified {
            status: AccountStatus::Verified,
            device_token: cookies::hand_over(&device_token, carrier),
        }))
    }

    /// Mail the confirmation again
    ///
    /// For every sign-up of that address that still waits, the three newest at most. Earlier mails stay good.
    #[oai(
        path = "/resend-verification",
        method = "post",
        operation_id = "resend_verification"
    )]
    async fn resend_verification(
        &self,
        identity: Data<&Arc<Identity>>,
        body: Json<Address>,
    ) -> Result<Accepted, Problem<MailRequestError>> {
        resend_verification(&identity, &body.0.email, identity.clock.now()).await?;
        Ok(Accepted::sent())
    }

    /// Discard a sign-up
    ///
    /// For the reader of a confirmation mail who did not sign up.
    #[oai(
        path = "/signup/cancel",
        method = "post",
        operation_id = "cancel_signup"
    )]
    async fn cancel_signup(
        &self,
        identity: Data<&Arc<Identity>>,
        body: Json<MailedToken>,
    ) -> Result<Cancelled, Problem<CancelError>> {
        cancel_signup(&identity, body.0.token.into_secret(), identity.clock.now()).await?;
        Ok(Cancelled::NoContent)
    }

    /// Read the own account
    #[oai(path = "/me", method = "get", operation_id = "get_me")]
    async fn me(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
    ) -> Result<Json<Me>, Problem<MeError>> {
        Ok(Json(
            me(&identity, &caller, identity.clock.now()).await?.into(),
        ))
    }
}
