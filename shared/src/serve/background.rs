//! Work that goes on behind the requests: a loop that dies is started again and takes no other along.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::Shutdown;

/// Before a loop that died is started again: one that dies at once, every time, leaves the machine alone meanwhile.
const AGAIN: Duration = Duration::from_secs(2);

/// The loops of one service.
pub struct Background<S> {
    service: Arc<S>,
    shutdown: Shutdown,
    loops: JoinSet<()>,
}

impl<S: Send + Sync + 'static> Background<S> {
    /// No loop yet, for a service that works until that request.
    pub fn new(service: &Arc<S>, shutdown: &Shutdown) -> Self {
        Self {
            service: Arc::clone(service),
            shutdown: shutdown.clone(),
            loops: JoinSet::new(),
        }
    }

    /// Starts a loop that returns when the shutdown is requested, and starts it again, two seconds later, whenever it
    /// panics. `name` is for the log.
    pub fn keep<W>(
        &mut self,
        name: &'static str,
        work: impl Fn(Arc<S>, Shutdown) -> W + Send + 'static,
    ) where
        W: Future<Output = ()> + Send + 'static,
    {
        let (service, mut shutdown) = (Arc::clone(&self.service), self.shutdown.clone());
        self.loops.spawn(async move {
            // What it panicked with is told by the panic hook: the place alone.
            while let Err(died) = tokio::spawn(work(Arc::clone(&service), shutdown.clone())).await {
                // The runtime itself ends.
                if died.is_cancelled() {
                    return;
                }
                tracing::error!(
                    work = name,
                    "work behind the requests died and is started again"
                );
                tokio::select! {
                    biased;
                    () = shutdown.requested() => return,
                    () = sleep(AGAIN) => {}
                }
            }
        });
    }

    /// Waits until all have seen the shutdown and finished what they had begun.
    pub async fn finished(self) {
        self.loops.join_all().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::{
        sync::Notify,
        time::{Instant, timeout},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// How often each loop was started, and when one was for the second time.
    #[derive(Default)]
    struct Counted {
        frail: AtomicU32,
        sound: AtomicU32,
        again: Notify,
    }

    async fn frail(counted: Arc<Counted>, mut shutdown: Shutdown) {
        let before = counted.frail.fetch_add(1, Ordering::SeqCst);
        assert_ne!(before, 0, "dies the first time");
        counted.again.notify_one();
        shutdown.requested().await;
    }

    async fn sound(counted: Arc<Counted>, mut shutdown: Shutdown) {
        counted.sound.fetch_add(1, Ordering::SeqCst);
        shutdown.requested().await;
    }

    #[tokio::test]
    async fn a_loop_that_dies_is_started_again_after_a_pause_and_alone() {
        let (trigger, shutdown) = Shutdown::manual();
        let (counted, began) = (Arc::new(Counted::default()), Instant::now());
        let mut background = Background::new(&counted, &shutdown);
        background.keep("frail", frail);
        background.keep("sound", sound);
        let again = timeout(LIMIT, counted.again.notified()).await;
        again.expect("it is started again");
        assert!(began.elapsed() >= AGAIN);
        trigger.request();
        let finished = timeout(LIMIT, background.finished()).await;
        finished.expect("both see the shutdown");
        let starts = [&counted.frail, &counted.sound].map(|starts| starts.load(Ordering::SeqCst));
        assert_eq!(starts, [2, 1]);
    }

    #[tokio::test]
    async fn one_that_dies_every_time_holds_up_no_shutdown() {
        let (trigger, shutdown) = Shutdown::manual();
        let mut background = Background::new(&Arc::new(()), &shutdown);
        background.keep("doomed", |_, _| async { panic!("every time") });
        trigger.request();
        let finished = timeout(LIMIT, background.finished()).await;
        finished.expect("it is not started for ever");
    }
}
