//! `/api/auth`: the second factor.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use secrecy::{ExposeSecret, SecretString};
use shared::{access_token::Caller, problem::Problem, serve::Json};

use super::{
    Tag,
    accounts::EXAMPLE_PASSWORD,
    cookies::{Page, SessionKind},
    qr_code,
    secret_text::SecretText,
    sessions::{EXAMPLE_MFA, NewSession},
};
use crate::{
    Identity,
    change_mfa::{ChangeError, Proofs, disable_totp, replace_recovery_codes},
    confirm_totp::{ConfirmError, confirm_totp},
    device::Device,
    domain::totp::Provisioning,
    enrol_totp::{EnrolError, enrol_totp},
    verify_mfa::{Attempt, VerifyMfaError, verify_mfa},
};

pub(super) const EXAMPLE_CODE: &str = "287082";
const EXAMPLE_RECOVERY_CODE: &str = "7k3m-q9vd-0xhc";
const EXAMPLE_URI: &str = "otpauth://totp/Example:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example";

/// The token of a login, and one of the two codes.
#[derive(Object)]
#[oai(example)]
struct VerifyMfa {
    /// From the answer of `login`.
    mfa_token: SecretText,
    /// Six digits from the authenticator app. Good once, and half a minute longer than the app shows them.
    code: Option<SecretText>,
    /// Instead of `code`. Good once; hyphens and case make no difference.
    recovery_code: Option<SecretText>,
    /// Where the tokens go.
    #[oai(default)]
    session: SessionKind,
}

impl Example for VerifyMfa {
    fn example() -> Self {
        Self {
            mfa_token: SecretText::example(EXAMPLE_MFA),
            code: Some(SecretText::example(EXAMPLE_CODE)),
            recovery_code: None,
            session: SessionKind::Token,
        }
    }
}

/// The password of the account.
#[derive(Object)]
#[oai(example)]
struct Enrol {
    /// The one that the account has.
    password: SecretText,
}

impl Example for Enrol {
    fn example() -> Self {
        Self {
            password: SecretText::example(EXAMPLE_PASSWORD),
        }
    }
}

/// The secret for an authenticator app, in three forms. It is shown once.
#[derive(Object)]
#[oai(example)]
struct Enrolment {
    /// 160 bits in base 32, for typing.
    secret: String,
    /// For a link on the telephone itself.
    otpauth_uri: String,
    /// `otpauth_uri` as a QR code: an SVG document without scripts and styles.
    qr_svg: String,
}

impl Example for Enrolment {
    fn example() -> Self {
        Self {
            secret: "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned(),
            otpauth_uri: EXAMPLE_URI.to_owned(),
            qr_svg: r#"<svg role="img" aria-label="QR code for an authenticator app" viewBox="0 0 53 53" xmlns="http://www.w3.org/2000/svg"></svg>"#.to_owned(),
        }
    }
}

impl From<Provisioning> for Enrolment {
    fn from(told: Provisioning) -> Self {
        let uri = told.uri.expose_secret();
        Self {
            secret: told.secret.expose_secret().to_owned(),
            otpauth_uri: uri.to_owned(),
            qr_svg: qr_code::svg(uri, "QR code for an authenticator app"),
        }
    }
}

/// A code of the new authenticator.
#[derive(Object)]
#[oai(example)]
struct Confirm {
    /// Six digits from the authenticator app that was just set up.
    code: SecretText,
}

impl Example for Confirm {
    fn example() -> Self {
        Self {
            code: SecretText::example(EXAMPLE_CODE),
        }
    }
}

/// Ten codes for the day the authenticator is gone. They are shown once, and each is good once.
#[derive(Object)]
#[oai(example)]
struct RecoveryCodes {
    /// Each good once in the place of a code of the app. Shown this once.
    #[oai(validator(min_items = 10, max_items = 10))]
    recovery_codes: Vec<String>,
}

