//! `/api/auth/password`: choosing a new password, for one that is known or for one that was forgotten.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Example};
use secrecy::SecretString;
use shared::{access_token::Caller, problem::Problem, serve::Json};

use super::{
    Tag,
    accounts::{Address, EXAMPLE_PASSWORD},
    cookies::{self, Page, SessionKind},
    secret_text::SecretText,
    sessions::EXAMPLE_DEVICE,
};
use crate::{
    Identity,
    change_password::{Change, ChangePasswordError, change_password},
    device::Device,
    domain::carrier::Carrier,
    mail_request::{MailRequestError, forgot_password},
    reset_password::{Reset, ResetError, reset_password},
};

const EXAMPLE_NEW_PASSWORD: &str = "an analytical engine of brass";
const EXAMPLE_TOKEN: &str =
    "kst_p_AZq08HwAcACAAAAAAAAAAeGW0NJibd6wtaFZ_Mj6l5Nrh7OnS4FnwHk4gc0cezXD";

/// The password as it is, and as it is to be.
#[derive(Object)]
#[oai(example)]
struct PasswordChange {
    /// The one that the account has.
    current_password: SecretText,
    /// The rules of sign-up, and another one than the present.
    new_password: SecretText,
}

impl Example for PasswordChange {
    fn example() -> Self {
        Self {
            current_password: SecretText::example(EXAMPLE_PASSWORD),
            new_password: SecretText::example(EXAMPLE_NEW_PASSWORD),
        }
    }
}

/// The token from a mail, and the password to be.
#[derive(Object)]
#[oai(example)]
struct PasswordReset {
    /// From the link in the mail. Good once.
    token: SecretText,
    /// The rules of sign-up.
    new_password: SecretText,
    /// Where the device token goes.
    #[oai(default)]
    session: SessionKind,
}

impl Example for PasswordReset {
    fn example() -> Self {
        Self {
            token: SecretText::example(EXAMPLE_TOKEN),
            new_password: SecretText::example(EXAMPLE_NEW_PASSWORD),
            session: SessionKind::Token,
        }
    }
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum ResetStatus {
    /// If the address has an account, its owner has mail.
    ResetSent,
}

/// What became of the request, in public.
#[derive(Object)]
#[oai(example)]
struct ResetMail {
    status: ResetStatus,
}

impl Example for ResetMail {
    fn example() -> Self {
        Self {
            status: ResetStatus::ResetSent,
        }
    }
}

#[derive(ApiResponse)]
enum Asked {
    /// Accepted: the same for every address.
    #[oai(status = 202)]
    Accepted(Json<ResetMail>),
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum PasswordStatus {
    /// The new password counts from now on.
    Replaced,
}

/// The account has its new password.
#[derive(Object)]
#[oai(example)]
struct PasswordReplaced {
    status: PasswordStatus,
    /// For the next login on this device, in the place of the one it has. Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    device_token: Option<String>,
}

impl Example for PasswordReplaced {
    fn example() -> Self {
        Self {
            status: PasswordStatus::Replaced,
            device_token: Some(EXAMPLE_DEVICE.to_owned()),
        }
    }
}

impl PasswordReplaced {
    fn on(device_token: &SecretString, carrier: Carrier) -> Json<Self> {
        Json(Self {
            status: PasswordStatus::Replaced,
            device_token: cookies::hand_over(device_token, carrier),
        })
    }
}

/// Passwords; the service comes with the request.
pub(super) struct PasswordsApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Passwords")]
impl PasswordsApi {
    /// Change the password
    ///
    /// Ends every other session of the account; the one that asks goes on with the tokens it has, and its device gets a
    /// new device token. Those from before are void, and so are mails to choose a new password and logins that wait for
    /// their second factor.
    #[oai(path = "/password", method = "post", operation_id = "change_password")]
    async fn change(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<PasswordChange>,
    ) -> Result<Json<PasswordReplaced>, Problem<ChangePasswordError>> {
        let PasswordChange {
            current_password,
            new_password,
        } = body.0;
        let change = Change {
            current_password: current_password.into_secret(),
            new_password: new_password.into_secret(),
            device,
        };
        let now = identity.clock.now();
        let device_token = change_password(&identity, &caller, change, now).await?;
        let carrier = cookies::carrier_of(&caller);
        Ok(PasswordReplaced::on(&device_token, carrier))
    }

    /// Ask for a new password
    ///
    /// If the address has an account, its owner gets a mail with a token that is good for 30 minutes, once.
    #[oai(
        path = "/password/forgot",
        method = "post",
        operation_id = "forgot_password"
    )]
    async fn forgot(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<Address>,
    ) -> Result<Asked, Problem<MailRequestError>> {
        let now = identity.clock.now();
        forgot_password(&identity, &body.0.email, device.network, now).await?;
        Ok(Asked::Accepted(Json(ResetMail {
            status: ResetStatus::ResetSent,
        })))
    }

    /// Choose a new password
    ///
    /// Ends every session of the account and logs nobody in: logging in asks for the new password and for the second
    /// factor, if there is one. With the device token of the answer, strangers who guess at the address do not keep its
    /// owner out. A password that is refused leaves the token good.
    #[oai(
        path = "/password/reset",
        method = "post",
        operation_id = "reset_password"
    )]
    async fn reset(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        page: Page,
        body: Json<PasswordReset>,
    ) -> Result<Json<PasswordReplaced>, Problem<ResetError>> {
        let PasswordReset {
            token,
            new_password,
            session,
        } = body.0;
        let carrier = session.into();
        page.admit(carrier).map_err(|_| ResetError::CrossSite)?;
        let reset = Reset {
            token: token.into_secret(),
            new_password: new_password.into_secret(),
            device,
        };
        let device_token = reset_password(&identity, reset, identity.clock.now()).await?;
        Ok(PasswordReplaced::on(&device_token, carrier))
    }
}
