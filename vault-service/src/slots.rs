//! Looks up what there is of subjects, for all requests that ask at the same time in one statement.
//!
//! Nothing is kept: what a request learns was read after it had asked, so that a shred that was confirmed before counts.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use shared::{postgres::Pool, problem::Unexpected};
use tokio::{
    sync::oneshot,
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

pub(crate) struct Slots(Arc<Shared>);

struct Shared {
    pool: Pool,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// The requests that wait for the statement under way to end.
    waiting: Vec<Waiting>,
    /// Whether a task asks until nobody waits.
    asking: bool,
}

struct Waiting {
    subjects: Vec<Uuid>,
    /// Dropped when the database did not answer.
    told: oneshot::Sender<Found>,
}

impl Slots {
    pub(crate) fn new(pool: Pool) -> Self {
        let queue = Mutex::default();
        Self(Arc::new(Shared { pool, queue }))
    }

    /// What there is of these subjects and perhaps of others; of whom there is nothing is left out.
    pub(crate) async fn of(&self, subjects: Vec<Uuid>) -> Result<Found, Unexpected> {
        let (told, answer) = oneshot::channel();
        if self.0.join(Waiting { subjects, told }) {
            // On its own: others wait for it, however this request ends.
            tokio::spawn(Arc::clone(&self.0).ask_until_nobody_waits());
        }
        match timeout(PATIENCE, answer).await {
            Ok(Ok(found)) => Ok(found),
            _ => Err(Unexpected::unavailable(
                "the slots are not to be had",
                RETRY,
            )),
        }
    }
}

impl Shared {
    /// Joins those who wait; whether nobody asks for them yet.
    fn join(&self, request: Waiting) -> bool {
        let mut queue = self.queue();
        queue.waiting.push(request);
        !mem::replace(&mut queue.asking, true)
    }

    async fn ask_until_nobody_waits(self: Arc<Self>) {
        while let Some(together) = self.next().await {
            // A panic would end one statement, and not leave a queue behind that nobody asks for.
            let _ = tokio::spawn(Arc::clone(&self).ask_for(together)).await;
        }
    }

    /// All who wait; `None` when nobody does, and then whoever comes next begins again.
    async fn next(&self) -> Option<Vec<Waiting>> {
        if self.queue().waiting.len() >= MANY {
            sleep(LINGER).await;
        }
        let mut queue = self.queue();
        queue.asking = !queue.waiting.is_empty();
        queue.asking.then(|| mem::take(&mut queue.waiting))
    }

    async fn ask_for(self: Arc<Self>, mut together: Vec<Waiting>) {
        // Whoever has given up was told so.
        together.retain(|it| !it.told.is_closed());
        let subjects = together.iter().flat_map(|it| it.subjects.iter().copied());
        let subjects: HashSet<_> = subjects.collect();
        let subjects: Vec<_> = subjects.into_iter().collect();
        if subjects.is_empty() {
            return;
        }
        match self.ask(&subjects).await {
            Ok(found) => {
                let found = Arc::new(found);
                for Waiting { told, .. } in together {
                    let _ = told.send(Arc::clone(&found));
                }
            }
            Err(error) => tracing::error!(error = error.chain(), "the slots are not read"),
        }
    }

    async fn ask(&self, subjects: &[Uuid]) -> Result<HashMap<Uuid, Slot>, Unexpected> {
        subjects::slots(&*self.pool.get().await?, subjects).await
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
