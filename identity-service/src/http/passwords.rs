//! `/api/auth/password`: choosing a new password, for one that is known or for one that was forgotten.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Example};
use shared::{access_token::Caller, problem::Problem, serve::Json};

use super::{
    Tag,
    accounts::{Address, EXAMPLE_PASSWORD},
    secret_text::SecretText,
};
use crate::{
    Identity,
    change_password::{Change, ChangePasswordError, change_password},
    device::Device,
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
}

impl Example for PasswordReset {
    fn example() -> Self {
        Self {
            token: SecretText::example(EXAMPLE_TOKEN),
            new_password: SecretText::example(EXAMPLE_NEW_PASSWORD),
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

#[derive(ApiResponse)]
enum Replaced {
    /// The new password counts from now on.
    #[oai(status = 204)]
    NoContent,
}

/// Passwords; the service comes with the request.
pub(super) struct PasswordsApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Passwords")]
impl PasswordsApi {
    /// Change the password
    ///
    /// Ends every other session of the account; the one that asks goes on with the tokens it has. Device tokens from
    /// before are void, so that the next login on each device gets a new one; mails to choose a new password, and logins
    /// that wait for their second factor, are void, too.
    #[oai(path = "/password", method = "post", operation_id = "change_password")]
    async fn change(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<PasswordChange>,
    ) -> Result<Replaced, Problem<ChangePasswordError>> {
        let PasswordChange {
            current_password,
            new_password,
        } = body.0;
        let change = Change {
            current_password: current_password.into_secret(),
            new_password: new_password.into_secret(),
            device,
        };
        change_password(&identity, &caller, change, identity.clock.now()).await?;
        Ok(Replaced::NoContent)
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
    /// factor, if there is one. A password that is refused leaves the token good.
    #[oai(
        path = "/password/reset",
        method = "post",
        operation_id = "reset_password"
    )]
    async fn reset(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<PasswordReset>,
    ) -> Result<Replaced, Problem<ResetError>> {
        let PasswordReset {
            token,
            new_password,
        } = body.0;
        let reset = Reset {
            token: token.into_secret(),
            new_password: new_password.into_secret(),
            device,
        };
        reset_password(&identity, reset, identity.clock.now()).await?;
        Ok(Replaced::NoContent)
    }
}
