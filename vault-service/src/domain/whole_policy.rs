//! Every question that the policy can be asked, and its answer: whoever changes a rule has to change it here, too.

use uuid::Uuid;

use super::policy::{
    Caller, Denied, MasterKeyOperation as M, Operation, Purpose, Service, SubjectOperation as S,
    allow, allow_master_keys, allow_subject,
};

const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);

/// The answers for Ada's key when nobody's access token comes along, hers, and Bob's.
type ForAda = [Result<(), Denied>; 3];

const ALONE: ForAda = [Ok(()); 3];
const NEVER: ForAda = [Err(Denied::NotAllowed); 3];
const HERSELF: ForAda = [
    Err(Denied::PersonMissing),
    Ok(()),
    Err(Denied::AnotherPerson),
];

const PURPOSES: [Purpose; 4] = [
    Purpose::Account,
    Purpose::Outbox,
    Purpose::SigningKey,
    Purpose::Entries,
];
const KEYS: [(Service, Operation, [ForAda; 4]); 9] = [
    (
        Service::Identity,
        Operation::Create,
        [ALONE, ALONE, ALONE, NEVER],
    ),
    (
        Service::Identity,
        Operation::Unwrap,
        [ALONE, ALONE, ALONE, NEVER],
    ),
    (
        Service::Identity,
        Operation::Rewrap,
        [ALONE, ALONE, ALONE, NEVER],
    ),
    (
        Service::Journal,
        Operation::Create,
        [NEVER, NEVER, NEVER, HERSELF],
    ),
    (
        Service::Journal,
        Operation::Unwrap,
        [NEVER, NEVER, NEVER, HERSELF],
    ),
    (
        Service::Journal,
        Operation::Rewrap,
        [NEVER, NEVER, NEVER, ALONE],
    ),
    (Service::Operator, Operation::Create, [NEVER; 4]),
    (Service::Operator, Operation::Unwrap, [NEVER; 4]),
    (Service::Operator, Operation::Rewrap, [NEVER; 4]),
];

const SUBJECT_OPERATIONS: [S; 4] = [S::Shred, S::Restore, S::ReadShred, S::ReadAudit];
const SUBJECTS: [(Service, [bool; 4]); 3] = [
    (Service::Identity, [true; 4]),
    (Service::Journal, [false; 4]),
    (Service::Operator, [false; 4]),
];

const MASTER_KEY_OPERATIONS: [M; 6] = [
    M::Read,
    M::ScheduleDestruction,
    M::CancelDestruction,
    M::Seal,
    M::Unseal,
    M::Settle,
];
const MASTER_KEYS: [(Service, [bool; 6]); 3] = [
    (Service::Identity, [false, false, false, false, false, true]),
    (Service::Journal, [false, false, false, false, false, true]),
    (Service::Operator, [true, true, true, true, true, false]),
];

#[test]
fn keys_are_made_opened_and_wrapped_anew_by_their_owners_and_as_the_table_says() {
    for (service, operation, answers) in KEYS {
        for (purpose, answers) in PURPOSES.into_iter().zip(answers) {
            for (person, answer) in [None, Some(ADA), Some(BOB)].into_iter().zip(answers) {
                let caller = Caller { service, person };
                let allowed = allow(caller, operation, purpose, ADA);
                assert_eq!(
                    allowed, answer,
                    "{service} {operation:?} {purpose} {person:?}"
                );
            }
        }
    }
}

#[test]
fn people_are_shredded_by_identity_alone() {
    for (service, answers) in SUBJECTS {
        for (operation, answer) in SUBJECT_OPERATIONS.into_iter().zip(answers) {
            let allowed = allow_subject(service, operation).is_ok();
            assert_eq!(allowed, answer, "{service} {operation:?}");
        }
    }
}

#[test]
fn the_operator_minds_the_master_keys_and_owners_say_what_they_keep() {
    for (service, answers) in MASTER_KEYS {
        for (operation, answer) in MASTER_KEY_OPERATIONS.into_iter().zip(answers) {
            let allowed = allow_master_keys(service, operation).is_ok();
            assert_eq!(allowed, answer, "{service} {operation:?}");
        }
    }
}