impl Example for RecoveryCodes {
    fn example() -> Self {
        Self {
            recovery_codes: [
                EXAMPLE_RECOVERY_CODE,
                "x5rt-8w2n-ga1j",
                "0bfz-64yc-smpe",
                "d9qh-3vkt-w7xr",
                "n2ga-j0be-85zf",
                "yc46-pesm-qhd9",
                "ktv3-xrw7-agn2",
                "eb0j-fz85-46yc",
                "smpe-d9qh-3vkt",
                "w7xr-n2ga-j0be",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }
}

impl From<Vec<SecretString>> for RecoveryCodes {
    fn from(codes: Vec<SecretString>) -> Self {
        let exposed = |code: &SecretString| code.expose_secret().to_owned();
        Self {
            recovery_codes: codes.iter().map(exposed).collect(),
        }
    }
}

/// Both factors: the password, and one of the two codes.
#[derive(Object)]
#[oai(example)]
struct BothFactors {
    /// The one that the account has.
    password: SecretText,
    /// Six digits from the authenticator app.
    code: Option<SecretText>,
    /// Instead of `code`.
    recovery_code: Option<SecretText>,
}

impl Example for BothFactors {
    fn example() -> Self {
        Self {
            password: SecretText::example(EXAMPLE_PASSWORD),
            code: Some(SecretText::example(EXAMPLE_CODE)),
            recovery_code: None,
        }
    }
}

impl BothFactors {
    fn shown_from(self, device: Device) -> Proofs {
        Proofs {
            password: self.password.into_secret(),
            code: self.code.map(SecretText::into_secret),
            recovery_code: self.recovery_code.map(SecretText::into_secret),
            device,
        }
    }
}

#[derive(ApiResponse)]
enum Disabled {
    /// Logging in needs the password alone.
    #[oai(status = 204)]
    NoContent,
}

/// The second factor; the service comes with the request.
pub(super) struct MfaApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::SecondFactor")]
impl MfaApi {
    /// Log in with the second factor
    ///
    /// Answers a login that answered `mfa_required`. Three wrong codes end the challenge; every fifth wrong code in a
    /// row makes the account wait, 15 minutes at first and a day at most.
    #[oai(path = "/verify-mfa", method = "post", operation_id = "verify_mfa")]
    async fn verify_mfa(
        &self,
        identity: Data<&Arc<Identity>>,
        device: Device,
        page: Page,
        body: Json<VerifyMfa>,
    ) -> Result<Json<NewSession>, Problem<VerifyMfaError>> {
        let VerifyMfa {
            mfa_token,
            code,
            recovery_code,
            session,
        } = body.0;
        let carrier = session.into();
        page.admit(carrier).map_err(|_| VerifyMfaError::CrossSite)?;
        let attempt = Attempt {
            mfa_token: mfa_token.into_secret(),
            code: code.map(SecretText::into_secret),
            recovery_code: recovery_code.map(SecretText::into_secret),
            device,
            carrier,
        };
        let opened = verify_mfa(&identity, attempt, identity.clock.now()).await?;
        Ok(Json(NewSession::carrying(opened)))
    }

    /// Set up an authenticator app
    ///
    /// Nothing changes until a code of it is confirmed, within an hour. Replaces a secret that was not confirmed; a
    /// confirmed authenticator has to be removed first.
    #[oai(path = "/mfa/totp", method = "post", operation_id = "enrol_totp")]
    async fn enrol_totp(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<Enrol>,
    ) -> Result<Json<Enrolment>, Problem<EnrolError>> {
        let password = body.0.password.into_secret();
        let now = identity.clock.now();
        let told = enrol_totp(&identity, &caller, &password, &device, now).await?;
        Ok(Json(told.into()))
    }

    /// Confirm the authenticator app
    ///
    /// Logging in needs a code from now on. The code shown here is used up.
    #[oai(
        path = "/mfa/totp/confirm",
        method = "post",
        operation_id = "confirm_totp"
    )]
    async fn confirm_totp(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<Confirm>,
    ) -> Result<Json<RecoveryCodes>, Problem<ConfirmError>> {
        let code = body.0.code.into_secret();
        let codes = confirm_totp(&identity, &caller, &code, device, identity.clock.now()).await?;
        Ok(Json(codes.into()))
    }

    /// Remove the authenticator app
    ///
    /// The recovery codes go with it.
    #[oai(path = "/mfa/totp", method = "delete", operation_id = "disable_totp")]
    async fn disable_totp(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<BothFactors>,
    ) -> Result<Disabled, Problem<ChangeError>> {
        let proofs = body.0.shown_from(device);
        disable_totp(&identity, &caller, proofs, identity.clock.now()).await?;
        Ok(Disabled::NoContent)
    }

    /// Get new recovery codes
    ///
    /// All from before are void.
    #[oai(
        path = "/mfa/recovery-codes",
        method = "post",
        operation_id = "replace_recovery_codes"
    )]
    async fn replace_recovery_codes(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<BothFactors>,
    ) -> Result<Json<RecoveryCodes>, Problem<ChangeError>> {
        let proofs = body.0.shown_from(device);
        let codes =
            replace_recovery_codes(&identity, &caller, proofs, identity.clock.now()).await?;
        Ok(Json(codes.into()))
    }
}
