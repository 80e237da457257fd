//! Refresh tokens: a session, whose it is, a counter and a MAC. The database keeps the counter, and no token; a session
//! that somebody with access to the table gave to another person is not continued.
//!
//! ```text
//! presented = current          → the counter advances; the answer carries the next token
//! presented = current - 1      → within 30 s of the last advance: the same current token again
//!                                (two tabs at once, or an answer that was lost)
//! anything else                → somebody holds an old copy: the session ends (RFC 9700 §4.14.2)
//! ```

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use shared::user_id::UserId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    secret_keys::SecretKeys,
    token_type::{NotOurs, without_prefix},
};

const PREFIX: &str = "kst_r_";
const DOMAIN: &[u8] = b"identity/v1/refresh-token";
const MAC: usize = 32;
/// How long the predecessor still gets the current token.
const GRACE: Duration = Duration::seconds(30);

/// What a genuine refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) session_id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) counter: u64,
}

impl Presented {
    /// `kst_r_` and base64url of `session (16) || person (16) || counter (8, big endian) || HMAC-SHA-256 (32)`.
    pub(crate) fn seal(&self, keys: &SecretKeys) -> SecretString {
        let (session, person) = (self.session_id.as_bytes(), self.user_id.uuid().into_bytes());
        let counter = self.counter.to_be_bytes();
        let mac = keys.refresh_mac(&[DOMAIN, session, &person, &counter]);
        let bytes = [session.as_slice(), &person, &counter, &mac].concat();
        format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)).into()
    }

    /// Reads a token whose MAC one of our keys made.
    pub(crate) fn open(token: &str, keys: &SecretKeys) -> Result<Self, NotOurs> {
        let encoded = without_prefix(token, PREFIX)?;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| NotOurs::Invalid)?;
        let (session, rest) = bytes.split_first_chunk::<16>().ok_or(NotOurs::Invalid)?;
        let (person, rest) = rest.split_first_chunk::<16>().ok_or(NotOurs::Invalid)?;
        let (counter, mac) = rest.split_first_chunk::<8>().ok_or(NotOurs::Invalid)?;
        if mac.len() != MAC || !keys.verifies_refresh_mac(&[DOMAIN, session, person, counter], mac)
        {
            return Err(NotOurs::Invalid);
        }
        Ok(Self {
            session_id: Uuid::from_bytes(*session),
            user_id: UserId::new(Uuid::from_bytes(*person)),
            counter: u64::from_be_bytes(*counter),
        })
    }
}

/// A session as its row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The counter of the token that is good now.
    pub(crate) counter: u64,
    /// When it last advanced; at first, when the session was opened.
    pub(crate) advanced_at: OffsetDateTime,
    /// The end of the session however busy it is.
    pub(crate) expires_at: OffsetDateTime,
}

/// What a presented token leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The counter goes up by one.
    Advance,
    /// Nothing changes; the current token is handed out again.
    Repeat,
    /// Theft: the session ends now.
    Reuse,
    /// The session was idle for too long or has reached its end.
    Over,
}

/// Decides about a genuine token of this session.
pub(crate) fn decide(
    state: &State,
    presented: u64,
    now: OffsetDateTime,
    idle: Duration,
) -> Decision {
    if now >= state.expires_at || now - state.advanced_at >= idle {
        return Decision::Over;
    }
    if presented == state.counter {
        return Decision::Advance;
    }
    let predecessor = presented.checked_add(1) == Some(state.counter);
    if predecessor && now - state.advanced_at <= GRACE {
        return Decision::Repeat;
    }
    Decision::Reuse
}

