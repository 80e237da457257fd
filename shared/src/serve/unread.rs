//! What is left of a request's body when its answer is ready before its end.
//!
//! On HTTP/1.1 hyper ends the connection unless the rest is there by then, and does not say so: a client would send its
//! next request into the void (RFC 9112 §9.6 asks for `Connection: close`). So the answer says it.
//!
//! On HTTP/2 hyper resets the stream when nobody holds the body any more (RFC 9113 §8.1 allows that after a whole
//! answer, with `NO_ERROR`), and clients that still send, such as curl before 8, then throw the answer away. So the
//! rest is read, within limits, and thrown away here instead. The connection of HTTP/1.1 lingers, see `activity`.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a client may go on sending what nobody wants.
const LINGER: Duration = Duration::from_secs(1);
/// How much of that: twice the longest body that is read as a whole.
const LINGER_BYTES: usize = 8 << 20;
/// How much of a rest is read for keeping a connection.
const WORTH_READING: usize = 64 << 10;

type Rest = BoxBody<Bytes, io::Error>;

/// A body of which something happens to the rest, when its reader leaves one.
pub(super) struct Unread {
    body: Option<Rest>,
    left: Option<Left>,
}

impl Unread {
    /// For HTTP/2: it is read to its end. Until then its stream counts among those that the client has open.
    pub(super) fn discarded(body: Rest) -> Self {
        Self {
            body: Some(body),
            left: None,
        }
    }

    /// For HTTP/1.1: whoever answers learns of it.
    pub(super) fn told(body: Rest) -> (Self, Left) {
        let left = Left::default();
        let unread = Self {
            body: Some(body),
            left: Some(left.clone()),
        };
        (unread, left)
    }
}

/// What its reader left of a body of HTTP/1.1.
#[derive(Clone, Default)]
pub(super) struct Left(Arc<Mutex<Option<Rest>>>);

impl Left {
    /// Whether the connection ends behind the answer: something was left, and it has not come yet. A client that waits
    /// for leave to send it (RFC 9110 §10.1.1) is not asked for it here.
    pub(super) fn ends_the_connection(&self, waits_for_leave: bool) -> bool {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        let mut worth = WORTH_READING;
        while !waits_for_leave && !rest.is_end_stream() {
            let frame = match Pin::new(&mut rest).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(None) => return false,
                Poll::Ready(Some(Err(_))) | Poll::Pending => break,
            };
            match worth.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
                Some(less) => worth = less,
                None => break,
            }
        }
        !rest.is_end_stream()
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        // A chunked body never says by itself that this was its end.
        if let Poll::Ready(None) = frame {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        let Some(rest) = rest else { return };
        if let Some(Left(left)) = &self.left {
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
            return;
        }
        // Without a runtime the connection is gone as well.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGER, discard(rest)));
        }
    }
}

async fn discard(mut rest: BoxBody<Bytes, io::Error>) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = rest.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => return,
        }
    }
}
