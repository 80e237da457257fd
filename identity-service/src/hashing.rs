//! Where passwords are hashed: a thread per core at the lowest priority, behind a short queue.
//!
//! bcrypt takes a quarter of a second of a core. On async threads it would stall everything else; in an
//! unbounded queue a burst of logins would make all of them wait until their clients have gone.

use std::{
    io,
    num::NonZero,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use rustix::process::setpriority_process;
use shared::problem::{Case, Failure};
use thiserror::Error;
use tokio::sync::oneshot;

/// Waiting hashes per thread: about two seconds of work at cost 12.
const WAITING: usize = 8;
/// The lowest priority of an ordinary thread.
const LOWEST_PRIORITY: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;

/// The threads end with the pool.
pub(crate) struct HashingPool {
    queue: SyncSender<Job>,
    /// The cost of the costliest hash that was seen.
    costliest: AtomicU32,
}

/// The queue is full: more logins arrive than this machine can hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Too many people are logging in at this moment.")]
pub(crate) struct Overloaded;

pub(crate) const OVERLOADED: Case = Case::new(503, "overloaded", "Too much to do at this moment");

impl Failure for Overloaded {
    const CASES: &'static [Case] = &[OVERLOADED];

    fn case(&self) -> &'static Case {
        &OVERLOADED
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }
}

impl HashingPool {
    /// One thread for each core.
    pub(crate) fn start() -> io::Result<Self> {
        Self::of_threads(thread::available_parallelism().map_or(1, NonZero::get))
    }

    fn of_threads(threads: usize) -> io::Result<Self> {
        let (sender, receiver) = sync_channel::<Job>(threads * WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new()
                .name(format!("hashing-{number}"))
                .spawn(move || work(&receiver))?;
        }
        Ok(Self {
            queue: sender,
            costliest: AtomicU32::new(0),
        })
    }

    /// What every compare is to cost from now on: the costliest of that cost and all that were seen. Where the cost was
    /// lowered, accounts that nobody has used since would otherwise be told by their slow answers.
    pub(crate) fn costliest(&self, seen: u32) -> u32 {
        self.costliest.fetch_max(seen, Ordering::Relaxed).max(seen)
    }

    /// Runs `job` on the pool; at once `Overloaded` when the queue is full. A job whose client has gone
    /// before its turn is not run.
    ///
    /// # Panics
    /// When the job does.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // The client may go while the hash is being made.
                let _ = answer.send(job());
            }
        };
        match self.queue.try_send(Box::new(job)) {
            Ok(()) => Ok(answered.await.expect("the job panicked")),
            Err(TrySendError::Full(_)) => Err(Overloaded),
            Err(TrySendError::Disconnected(_)) => {
                unreachable!("the threads live as long as the pool")
            }
        }
    }
}

fn work(receiver: &Mutex<Receiver<Job>>) {
    // On Linux, "this process" means this thread. Refused only where priorities are forbidden altogether.
    let _ = setpriority_process(None, LOWEST_PRIORITY);
    loop {
        let job = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = job else { return };
        // The client of a job that panics is told; the thread goes on with the next one.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn jobs_beyond_the_queue_are_refused_at_once_and_the_rest_are_done() {
        let pool = Arc::new(HashingPool::of_threads(1).expect("threads"));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let blocker = {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                pool.run(move || {
                    let _ = started.send(());
                    let _ = held.recv();
                })
                .await
            })
        };
        has_started.await.expect("the thread takes it");
        // Polling a job queues it; the thread is held, so all of these wait.
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|number| Box::pin(pool.run(move || number)))
            .collect();
        for job in &mut waiting {
            assert!(poll_once(job).await.is_none());
        }
        assert_eq!(pool.run(|| ()).await, Err(Overloaded));
        release.send(()).expect("the blocker waits");
        assert_eq!(blocker.await.expect("no panic"), Ok(()));
        for (number, job) in waiting.into_iter().enumerate() {
            assert_eq!(job.await, Ok(number));
        }
    }

    /// The answer if it is there at once.
    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            answer = future => Some(answer),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_not_run() {
        let pool = HashingPool::of_threads(1).expect("threads");
        let (release, held) = std::sync::mpsc::channel::<()>();
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ran);
        // Polled once, which queues them, and then dropped.
        let mut blocker = Box::pin(pool.run(move || held.recv()));
        let mut abandoned = Box::pin(pool.run(move || counted.fetch_add(1, Ordering::SeqCst)));
        assert!(poll_once(&mut blocker).await.is_none());
        assert!(poll_once(&mut abandoned).await.is_none());
        drop(abandoned);
        release.send(()).expect("the blocker waits");
        let _ = blocker.await;
        pool.run(|| ()).await.expect("the queue is empty again");
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_threads_have_the_lowest_priority() {
        let pool = HashingPool::of_threads(1).expect("threads");
        let priority = pool
            .run(|| rustix::process::getpriority_process(None))
            .await;
        assert_eq!(
            priority.expect("one job fits").expect("asked"),
            LOWEST_PRIORITY
        );
    }
}