/// How much longer a session lasts that is not used again.
pub(crate) fn remaining(state: &State, now: OffsetDateTime, idle: Duration) -> Duration {
    (state.expires_at - now).min(idle)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::secret_keys::tests::keys;
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use time::macros::datetime;

    const START: OffsetDateTime = datetime!(2026-11-24 08:00 UTC);
    const IDLE: Duration = Duration::days(7);

    fn fresh() -> State {
        State {
            counter: 0,
            advanced_at: START,
            expires_at: START + Duration::days(30),
        }
    }

    #[test]
    fn a_token_says_what_was_sealed_and_every_change_is_refused() {
        let keys = keys(&[1]);
        let said = Presented {
            session_id: Uuid::from_u128(7),
            user_id: UserId::new(Uuid::from_u128(8)),
            counter: 3,
        };
        let token = said.seal(&keys);
        let token = token.expose_secret();
        assert_eq!(Presented::open(token, &keys), Ok(said));
        for at in PREFIX.len()..token.len() {
            let mut changed = token.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("it is ASCII");
            assert_eq!(
                Presented::open(&changed, &keys),
                Err(NotOurs::Invalid),
                "{at}"
            );
        }
        assert_eq!(
            Presented::open(&format!("{token}AAAA"), &keys),
            Err(NotOurs::Invalid)
        );
    }

    #[test]
    fn other_kinds_of_tokens_are_named_as_such() {
        let keys = keys(&[1]);
        for other in ["kst_v_abc", "a.b.c"] {
            assert_eq!(Presented::open(other, &keys), Err(NotOurs::WrongType));
        }
        assert_eq!(Presented::open("", &keys), Err(NotOurs::Invalid));
    }

    #[test]
    fn the_predecessor_is_forgiven_for_half_a_minute_and_no_longer() {
        let state = State {
            counter: 5,
            ..fresh()
        };
        let at = |seconds| START + Duration::seconds(seconds);
        assert_eq!(decide(&state, 5, at(0), IDLE), Decision::Advance);
        assert_eq!(decide(&state, 4, at(30), IDLE), Decision::Repeat);
        assert_eq!(decide(&state, 4, at(31), IDLE), Decision::Reuse);
        assert_eq!(decide(&state, 3, at(0), IDLE), Decision::Reuse);
        assert_eq!(decide(&state, 6, at(0), IDLE), Decision::Reuse);
        assert_eq!(decide(&state, u64::MAX, at(0), IDLE), Decision::Reuse);
    }

    #[test]
    fn a_session_ends_by_idleness_and_by_age() {
        let state = fresh();
        assert_eq!(
            decide(&state, 0, START + IDLE - Duration::SECOND, IDLE),
            Decision::Advance
        );
        assert_eq!(decide(&state, 0, START + IDLE, IDLE), Decision::Over);
        let busy = State {
            advanced_at: START + Duration::days(29),
            ..state
        };
        assert_eq!(
            decide(&busy, 0, START + Duration::days(30), IDLE),
            Decision::Over
        );
        assert_eq!(
            remaining(&busy, START + Duration::days(29), IDLE),
            Duration::days(1)
        );
    }

    /// The service, as the use case drives it.
    struct Server {
        state: State,
        ended: bool,
    }

    impl Server {
        /// The counter of the token that comes back, or `None` for 401.
        fn refresh(&mut self, presented: u64, now: OffsetDateTime) -> Option<u64> {
            if self.ended {
                return None;
            }
            match decide(&self.state, presented, now, IDLE) {
                Decision::Advance => {
                    self.state.counter += 1;
                    self.state.advanced_at = now;
                }
                Decision::Repeat => {}
                Decision::Reuse | Decision::Over => {
                    self.ended = true;
                    return None;
                }
            }
            Some(self.state.counter)
        }
    }

    /// What an honest client does. Retries and second tabs come within the half minute of grace.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Refresh,
        /// The request arrives, the answer is lost, and the client tries again after so many seconds.
        LostAnswer(i64),
        /// Another tab refreshes with the same token so many seconds later.
        SecondTab(i64),
        /// Time passes, less than the session may idle.
        Wait(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Refresh),
            (0..=30i64).prop_map(Step::LostAnswer),
            (0..=30i64).prop_map(Step::SecondTab),
            (1..86_400i64).prop_map(Step::Wait),
        ];
        prop::collection::vec(step, 0..25)
    }

    fn play(steps: &[Step], server: &mut Server, held: &mut u64, now: &mut OffsetDateTime) {
        let refreshed = |answer: Option<u64>| answer.expect("the honest client was logged out");
        for step in steps {
            match *step {
                Step::Refresh => *held = refreshed(server.refresh(*held, *now)),
                Step::LostAnswer(seconds) | Step::SecondTab(seconds) => {
                    refreshed(server.refresh(*held, *now));
                    *now += Duration::seconds(seconds);
                    *held = refreshed(server.refresh(*held, *now));
                }
                Step::Wait(seconds) => *now += Duration::seconds(seconds),
            }
        }
    }

    /// Somebody presents the copy they hold and, unless the answer is lost, keeps what comes back.
    #[derive(Clone, Copy, Debug)]
    struct Turn {
        thief: bool,
        answer_lost: bool,
        pause: i64,
    }

    /// In seconds; most of them near the time of grace.
    fn pauses() -> impl Strategy<Value = i64> {
        prop_oneof![0..=3i64, 26..=34i64, 0..=60i64, 61..43_200i64]
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let turn = (any::<bool>(), any::<bool>(), pauses());
        let turn = turn.prop_map(|(thief, answer_lost, pause)| Turn {
            thief,
            answer_lost,
            pause,
        });
        prop::collection::vec(turn, 1..40)
    }

    proptest! {
        /// Owner and thief each hold a copy of their own, and come in any order, after any pause, with answers lost. The
        /// history alone tells which copies are good: the newest, and its predecessor until half a minute after the newest
        /// was born. The first that is not good ends the session for both, and nothing else does.
        #[test]
        fn the_first_old_copy_ends_the_session_for_both_and_nothing_else_does(turns in turns()) {
            let mut server = Server { state: fresh(), ended: false };
            let (mut held, mut now) = ([0, 0], START);
            let mut births = BTreeMap::from([(0, START)]);
            for turn in turns {
                let copy = &mut held[usize::from(turn.thief)];
                let younger: Vec<_> = births.range(*copy + 1..).map(|(_, born)| *born).collect();
                let good = match younger[..] {
                    [] => true,
                    [newest] => now - newest <= Duration::seconds(30),
                    _ => false,
                };
                let goes_on = good && !server.ended;
                let answer = server.refresh(*copy, now);
                prop_assert_eq!((answer.is_some(), !server.ended), (goes_on, goes_on));
                if younger.is_empty() && goes_on {
                    births.insert(*copy + 1, now);
                }
                if let Some(next) = answer {
                    prop_assert_eq!(Some(next), births.keys().last().copied());
                    if !turn.answer_lost {
                        *copy = next;
                    }
                }
                now += Duration::seconds(turn.pause);
            }
        }

        #[test]
        fn the_honest_client_is_never_logged_out(steps in steps()) {
            let mut server = Server { state: fresh(), ended: false };
            play(&steps, &mut server, &mut 0, &mut START.clone());
        }

        /// Owner and thief hold the same token and use what they get in any order, never within the same
        /// half minute: whoever comes second with an old copy ends it for both.
        #[test]
        fn a_stolen_copy_that_both_sides_use_ends_the_session(
            before in steps(),
            turns in prop::collection::vec((any::<bool>(), 31..86_400i64), 2..8),
        ) {
            prop_assume!(turns.iter().any(|(owner, _)| *owner) && turns.iter().any(|(owner, _)| !*owner));
            let mut server = Server { state: fresh(), ended: false };
            let (mut owner, mut now) = (0, START);
            play(&before, &mut server, &mut owner, &mut now);
            // The grace of whatever happened before is over, so both hold the current token.
            now += Duration::seconds(31);
            let mut thief = owner;
            for (owners_turn, pause) in turns {
                let held = if owners_turn { &mut owner } else { &mut thief };
                if let Some(next) = server.refresh(*held, now) {
                    *held = next;
                }
                now += Duration::seconds(pause);
            }
            prop_assert!(server.ended);
            prop_assert_eq!((server.refresh(owner, now), server.refresh(thief, now)), (None, None));
        }
    }
}
