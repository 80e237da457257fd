//! What a connection is doing, and since when: hyper has no limit for idle clients that differs from
//! the one for slow headers, and none for clients that never send a byte or take nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::limits::Limits;

/// Why a connection is closed that has nothing to be said goodbye to.
pub(super) const LATE_HEADER: &str = "no complete header arrived";

/// How long a client may go on sending what nobody reads, after its answer and our end of sending.
const LINGER: Duration = Duration::from_secs(2);
/// How much of that: twice the longest body that is read as a whole.
const LINGER_BYTES: usize = 8 << 20;

/// Shared by the socket, the requests on it and the watch over it. Times are milliseconds since `start`.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    /// Requests whose handler runs; the total limit bounds them.
    handling: AtomicUsize,
    /// Answers whose body is not sent yet.
    answering: AtomicUsize,
    /// HTTP/2 control frames are no requests: there a byte does not start a header.
    multiplexed: AtomicBool,
    /// A request's header began to arrive.
    header_began: AtomicBool,
    /// This side wants the connection to end, so nothing unread is worth waiting for.
    leaving: AtomicBool,
    /// When the header began, or the last request ended, or bytes last moved while answering.
    since: AtomicU64,
}

impl Activity {
    /// A fresh connection owes a header from the start on.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            handling: AtomicUsize::new(0),
            answering: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            header_began: AtomicBool::new(true),
            leaving: AtomicBool::new(false),
            since: AtomicU64::new(0),
        })
    }

    pub(super) fn set_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    /// The connection is being closed for another reason than its last answer.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// A request's header is complete.
    pub(super) fn request(self: &Arc<Self>) -> Handling {
        self.handling.fetch_add(1, Ordering::AcqRel);
        self.header_began.store(false, Ordering::Release);
        Handling(Arc::clone(self))
    }

    fn is_quiet(&self) -> bool {
        self.handling.load(Ordering::Acquire) == 0 && self.answering.load(Ordering::Acquire) == 0
    }

    fn touch(&self) {
        let elapsed = Instant::now().duration_since(self.start).as_millis();
        self.since.store(
            u64::try_from(elapsed).unwrap_or(u64::MAX),
            Ordering::Release,
        );
    }

    fn bytes_read(&self) {
        if self.multiplexed.load(Ordering::Relaxed) {
            return;
        }
        if self.is_quiet() && !self.header_began.swap(true, Ordering::AcqRel) {
            self.touch();
        }
    }

    fn bytes_written(&self) {
        if self.answering.load(Ordering::Acquire) > 0 {
            self.touch();
        }
    }

    /// Returns once the connection has overstayed: its header, the pause between two requests, or
    /// the client's not taking an answer lasts too long.
    pub(super) async fn overstayed(&self, limits: &Limits) -> &'static str {
        loop {
            // No state begun after this look can be over earlier than one header time from now.
            let Some((left, reason)) = self.look(limits) else {
                tokio::time::sleep(limits.header.min(limits.idle)).await;
                continue;
            };
            if left.is_zero() {
                return reason;
            }
            tokio::time::sleep(left.min(limits.header).min(limits.idle)).await;
        }
    }

    /// How much time the present state has left; `None` while handlers run.
    fn look(&self, limits: &Limits) -> Option<(Duration, &'static str)> {
        if self.handling.load(Ordering::Acquire) > 0 {
            return None;
        }
        let (limit, reason) = if self.answering.load(Ordering::Acquire) > 0 {
            (limits.idle, "the client takes no answer")
        } else if self.header_began.load(Ordering::Acquire) {
            (limits.header, LATE_HEADER)
        } else {
            (limits.idle, "idle")
        };
        let since = self.start + Duration::from_millis(self.since.load(Ordering::Acquire));
        Some((limit.saturating_sub(since.elapsed()), reason))
    }
}

/// A request is being handled.
pub(super) struct Handling(Arc<Activity>);

impl Handling {
    /// The handler is done; its answer goes out.
    pub(super) fn answered(self) -> Answering {
        let answering = Answering(Arc::clone(&self.0));
        self.0.answering.fetch_add(1, Ordering::AcqRel);
        answering
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.touch();
        self.0.handling.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An answer is being sent.
pub(super) struct Answering(Arc<Activity>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.touch();
        self.0.answering.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A socket that reports what moves through it, and that is closed in a way that lets the client read
/// the last answer: closing with bytes unread sends a reset, which destroys what was sent before
/// (RFC 9112 §9.6).
pub(super) struct Watched<S> {
    socket: S,
    activity: Arc<Activity>,
    lingering: Option<Lingering>,
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S, activity: &Arc<Activity>) -> Self {
        Self {
            socket,
            activity: Arc::clone(activity),
            lingering: None,
        }
    }
}

/// Reading what the client still sends, and dropping it.
struct Lingering {
    end: Pin<Box<Sleep>>,
    left: usize,
}

impl Lingering {
    fn begin() -> Self {
        Self {
            end: Box::pin(tokio::time::sleep(LINGER)),
            left: LINGER_BYTES,
        }
    }

    fn poll<S: AsyncRead + Unpin>(&mut self, socket: &mut S, cx: &mut Context<'_>) -> Poll<()> {
        while self.end.as_mut().poll(cx).is_pending() {
            let mut dropped = [0; 8 * 1024];
            let mut buffer = ReadBuf::new(&mut dropped);
            let read = ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer));
            let length = buffer.filled().len();
            if read.is_err() || length == 0 || length >= self.left {
                break;
            }
            self.left -= length;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.bytes_read();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(cx, bytes);
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.activity.bytes_written();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        if !this.activity.leaving.load(Ordering::Relaxed) {
            let lingering = this.lingering.get_or_insert_with(Lingering::begin);
            ready!(lingering.poll(&mut this.socket, cx));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, parts);
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.activity.bytes_written();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
