//! The body of a request: read only when a handler asks for it, which is after it knows the caller, and
//! then within its size, its time, and what all requests of the listener may hold together.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame};
use poem::http::HeaderMap;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// What a header field costs beside its characters (RFC 9113 §6.5.2).
const FIELD_OVERHEAD: usize = 32;

/// Why a body is not read, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BodyRefused {
    #[error("the body is too long")]
    TooLong,
    #[error("the body did not arrive in time")]
    Late,
    #[error("all requests together hold too much")]
    Overloaded,
    #[error("the body broke off")]
    Broken,
}

impl BodyRefused {
    /// The reason behind an error of reading; poem wraps the one that the body gave into another.
    pub(crate) fn of(error: &io::Error) -> Self {
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
pub(super) struct Bounded(Option<Reading>);

type Reading = Pin<Box<dyn Future<Output = Result<Bytes, BodyRefused>> + Send + Sync>>;

impl Bounded {
    /// `most` bytes, all there by `end`.
    pub(super) fn new(
        body: BoxBody<Bytes, io::Error>,
        most: usize,
        end: Instant,
        held: Arc<Held>,
    ) -> Self {
        Self(Some(Box::pin(async move {
            let reading = read(body, most, &held);
            let read = timeout_at(end, reading).await;
            read.unwrap_or(Err(BodyRefused::Late))
        })))
    }
}

/// Copies what arrives into one buffer: the pieces that hyper hands out would keep its whole read
/// buffers alive, and cost far more than their length when they are a byte long.
async fn read(
    mut body: BoxBody<Bytes, io::Error>,
    most: usize,
    held: &Held,
) -> Result<Bytes, BodyRefused> {
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
        let refused = |refused| -> Box<dyn Error + Send + Sync> { Box::new(refused) };
        Poll::Ready(Some(
            read.map(Frame::data)
                .map_err(|it| io::Error::other(refused(it))),
        ))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
