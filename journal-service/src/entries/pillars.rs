//! What entries say of pillars. A pillar that was deleted is left out wherever an entry is shown, so that nobody has to write
//! every entry anew that named it.

use shared::{problem::Unexpected, user_id::UserId};
use tokio_postgres::GenericClient;

use crate::{
    Journal,
    domain::{content::Content, entry::Entry, pillar::PillarId},
    store::pillars,
};

/// Whether all pillars that it names are the person's own.
pub(super) async fn are_known(
    db: &impl GenericClient,
    user: UserId,
    content: &Content,
) -> Result<bool, Unexpected> {
    let named = &content.parts().pillar_ids;
    if named.is_empty() {
        return Ok(true);
    }
    let known = pillars::ids(db, user).await?;
    Ok(named.iter().all(|id| known.contains(id)))
}

/// The entry, naming only pillars that there are.
pub(super) async fn with_known(
    db: &impl GenericClient,
    user: UserId,
    entry: Entry,
) -> Result<Entry, Unexpected> {
    if !names_pillars(&entry) {
        return Ok(entry);
    }
    Ok(entry.with_pillars_among(&pillars::ids(db, user).await?))
}

/// The pillars that there are, when one of the entries names any; nobody is asked when none does.
pub(crate) async fn known(
    journal: &Journal,
    user: UserId,
    mut entries: impl Iterator<Item = &Entry>,
) -> Result<Vec<PillarId>, Unexpected> {
    if !entries.any(names_pillars) {
        return Ok(Vec::new());
    }
    pillars::ids(&*journal.pool.get().await?, user).await
}

fn names_pillars(entry: &Entry) -> bool {
    !entry.content.parts().pillar_ids.is_empty()
}
