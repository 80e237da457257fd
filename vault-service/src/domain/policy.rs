//! Who may do what with whose keys. Whatever its tables do not name is refused.
//!
//! Four readings are not in them, because every service that proves who it is may have them, and they name no person: the
//! seal status, where the audit is, the keys that verify receipts, and which master key wraps, and whether any of one's
//! own keys is under another.

use std::{fmt, str::FromStr};

use thiserror::Error;
use uuid::Uuid;

/// Who may call. Read from the caller's verified certificate and token, never from a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Identity,
    Journal,
    /// The people who run the vault. They own no keys and open none.
    Operator,
}

/// What a key protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What identity keeps about a person.
    Account,
    /// Mail that waits to be sent.
    Outbox,
    /// Identity's token signing keys; the subject is the signing key, not a person.
    SigningKey,
    /// A person's journal.
    Entries,
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Unwrap,
    /// Under a newer master key; gives nothing in the clear.
    Rewrap,
}

impl Operation {
    /// As the audit and the log have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Unwrap => "unwrap",
            Self::Rewrap => "rewrap",
        }
    }
}

/// What must come with the request beside the caller's own credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// Nothing: the caller works for people who are not there, such as when they log in.
    CallerAlone,
    /// A living access token of the person whose key it is, so that a stolen service opens nothing of
    /// people who are not using it right now.
    Person,
}

struct Rule {
    caller: Service,
    operations: &'static [Operation],
    purposes: &'static [Purpose],
    proof: Proof,
}

const KEY_TABLE: &[Rule] = &[
    Rule {
        caller: Service::Identity,
        operations: &[Operation::Create, Operation::Unwrap, Operation::Rewrap],
        purposes: &[Purpose::Account, Purpose::Outbox, Purpose::SigningKey],
        proof: Proof::CallerAlone,
    },
    Rule {
        caller: Service::Journal,
        operations: &[Operation::Create, Operation::Unwrap],
        purposes: &[Purpose::Entries],
        proof: Proof::Person,
    },
    Rule {
        caller: Service::Journal,
        operations: &[Operation::Rewrap],
        purposes: &[Purpose::Entries],
        proof: Proof::CallerAlone,
    },
];

/// What a caller does to a person as a whole: to the keys of every owner at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubjectOperation {
    Shred,
    Restore,
    ReadShred,
    /// What was done with the person's keys, for the person.
    ReadAudit,
}

impl SubjectOperation {
    /// As the audit and the log have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shred => "shred",
            Self::Restore => "restore",
            Self::ReadShred => "read_shred",
            Self::ReadAudit => "read_audit",
        }
    }
}

struct SubjectRule {
    caller: Service,
    operations: &'static [SubjectOperation],
}

const SUBJECT_TABLE: &[SubjectRule] = &[SubjectRule {
    caller: Service::Identity,
    operations: &[
        SubjectOperation::Shred,
        SubjectOperation::Restore,
        SubjectOperation::ReadShred,
        SubjectOperation::ReadAudit,
    ],
}];

/// What a caller does to the master keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MasterKeyOperation {
    /// See every version, and what depends on it.
    Read,
    /// Say that nothing of one's own depends on older ones any more.
    Settle,
    ScheduleDestruction,
    CancelDestruction,
    /// Wipe them from memory.
    Seal,
    /// Bring what opens them.
    Unseal,
}

impl MasterKeyOperation {
    /// As the audit and the log have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read_master_keys",
            Self::Settle => "settle",
            Self::ScheduleDestruction => "schedule_destruction",
            Self::CancelDestruction => "cancel_destruction",
            Self::Seal => "seal",
            Self::Unseal => "unseal",
        }
    }
}

struct MasterKeyRule {
    callers: &'static [Service],
    operations: &'static [MasterKeyOperation],
}

const MASTER_KEY_TABLE: &[MasterKeyRule] = &[
    MasterKeyRule {
        callers: &[Service::Operator],
        operations: &[
            MasterKeyOperation::Read,
            MasterKeyOperation::ScheduleDestruction,
            MasterKeyOperation::CancelDestruction,
            MasterKeyOperation::Seal,
            MasterKeyOperation::Unseal,
        ],
    },
    MasterKeyRule {
        callers: &[Service::Identity, Service::Journal],
        operations: &[MasterKeyOperation::Settle],
    },
];

/// Who asks: the service, and the person whose access token it brought along, if any. Both verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) service: Service,
    pub(crate) person: Option<Uuid>,
}

/// Why the table refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Denied {
    #[error("This service may not do that for this purpose.")]
    NotAllowed,
    #[error("The person's own access token is required in X-User-Token.")]
    PersonMissing,
    #[error("The access token in X-User-Token is another person's.")]
    AnotherPerson,
}

/// Whether `caller` may do `operation` with the `purpose` key of `subject`.
pub(crate) fn allow(
    caller: Caller,
    operation: Operation,
    purpose: Purpose,
    subject: Uuid,
) -> Result<(), Denied> {
    let rule = KEY_TABLE
        .iter()
        .find(|rule| {
            rule.caller == caller.service
                && rule.operations.contains(&operation)
                && rule.purposes.contains(&purpose)
        })
        .ok_or(Denied::NotAllowed)?;
    match (rule.proof, caller.person) {
        (Proof::Person, None) => Err(Denied::PersonMissing),
        (Proof::Person, Some(person)) if person != subject => Err(Denied::AnotherPerson),
        (Proof::CallerAlone, _) | (Proof::Person, Some(_)) => Ok(()),
    }
}

/// Whether `caller` may do `operation` to people. No proof of the person is wanted: accounts are closed by
/// operators, too, and for people who will never be there again.
pub(crate) fn allow_subject(caller: Service, operation: SubjectOperation) -> Result<(), Denied> {
    let allowed = SUBJECT_TABLE
        .iter()
        .any(|rule| rule.caller == caller && rule.operations.contains(&operation));
    if allowed {
        Ok(())
    } else {
        Err(Denied::NotAllowed)
    }
}

/// Whether `caller` may do `operation` to the master keys.
pub(crate) fn allow_master_keys(
    caller: Service,
    operation: MasterKeyOperation,
) -> Result<(), Denied> {
    let allowed = MASTER_KEY_TABLE
        .iter()
        .any(|rule| rule.callers.contains(&caller) && rule.operations.contains(&operation));
    if allowed {
        Ok(())
    } else {
        Err(Denied::NotAllowed)
    }
}

/// A name that is none of the closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown name")]
pub(crate) struct UnknownName;

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Identity, Self::Journal, Self::Operator];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Journal => "journal",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Service {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|service| service.name() == name)
            .ok_or(UnknownName)
    }
}

impl Purpose {
    pub(crate) const ALL: [Self; 4] =
        [Self::Account, Self::Outbox, Self::SigningKey, Self::Entries];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Outbox => "outbox",
            Self::SigningKey => "signing-key",
            Self::Entries => "entries",
        }
    }
}

impl FromStr for Purpose {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.name() == name)
            .ok_or(UnknownName)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_nothing_else_does() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.name().parse(), Ok(purpose));
        }
        for service in Service::ALL {
            assert_eq!(service.name().parse(), Ok(service));
        }
        for name in ["", "Account", "account ", "signing_key", "vault"] {
            assert_eq!(name.parse::<Purpose>(), Err(UnknownName));
            assert_eq!(name.parse::<Service>(), Err(UnknownName));
        }
    }
}
