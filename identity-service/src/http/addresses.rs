//! `/api/auth/email`: another address for an account.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, types::Example};
use shared::{access_token::Caller, problem::Problem, serve::Json};

use super::{
    Tag,
    accounts::EXAMPLE_PASSWORD,
    cookies::{self, Page, SessionKind},
    mfa::EXAMPLE_CODE,
    secret_text::SecretText,
    sessions::EXAMPLE_DEVICE,
};
use crate::{
    Identity,
    change_email::{ChangeEmailError, Wish, change_email},
    change_mfa::Proofs,
    confirm_email::{ConfirmEmailError, Confirmation, confirm_email},
    device::Device,
};

const EXAMPLE_NEW_EMAIL: &str = "ada.lovelace@example.com";
const EXAMPLE_TOKEN: &str =
    "kst_e_AZq08HwAcACAAAAAAAAAAeGW0NJibd6wtaFZ_Mj6l5Nrh7OnS4FnwHk4gc0cezXD";

/// The password, a second factor when the account has one, and the address to be.
#[derive(Object)]
#[oai(example)]
struct AddressWish {
    /// The one that the account has.
    password: SecretText,
    /// Six digits from the authenticator app.
    code: Option<SecretText>,
    /// Instead of `code`.
    recovery_code: Option<SecretText>,
    /// Where the confirmation goes.
    #[oai(validator(max_length = 254))]
    new_email: String,
}

impl Example for AddressWish {
    fn example() -> Self {
        Self {
            password: SecretText::example(EXAMPLE_PASSWORD),
            code: Some(SecretText::example(EXAMPLE_CODE)),
            recovery_code: None,
            new_email: EXAMPLE_NEW_EMAIL.to_owned(),
        }
    }
}

/// The token from the mail to the new address.
#[derive(Object)]
#[oai(example)]
struct AddressToken {
    /// From the link in the mail to the new address. Good once.
    token: SecretText,
    /// Where the device token goes.
    #[oai(default)]
    session: SessionKind,
}

impl Example for AddressToken {
    fn example() -> Self {
        Self {
            token: SecretText::example(EXAMPLE_TOKEN),
            session: SessionKind::Token,
        }
    }
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum WishStatus {
    /// If the address can be written to, whoever reads its mails has mail.
    ConfirmationSent,
}

/// What became of the wish, in public.
#[derive(Object)]
#[oai(example)]
struct ConfirmationMail {
    status: WishStatus,
}

impl Example for ConfirmationMail {
    fn example() -> Self {
        Self {
            status: WishStatus::ConfirmationSent,
        }
    }
}

#[derive(Clone, Copy, Enum)]
#[oai(rename_all = "snake_case")]
enum AddressStatus {
    /// The account has the new address from now on.
    Changed,
}

/// The new address is confirmed.
#[derive(Object)]
#[oai(example)]
struct AddressChanged {
    status: AddressStatus,
    /// For the next login on this device, in the place of the one it has. Not for a cookie session.
    #[oai(skip_serializing_if_is_none)]
    device_token: Option<String>,
}

impl Example for AddressChanged {
    fn example() -> Self {
        Self {
            status: AddressStatus::Changed,
            device_token: Some(EXAMPLE_DEVICE.to_owned()),
        }
    }
}

#[derive(ApiResponse)]
enum Asked {
    /// Accepted: the same for every address.
    #[oai(status = 202)]
    Accepted(Json<ConfirmationMail>),
}

/// Addresses; the service comes with the request.
pub(super) struct AddressesApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Accounts")]
impl AddressesApi {
    /// Ask for another address
    ///
    /// Takes the password again, and a code or a recovery code when the account has a second factor. Mails the new
    /// address a token that is good for 30 minutes, once; nothing changes until then. The owner of an account that has
    /// the address already gets a notice instead; the answer is the same. A change of the password, logging out
    /// everywhere and another change of the address make the token void.
    #[oai(path = "/email", method = "post", operation_id = "change_email")]
    async fn change(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<AddressWish>,
    ) -> Result<Asked, Problem<ChangeEmailError>> {
        let AddressWish {
            password,
            code,
            recovery_code,
            new_email,
        } = body.0;
        let proofs = Proofs {
            password: password.into_secret(),
            code: code.map(SecretText::into_secret),
            recovery_code: recovery_code.map(SecretText::into_secret),
            device,
        };
        let wish = Wish { new_email, proofs };
        change_email(&identity, &caller, wish, identity.clock.now()).await?;
        Ok(Asked::Accepted(Json(ConfirmationMail {
            status: WishStatus::ConfirmationSent,
        })))
    }

    /// Confirm another address
    ///
    /// The account logs in with the new address from now on, and the old one gets a notice. Sessions go on. Mails to
    /// choose a new password, logins that wait for their second factor and device tokens from before are void; this
    /// device gets a new one.
    #[oai(
        path = "/email/confirm",
        method = "post",
        operation_id = "confirm_email"
    )]
    async fn confirm(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        page: Page,
        body: Json<AddressToken>,
    ) -> Result<Json<AddressChanged>, Problem<ConfirmEmailError>> {
        let carrier = body.0.session.into();
        let admitted = page.admit(carrier);
        admitted.map_err(|_| ConfirmEmailError::CrossSite)?;
        let confirmation = Confirmation {
            token: body.0.token.into_secret(),
            device,
        };
        let device_token = confirm_email(&identity, confirmation, identity.clock.now()).await?;
        Ok(Json(AddressChanged {
            status: AddressStatus::Changed,
            device_token: cookies::hand_over(&device_token, carrier),
        }))
    }
}
