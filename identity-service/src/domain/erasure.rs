//! The deletion of an account, step by step: what has been done and what comes next.

use shared::user_id::UserId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// The wait before a step that failed is tried again; it doubles up to an hour.
const FIRST_WAIT: Duration = Duration::seconds(2);
const LONGEST_WAIT: Duration = Duration::hours(1);
/// How often it is looked whether what was erased stayed so: a backup may have been restored elsewhere.
const RECHECK: Duration = Duration::hours(1);
/// Services keep opened keys for so long.
const CACHED: Duration = Duration::minutes(5);

/// How long what lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// A deletion can be undone for so long.
    pub(crate) wait: Duration,
    /// Backups are kept for so long.
    pub(crate) backup_retention: Duration,
}

impl Terms {
    /// When the key goes, and when nothing is left that could be opened, backups included.
    pub(crate) fn dates(self, now: OffsetDateTime) -> (OffsetDateTime, OffsetDateTime) {
        let purge_at = now + self.wait;
        (purge_at, purge_at + CACHED + self.backup_retention)
    }
}

/// How far a deletion has come: which step was the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Begun,
    OwnerTold,
    ShredAsked,
    OthersClosed,
    Purged,
    Done,
}

/// A deletion as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Erasure {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) requested_at: OffsetDateTime,
    pub(crate) purge_at: OffsetDateTime,
    pub(crate) total_by: OffsetDateTime,
    pub(crate) stage: Stage,
    pub(crate) attempts: i64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The owner gets a mail: as long as their address can be read.
    TellOwner,
    /// From here on nothing of the person opens.
    AskForShred,
    /// Other services read and write nothing for this person any more.
    CloseOthers,
    /// Until then it can be undone.
    WaitUntil(OffsetDateTime),
    /// The wait is over: the vault destroys the key, and says so.
    Purge,
    /// The rows go, elsewhere first, so that the last to forget is whoever has to remember.
    DeleteRows,
    /// It is done; whoever restored an old backup since is told again.
    Recheck,
}

impl Erasure {
    /// The first step that has not been taken.
    pub(crate) fn next_step(&self, now: OffsetDateTime) -> Step {
        match self.stage {
            Stage::Begun => Step::TellOwner,
            Stage::OwnerTold => Step::AskForShred,
            Stage::ShredAsked => Step::CloseOthers,
            Stage::OthersClosed if now < self.purge_at => Step::WaitUntil(self.purge_at),
            Stage::OthersClosed => Step::Purge,
            Stage::Purged => Step::DeleteRows,
            Stage::Done => Step::Recheck,
        }
    }

    /// Whether it can still be undone.
    pub(crate) fn is_undoable(&self, now: OffsetDateTime) -> bool {
        !matches!(self.stage, Stage::Purged | Stage::Done) && now < self.purge_at
    }

    /// When a step that failed is tried again.
    pub(crate) fn try_again_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        let doublings = u32::try_from(self.attempts.clamp(0, 16)).unwrap_or(16);
        now + (FIRST_WAIT * 2_i32.pow(doublings)).min(LONGEST_WAIT)
    }

    /// When it is looked again whether it lasts; `None` once no backup can undo it.
    pub(crate) fn recheck_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        Some(now + RECHECK).filter(|at| *at <= self.total_by)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

    fn asked_for() -> Erasure {
        let terms = Terms {
            wait: Duration::days(7),
            backup_retention: Duration::days(30),
        };
        let (purge_at, total_by) = terms.dates(NOW);
        Erasure {
            id: Uuid::from_u128(1),
            user_id: UserId::new(Uuid::from_u128(2)),
            requested_at: NOW,
            purge_at,
            total_by,
            stage: Stage::Begun,
            attempts: 0,
        }
    }

    #[test]
    fn every_step_comes_once_and_in_order() {
        let mut erasure = asked_for();
        assert_eq!(erasure.next_step(NOW), Step::TellOwner);
        erasure.stage = Stage::OwnerTold;
        assert_eq!(erasure.next_step(NOW), Step::AskForShred);
        erasure.stage = Stage::ShredAsked;
        assert_eq!(erasure.next_step(NOW), Step::CloseOthers);
        erasure.stage = Stage::OthersClosed;
        let until = NOW + Duration::days(7);
        assert_eq!(erasure.next_step(NOW), Step::WaitUntil(until));
        assert_eq!(erasure.next_step(until), Step::Purge);
        erasure.stage = Stage::Purged;
        assert_eq!(erasure.next_step(until), Step::DeleteRows);
        erasure.stage = Stage::Done;
        assert_eq!(erasure.next_step(until), Step::Recheck);
    }

    #[test]
    fn however_late_it_is_no_step_is_left_out() {
        let erasure = asked_for();
        assert_eq!(erasure.next_step(erasure.total_by), Step::TellOwner);
    }

    #[test]
    fn it_can_be_undone_until_the_key_goes_and_not_longer() {
        let mut erasure = asked_for();
        let last = erasure.purge_at - Duration::MICROSECOND;
        assert!(erasure.is_undoable(NOW) && erasure.is_undoable(last));
        assert!(!erasure.is_undoable(erasure.purge_at));
        erasure.stage = Stage::Purged;
        assert!(!erasure.is_undoable(NOW));
    }

    #[test]
    fn tries_come_less_and_less_often_and_never_stop() {
        let mut erasure = asked_for();
        let waits = [0, 1, 2, 10, 11, 12, 1_000_000, i64::MAX].map(|attempts| {
            erasure.attempts = attempts;
            (erasure.try_again_at(NOW) - NOW).whole_seconds()
        });
        assert_eq!(waits, [2, 4, 8, 2048, 3600, 3600, 3600, 3600]);
    }

    #[test]
    fn it_is_total_when_the_last_backup_is_gone_and_looked_at_until_then() {
        let erasure = asked_for();
        let days = (erasure.total_by - NOW).whole_days();
        assert_eq!(days, 37);
        // Services keep an opened key in memory for five minutes at most.
        let kept = erasure.total_by - erasure.purge_at;
        assert!(kept >= Duration::days(30) + Duration::minutes(5));
        assert_eq!(erasure.recheck_at(NOW), Some(NOW + Duration::HOUR));
        assert_eq!(erasure.recheck_at(erasure.total_by), None);
    }
}
