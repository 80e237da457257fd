//! A person's set of recovery codes.

use secrecy::SecretString;
use shared::{problem::Unexpected, user_id::UserId};
use tokio_postgres::GenericClient;

use crate::{
    Identity,
    domain::recovery_code::{CODES, RecoveryCode},
    store::second_factors,
};

/// Makes a new set in place of the old one. It can be shown now and never again.
pub(crate) async fn replace(
    identity: &Identity,
    db: &impl GenericClient,
    user: UserId,
) -> Result<Vec<SecretString>, Unexpected> {
    let codes: Vec<_> = (0..CODES).map(|_| RecoveryCode::generate()).collect();
    let hash = |code| identity.secrets.recovery_hash(user, code);
    let hashes: Vec<_> = codes.iter().map(hash).collect();
    let version = identity.secrets.newest();
    second_factors::replace_recovery_codes(db, user, &hashes, version).await?;
    Ok(codes.iter().map(RecoveryCode::shown).collect())
}
