//! What the vault knows without a database, a socket or a clock: keys, bytes and who may do what.

pub(crate) mod attempts;
pub(crate) mod audit_chain;
pub(crate) mod kept_audit_key;
pub(crate) mod keyring;
pub(crate) mod limits;
mod locked_memory;
mod own_secret;
pub(crate) mod policy;
pub(crate) mod receipt;
pub(crate) mod sealed_keyring;
pub(crate) mod share;
pub(crate) mod shred;
pub(crate) mod slot;
pub(crate) mod wrapped_key;

#[cfg(test)]
pub(crate) mod hostile;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod whole_policy;
