//! Who may do what with whose keys. Whatever its tables do not name is refused.

use std::{fmt, str::FromStr};

use thiserror::Error;
use uuid::Uuid;

/// A service that owns keys. Read from the caller's verified certificate and token, never from a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Identity,
    Journal,
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
        operations: &[Operation::Create, Operation::Unwrap],
        purposes: &[Purpose::Account, Purpose::Outbox, Purpose::SigningKey],
        proof: Proof::CallerAlone,
    },
    Rule {
        caller: Service::Journal,
        operations: &[Operation::Create, Operation::Unwrap],
        purposes: &[Purpose::Entries],
        proof: Proof::Person,
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

/// A name that is none of the closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("unknown name")]
pub(crate) struct UnknownName;

impl Service {
    pub(crate) const ALL: [Self; 2] = [Self::Identity, Self::Journal];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Journal => "journal",
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

    const ADA: Uuid = Uuid::from_u128(1);
    const BOB: Uuid = Uuid::from_u128(2);

    fn ask(service: Service, person: Option<Uuid>, purpose: Purpose) -> Result<(), Denied> {
        let caller = Caller { service, person };
        let answers = [Operation::Create, Operation::Unwrap]
            .map(|operation| allow(caller, operation, purpose, ADA));
        assert_eq!(
            answers[0], answers[1],
            "creating and unwrapping follow one rule"
        );
        answers[0]
    }

    #[test]
    fn identity_works_alone_on_its_own_purposes_and_on_no_other() {
        for purpose in [Purpose::Account, Purpose::Outbox, Purpose::SigningKey] {
            assert_eq!(ask(Service::Identity, None, purpose), Ok(()));
        }
        for person in [None, Some(ADA), Some(BOB)] {
            assert_eq!(
                ask(Service::Identity, person, Purpose::Entries),
                Err(Denied::NotAllowed)
            );
        }
    }

    #[test]
    fn journal_needs_the_person_and_has_one_purpose() {
        assert_eq!(ask(Service::Journal, Some(ADA), Purpose::Entries), Ok(()));
        assert_eq!(
            ask(Service::Journal, None, Purpose::Entries),
            Err(Denied::PersonMissing)
        );
        assert_eq!(
            ask(Service::Journal, Some(BOB), Purpose::Entries),
            Err(Denied::AnotherPerson)
        );
        for purpose in [Purpose::Account, Purpose::Outbox, Purpose::SigningKey] {
            assert_eq!(
                ask(Service::Journal, Some(ADA), purpose),
                Err(Denied::NotAllowed)
            );
        }
    }

    #[test]
    fn identity_alone_shreds_and_restores() {
        for operation in [
            SubjectOperation::Shred,
            SubjectOperation::Restore,
            SubjectOperation::ReadShred,
        ] {
            assert_eq!(allow_subject(Service::Identity, operation), Ok(()));
            assert_eq!(
                allow_subject(Service::Journal, operation),
                Err(Denied::NotAllowed)
            );
        }
    }

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
