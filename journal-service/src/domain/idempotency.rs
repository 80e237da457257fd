//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request to create something names itself, so that it can
//! be repeated when its answer was lost, and makes one thing.

use sha2::{Digest, Sha256};
use shared::{
    envelope::{DataKey, RecordContext},
    problem::FieldError,
    user_id::UserId,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{content::Content, entry::Revision, pillar::PillarContent, sealed_entry::OWNER};

/// Characters of a key at most.
const LONGEST: usize = 128;

/// What a client calls its request. Never stored.
pub(crate) struct IdempotencyKey(String);

impl IdempotencyKey {
    /// 1 to 128 printable ASCII characters, of which nothing is interpreted.
    pub(crate) fn parse(text: &str) -> Result<Self, FieldError> {
        let is_printable = text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        if is_printable && (1..=LONGEST).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            let wrong = "is not 1 to 128 printable ASCII characters without spaces";
            Err(FieldError::new("header:Idempotency-Key", wrong))
        }
    }

    /// How it is stored.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// What a request asked for, as far as two can be told apart.
#[derive(PartialEq, Eq)]
pub(crate) struct Request([u8; 32]);

impl Request {
    pub(crate) fn of(content: &Content) -> Self {
        let parts = content.parts();
        let mut digest = Sha256::new();
        let mut put = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        put(&parts.date.to_julian_day().to_be_bytes());
        put(parts.title.as_bytes());
        put(parts.body.as_bytes());
        put(&[parts.mood.unwrap_or(0), u8::from(parts.completed)]);
        for tag in &parts.tags {
            put(tag.as_bytes());
        }
        if !parts.pillar_ids.is_empty() {
            // No tag is empty: here they end.
            put(b"");
        }
        for id in &parts.pillar_ids {
            put(id.uuid().as_bytes());
        }
        Self(digest.finalize().into())
    }

    /// No entry is asked for like this, so that one name cannot stand for both.
    pub(crate) fn of_pillar(content: &PillarContent) -> Self {
        let json = serde_json::to_vec(content.parts()).expect("numbers and texts are always JSON");
        Self(
            Sha256::new_with_prefix("pillar")
                .chain_update(&*Zeroizing::new(json))
                .finalize()
                .into(),
        )
    }

    /// For storing beside what it made.
    pub(crate) fn seal(&self, user: UserId, made: Uuid, key: &DataKey) -> Vec<u8> {
        key.seal(&place(user, made), &self.0).expect("32 bytes fit")
    }

    /// What [`Request::seal`] sealed; `None` for anything else.
    pub(crate) fn open(sealed: &[u8], user: UserId, made: Uuid, key: &DataKey) -> Option<Self> {
        let opened = key.open(&place(user, made), sealed).ok()?;
        Some(Self(opened.as_slice().try_into().ok()?))
    }
}

fn place(user: UserId, made: Uuid) -> RecordContext {
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: "idempotency",
        field: "request",
        record_id: made,
        revision: Revision::FIRST.counted(),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::super::{
        content::{
            Draft,
            tests::{draft, pillars},
        },
        pillar,
    };
    use super::*;

    fn request(draft: Draft) -> Request {
        Request::of(&Content::parse(draft).expect("within the limits"))
    }

    #[test]
    fn a_key_is_printable_and_short() {
        for good in ["a", "\"quoted\"", "01J0-~!", &"x".repeat(128)] {
            assert!(IdempotencyKey::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "a b", "a\u{7f}", "é", &"x".repeat(129)] {
            assert!(IdempotencyKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn whatever_differs_is_another_request() {
        let usual = request(draft());
        assert!(usual == request(draft()));
        for other in [
            Draft {
                date: date!(2026 - 11 - 25),
                ..draft()
            },
            Draft {
                title: "A quiet dayD".to_owned(),
                body: "ear diary".to_owned(),
                ..draft()
            },
            Draft {
                mood: None,
                ..draft()
            },
            Draft {
                completed: false,
                ..draft()
            },
            Draft {
                pillar_ids: Vec::new(),
                ..draft()
            },
            Draft {
                pillar_ids: pillars(2),
                ..draft()
            },
            Draft {
                tags: vec!["homewalk".to_owned()],
                ..draft()
            },
            Draft {
                tags: vec!["walk".to_owned(), "home".to_owned()],
                ..draft()
            },
        ] {
            assert!(usual != request(other));
        }
    }

    #[test]
    fn a_pillar_is_another_request_than_any_other_one() {
        let pillar = |draft| Request::of_pillar(&PillarContent::parse(draft).expect("right"));
        let usual = || pillar(pillar::tests::draft());
        assert!(usual() == usual());
        assert!(usual() != request(draft()));
        let archived = pillar::PillarDraft {
            archived: true,
            ..pillar::tests::draft()
        };
        assert!(usual() != pillar(archived));
    }

    #[test]
    fn a_request_opens_beside_its_own_entry_alone() {
        let (ada, key) = (UserId::new(Uuid::from_u128(1)), DataKey::generate(1));
        let (made, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let sealed = request(draft()).seal(ada, made, &key);
        assert!(Request::open(&sealed, ada, made, &key) == Some(request(draft())));
        assert!(Request::open(&sealed, ada, other, &key).is_none());
        assert!(Request::open(&sealed, ada, made, &DataKey::generate(1)).is_none());
    }
}
