//! The body of a request: read only when a handler asks for it, which is after it knows the caller, and
//! then within its size, its time, and what all requests of the listener may hold together. Most arrive as one piece;
//! those of a few operations, which are too long to be held, are read as they come.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame};
use poem::Request;
use poem::http::HeaderMap;
use poem::http::header::CONTENT_LENGTH;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::limits::{Flow, Limits};
use crate::problem::{
    Case, Failure, MALFORMED_REQUEST, OVERLOADED, PAYLOAD_TOO_LARGE, REQUEST_TIMEOUT,
};

/// What a header field costs beside its characters (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Why a body is not read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyRefused {
    /// It is longer than it may be.
    #[error("The body is longer than this operation reads.")]
    TooLong,
    /// Its time was over before its end came.
    #[error("The body did not arrive in time.")]
    Late,
    /// All requests together hold too much.
    #[error("Try again in a moment.")]
    Overloaded,
    /// The client went away, or broke the framing.
    #[error("The body broke off or is not framed correctly.")]
    Broken,
}

impl Failure for BodyRefused {
    const CASES: &'static [Case] = &[
        MALFORMED_REQUEST,
        REQUEST_TIMEOUT,
        PAYLOAD_TOO_LARGE,
        OVERLOADED,
    ];

    fn case(&self) -> &'static Case {
        match self {
            Self::TooLong => &PAYLOAD_TOO_LARGE,
            Self::Late => &REQUEST_TIMEOUT,
            Self::Overloaded => &OVERLOADED,
            Self::Broken => &MALFORMED_REQUEST,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Overloaded).then_some(Duration::from_secs(1))
    }
}

impl BodyRefused {
    /// The reason behind an error of reading; poem wraps the one that the body gave into another.
    pub fn of(error: &io::Error) -> Self {
        let mut error = error;
        while let Some(inner) = error.get_ref() {
            if let Some(refused) = inner.downcast_ref() {
                return *refused;
            }
            match inner.downcast_ref() {
                Some(inner) => error = inner,
                None => break,
            }
        }
        Self::Broken
    }
}

/// A body that says it is too long is refused before its first byte is read.
pub(super) fn check_length(header: &HeaderMap, most: usize) -> Result<(), BodyRefused> {
    let declared = header.get(CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match declared.map(usize::try_from) {
        Some(Ok(length)) if length <= most => Ok(()),
        None => Ok(()),
        Some(_) => Err(BodyRefused::TooLong),
    }
}

/// Puts the limits around the body, so that no handler can forget them.
pub(super) fn bounded(request: Request, limits: &Limits, held: &Arc<Held>) -> Request {
    let end = Instant::now() + limits.body;
    let around = |body| Bounded::new(body, limits.body_bytes, end, Arc::clone(held));
    with_body(request, around)
}

/// The same for a body that is read as it arrives.
pub(super) fn flowing(request: Request, flow: Flow) -> Request {
    let end = Instant::now() + flow.body;
    with_body(request, |body| Flowing::new(body, flow.body_bytes, end))
}

fn with_body<B>(mut request: Request, around: impl FnOnce(Arriving) -> B) -> Request
where
    B: Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static,
{
    let body = around(request.take_body().into());
    request.set_body(poem::Body::from(BoxBody::new(body)));
    request
}

type Arriving = BoxBody<Bytes, io::Error>;

/// The bytes that all requests of one listener may hold at once.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// What one request holds, beginning with its header.
    pub(super) fn admit(&self, header: &HeaderMap) -> Result<Arc<Held>, BodyRefused> {
        let held = Held {
            budget: self.clone(),
            bytes: AtomicUsize::new(0),
        };
        let fields = header.iter();
        held.more(
            fields
                .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
                .sum(),
        )?;
        Ok(Arc::new(held))
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Budget,
    bytes: AtomicUsize,
}

impl Held {
    fn more(&self, bytes: usize) -> Result<(), BodyRefused> {
        let permits = u32::try_from(bytes).map_err(|_| BodyRefused::Overloaded)?;
        let taken = self.budget.0.try_acquire_many(permits);
        taken.map_err(|_| BodyRefused::Overloaded)?.forget();
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.add_permits(*self.bytes.get_mut());
    }
}

/// A body that arrives as one piece or not at all.
struct Bounded(Option<Reading>);

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, BodyRefused>> + Send + Sync>>;

impl Bounded {
    /// `most` bytes, all there by `end`.
    fn new(body: Arriving, most: usize, end: Instant, held: Arc<Held>) -> Self {
        Self(Some(Box::pin(async move {
            let reading = read(body, most, &held);
            let read = timeout_at(end, reading).await;
            read.unwrap_or(Err(BodyRefused::Late))
        })))
    }
}

/// Copies what arrives into one buffer: the pieces that hyper hands out would keep its whole read
/// buffers alive, and cost far more than their length when they are a byte long.
async fn read(mut body: Arriving, most: usize, held: &Held) -> Result<Bytes, BodyRefused> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyRefused::Broken)?.into_data() else {
            continue; // trailers
        };
        if data.len() > most - bytes.len() {
            return Err(BodyRefused::TooLong);
        }
        held.more(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.into())
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(reading) = self.0.as_mut() else {
            return Poll::Ready(None);
        };
        let read = ready!(reading.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(Some(read.map(Frame::data).map_err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// A body that is read as it arrives. Nothing of it is held here, so it counts in no budget: its reader takes a piece when it
/// is done with the one before, and the client waits.
struct Flowing {
    body: Arriving,
    /// Bytes that may still come.
    left: usize,
    end: Pin<Box<Sleep>>,
}

impl Flowing {
    /// `most` bytes, all read by `end`.
    fn new(body: Arriving, most: usize, end: Instant) -> Self {
        Self {
            body,
            left: most,
            end: Box::pin(sleep_until(end)),
        }
    }
}

impl Body for Flowing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(broken(BodyRefused::Late))));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let Ok(frame) = frame else {
            return Poll::Ready(Some(Err(broken(BodyRefused::Broken))));
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(broken(BodyRefused::TooLong))));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn broken(refused: BodyRefused) -> io::Error {
    let refused: Box<dyn Error + Send + Sync> = Box::new(refused);
    io::Error::other(refused)
}
