//! The audit of operators: one line of the log for each command that changed something, with ids alone.

use rustix::process::getuid;
use shared::user_id::UserId;
use uuid::Uuid;

/// What was done to whom, and by which user of the operating system.
pub(super) fn audit(command: &'static str, user: Option<UserId>) {
    let user_id = user.map(tracing::field::display);
    let os_uid = getuid().as_raw();
    tracing::info!(
        target: "audit",
        { user.id = user_id, os.uid = os_uid, command },
        "an operator's command"
    );
}

/// The same for the keys of the service, and the one that was named.
pub(super) fn audit_keys(command: &'static str, key: Option<Uuid>) {
    let key_id = key.map(tracing::field::display);
    let os_uid = getuid().as_raw();
    tracing::info!(
        target: "audit",
        { key.id = key_id, os.uid = os_uid, command },
        "an operator's command"
    );
}
