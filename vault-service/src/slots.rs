//! Looks up what there is of subjects, for all requests that ask at the same time in one statement.
//!
//! Nothing is kept: what a request learns was read after it had asked, so that a shred that was confirmed before counts.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex as Lock, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{postgres::Pool, problem::Unexpected};
use tokio::{
    sync::{Mutex, oneshot},
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::store::subjects::{self, Slot};

/// How long a request waits.
const PATIENCE: Duration = Duration::from_secs(3);
/// While so many wait when their turn comes, more are about to: it is cheaper for all to wait for them.
const MANY: usize = 8;
const LINGER: Duration = Duration::from_millis(1);
/// When to come again.
const RETRY: Duration = Duration::from_secs(2);

/// What one statement found.
pub(crate) type Found = Arc<HashMap<Uuid, Slot>>;

/// The requests that wait for the statement under way to end.
pub(crate) struct Slots(Arc<Shared>);

struct Shared {
    pool: Pool,
    waiting: Lock<Vec<Waiting>>,
    /// Whoever has it asks for all.
    turn: Arc<Mutex<()>>,
}

struct Waiting {
    subjects: Vec<Uuid>,
    /// Dropped when the database did not answer.
    told: oneshot::Sender<Found>,
}

impl Slots {
    pub(crate) fn new(pool: Pool) -> Self {
        Self(Arc::new(Shared {
            pool,
            waiting: Lock::default(),
            turn: Arc::default(),
        }))
    }

    /// What there is of these subjects and perhaps of others; of whom there is nothing is left out.
    pub(crate) async fn of(&self, subjects: Vec<Uuid>) -> Result<Found, Unexpected> {
        let (told, mut answer) = oneshot::channel();
        self.0.waiting().push(Waiting { subjects, told });
        let asking = async {
            tokio::select! {
                biased;
                found = &mut answer => return found,
                turn = Arc::clone(&self.0.turn).lock_owned() => {
                    let shared = Arc::clone(&self.0);
                    // On its own: others wait for this statement, however this request ends.
                    tokio::spawn(async move {
                        shared.ask_for_all().await;
                        drop(turn);
                    });
                }
            }
            answer.await
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(found)) => Ok(found),
            _ => Err(Unexpected::unavailable(
                "the slots are not to be had",
                RETRY,
            )),
        }
    }
}

impl Shared {
    async fn ask_for_all(&self) {
        if self.waiting().len() >= MANY {
            sleep(LINGER).await;
        }
        let mut all = std::mem::take(&mut *self.waiting());
        // Whoever has given up was told so.
        all.retain(|it| !it.told.is_closed());
        let subjects = all.iter().flat_map(|it| it.subjects.iter().copied());
        let subjects: HashSet<_> = subjects.collect();
        let subjects: Vec<_> = subjects.into_iter().collect();
        if subjects.is_empty() {
            return;
        }
        match self.ask(&subjects).await {
            Ok(found) => {
                let found = Arc::new(found);
                for Waiting { told, .. } in all {
                    let _ = told.send(Arc::clone(&found));
                }
            }
            Err(error) => tracing::error!(error = error.chain(), "the slots are not read"),
        }
    }

    async fn ask(&self, subjects: &[Uuid]) -> Result<HashMap<Uuid, Slot>, Unexpected> {
        subjects::slots(&*self.pool.get().await?, subjects).await
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
