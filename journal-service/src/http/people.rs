//! `/internal/people`: what identity does when somebody deletes their account.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, types::Example};
use shared::{problem::Problem, serve::DigestedJson, user_id::UserId};
use uuid::Uuid;

use super::{Tag, service_caller::Identity};
use crate::{
    Journal,
    closure::{
        close::close,
        erase::erase,
        refusals::{ClosureError, ReopenError},
        reopen::reopen,
    },
};

/// Nothing more needs to be said.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct Nothing {}

impl Example for Nothing {
    fn example() -> Self {
        Self {}
    }
}

#[derive(ApiResponse)]
enum Done {
    /// Done, now or before.
    #[oai(status = 204)]
    NoContent,
}

/// The operations; the journal comes with the request.
pub(super) struct PeopleApi;

#[OpenApi(prefix_path = "/internal/people", tag = "Tag::People")]
impl PeopleApi {
    /// Close a journal
    ///
    /// For identity alone. From now on nothing of this person is read or written, whatever access tokens still live:
    /// every operation answers 410 `account_closed`.
    #[oai(
        path = "/:user_id/closure",
        method = "put",
        operation_id = "close_journal"
    )]
    async fn close(
        &self,
        journal: Data<&Arc<Journal>>,
        identity: Identity,
        /// The person.
        user_id: Path<Uuid>,
        body: DigestedJson<Nothing>,
    ) -> Result<Done, Problem<ClosureError>> {
        let spent = identity.spend(&journal, body.digest).await;
        spent.map_err(ClosureError::from)?;
        let closed = close(&journal, UserId::new(user_id.0), journal.clock.now()).await;
        closed.map_err(ClosureError::from)?;
        Ok(Done::NoContent)
    }

    /// Open a closed journal again
    ///
    /// For identity alone, while the entries are still there.
    #[oai(
        path = "/:user_id/closure",
        method = "delete",
        operation_id = "reopen_journal"
    )]
    async fn reopen(
        &self,
        journal: Data<&Arc<Journal>>,
        identity: Identity,
        /// The person.
        user_id: Path<Uuid>,
        body: DigestedJson<Nothing>,
    ) -> Result<Done, Problem<ReopenError>> {
        let spent = identity.spend(&journal, body.digest).await;
        spent
            .map_err(ClosureError::from)
            .map_err(ReopenError::from)?;
        reopen(&journal, UserId::new(user_id.0)).await?;
        Ok(Done::NoContent)
    }

    /// Erase a journal
    ///
    /// For identity alone. Every row of this person is deleted. When this has answered, none is left and none comes
    /// back.
    #[oai(path = "/:user_id", method = "delete", operation_id = "erase_journal")]
    async fn erase(
        &self,
        journal: Data<&Arc<Journal>>,
        identity: Identity,
        /// The person.
        user_id: Path<Uuid>,
        body: DigestedJson<Nothing>,
    ) -> Result<Done, Problem<ClosureError>> {
        let spent = identity.spend(&journal, body.digest).await;
        spent.map_err(ClosureError::from)?;
        let erased = erase(&journal, UserId::new(user_id.0), journal.clock.now()).await;
        erased.map_err(ClosureError::from)?;
        Ok(Done::NoContent)
    }
}
