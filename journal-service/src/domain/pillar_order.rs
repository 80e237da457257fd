//! In which order somebody has put their pillars: all of it in one sealed record, so that no place can be taken twice and no
//! pillar lost, whatever happens at the same time.

use std::collections::HashSet;

use shared::{
    envelope::{DataKey, RecordContext},
    user_id::UserId,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    entry::Revision,
    pillar::PillarId,
    sealed_entry::{OWNER, Unopened},
    sealed_json::{self, micros},
};

/// The row of `pillar_orders`.
pub(crate) struct SealedOrder {
    pub(crate) revision: Revision,
    /// `None` when the stored one is none that a clock shows.
    pub(crate) updated_at: Option<OffsetDateTime>,
    pub(crate) order: Vec<u8>,
}

impl SealedOrder {
    pub(crate) fn seal(
        order: &[PillarId],
        revision: Revision,
        updated_at: OffsetDateTime,
        user: UserId,
        key: &DataKey,
    ) -> Self {
        let clear = [micros(updated_at)];
        Self {
            revision,
            updated_at: Some(updated_at),
            order: sealed_json::seal(key, &place(user, revision), &clear, &order),
        }
    }

    pub(crate) fn open(&self, user: UserId, key: &DataKey) -> Result<Vec<PillarId>, Unopened> {
        let clear = self.updated_at.map(|at| [micros(at)]);
        let clear = clear.as_ref().map(<[i64; 1]>::as_slice);
        sealed_json::open(key, &place(user, self.revision), clear, &self.order)
    }
}

/// All pillars that there are, as the person has put them; what came after that stands at the end, the newest last.
pub(crate) fn ordered(mut pillars: Vec<PillarId>, order: &[PillarId]) -> Vec<PillarId> {
    pillars.sort_unstable();
    let mut missing: HashSet<_> = pillars.iter().copied().collect();
    let mut ordered: Vec<_> = order
        .iter()
        .copied()
        .filter(|id| missing.remove(id))
        .collect();
    ordered.extend(pillars.iter().filter(|id| missing.contains(id)));
    ordered
}

/// Whether the order names each of these pillars once, and nothing else.
pub(crate) fn is_complete(order: &[PillarId], mut pillars: Vec<PillarId>) -> bool {
    let mut named = order.to_vec();
    named.sort_unstable();
    pillars.sort_unstable();
    named == pillars
}

fn place(user: UserId, revision: Revision) -> RecordContext {
    RecordContext {
        owner: OWNER,
        subject: user.uuid(),
        collection: "pillar_order",
        field: "order",
        record_id: Uuid::nil(),
        revision: revision.counted(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);

    fn ids(numbers: &[u128]) -> Vec<PillarId> {
        let id = |number: &u128| PillarId::new(Uuid::from_u128(*number));
        numbers.iter().map(id).collect()
    }

    #[test]
    fn what_is_gone_is_left_out_and_what_is_new_stands_at_the_end() {
        let now = ordered(ids(&[5, 4, 2, 1]), &ids(&[2, 3, 1]));
        assert_eq!(now, ids(&[2, 1, 4, 5]));
        assert_eq!(ordered(ids(&[2, 1]), &ids(&[2, 2, 1, 2])), ids(&[2, 1]));
    }

    #[test]
    fn an_order_is_complete_when_it_names_each_pillar_once() {
        assert!(is_complete(&ids(&[2, 1, 3]), ids(&[1, 2, 3])));
        for other in [&[1, 2][..], &[1, 2, 3, 4], &[1, 2, 2], &[1, 2, 4], &[]] {
            assert!(!is_complete(&ids(other), ids(&[1, 2, 3])));
        }
    }

    #[test]
    fn it_opens_for_its_person_revision_and_time_alone() {
        let (ada, bob) = (
            UserId::new(Uuid::from_u128(1)),
            UserId::new(Uuid::from_u128(2)),
        );
        let key = DataKey::generate(1);
        let sealed = || SealedOrder::seal(&ids(&[2, 1]), Revision::FIRST, NOW, ada, &key);
        assert_eq!(sealed().open(ada, &key).ok(), Some(ids(&[2, 1])));
        assert!(sealed().open(bob, &key).is_err());
        for moved in [
            SealedOrder {
                revision: Revision::FIRST.next(),
                ..sealed()
            },
            SealedOrder {
                updated_at: None,
                ..sealed()
            },
            SealedOrder {
                updated_at: Some(datetime!(2026-11-24 08:01 UTC)),
                ..sealed()
            },
        ] {
            assert!(moved.open(ada, &key).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_pillar_has_one_place_whatever_the_order_says(
            pillars in prop::collection::hash_set(0..50u128, 0..30), order in prop::collection::vec(0..60u128, 0..40),
        ) {
            let pillars: Vec<_> = pillars.into_iter().collect();
            let placed = ordered(ids(&pillars), &ids(&order));
            prop_assert!(is_complete(&placed, ids(&pillars)));
        }
    }
}
