//! `/api/auth/account`: leaving for good.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, types::Example};
use shared::{access_token::Caller, problem::Problem, serve::Json};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

use super::{Tag, accounts::EXAMPLE_PASSWORD, cookies, mfa::EXAMPLE_CODE, secret_text::SecretText};
use crate::{
    Identity,
    change_mfa::Proofs,
    delete_account::{DeleteError, delete_account},
    device::Device,
    domain::erasure,
};

/// The password, and a second factor when the account has one.
#[derive(Object)]
#[oai(example)]
struct DeleteAccount {
    password: SecretText,
    /// Six digits from the authenticator app.
    code: Option<SecretText>,
    /// Instead of `code`.
    recovery_code: Option<SecretText>,
}

impl Example for DeleteAccount {
    fn example() -> Self {
        Self {
            password: SecretText::example(EXAMPLE_PASSWORD),
            code: Some(SecretText::example(EXAMPLE_CODE)),
            recovery_code: None,
        }
    }
}

/// A deletion that has begun.
#[derive(Object)]
#[oai(example)]
struct Erasure {
    /// To refer to it. The person is told by mail until when whoever runs the service can undo it.
    erasure_id: Uuid,
    /// When nothing is left, in no backup either, that could be opened.
    total_by: OffsetDateTime,
}

impl Example for Erasure {
    fn example() -> Self {
        Self {
            erasure_id: Uuid::from_u128(0x019a_b4f0_7c00_7000_8000_0000_0000_00f1),
            total_by: datetime!(2026-12-31 21:09:05.123456 UTC),
        }
    }
}

impl From<erasure::Erasure> for Erasure {
    fn from(erasure: erasure::Erasure) -> Self {
        Self {
            erasure_id: erasure.id,
            total_by: erasure.total_by,
        }
    }
}

#[derive(ApiResponse)]
enum Deleting {
    /// The account is closed; what belongs to it goes step by step.
    #[oai(status = 202)]
    Accepted(Json<Erasure>),
}

/// The deletion of an account; the service comes with the request.
pub(super) struct DeletionApi;

#[OpenApi(prefix_path = "/api/auth", tag = "Tag::Accounts")]
impl DeletionApi {
    /// Delete the account
    ///
    /// Takes the password again, and a code or a recovery code when the account has a second factor. Every session ends,
    /// nothing leads into the account any more, and its address is free. Then the person's keys are destroyed, which
    /// makes every copy of their data unreadable, and the data itself is deleted, here and at the journal.
    #[oai(path = "/account", method = "delete", operation_id = "delete_account")]
    async fn delete_account(
        &self,
        caller: Caller,
        identity: Data<&Arc<Identity>>,
        device: Device,
        body: Json<DeleteAccount>,
    ) -> Result<Deleting, Problem<DeleteError>> {
        let DeleteAccount {
            password,
            code,
            recovery_code,
        } = body.0;
        let proofs = Proofs {
            password: password.into_secret(),
            code: code.map(SecretText::into_secret),
            recovery_code: recovery_code.map(SecretText::into_secret),
            device,
        };
        let begun = delete_account(&identity, &caller, proofs, identity.clock.now()).await?;
        cookies::clear_if_used_by(&caller);
        Ok(Deleting::Accepted(Json(begun.into())))
    }
}
