//! What is left of a request's body when its answer is ready before its end (HTTP/2).
//!
//! hyper resets the stream when nobody holds the body any more (RFC 9113 §8.1 allows that after a whole answer, with
//! `NO_ERROR`), and clients that still send, such as curl before 8, then throw the answer away. So the rest is read,
//! within limits, and thrown away here instead. On HTTP/1.1 the connection lingers, see `activity`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a client may go on sending what nobody wants.
const LINGER: Duration = Duration::from_secs(1);
/// How much of that: twice the longest body of any service.
const LINGER_BYTES: usize = 8 << 20;

/// A body that is read to its end, whether its reader does or not. Until then its stream counts among those that
/// the client has open.
pub(super) struct Unread(Option<BoxBody<Bytes, io::Error>>);

impl Unread {
    pub(super) fn new(body: BoxBody<Bytes, io::Error>) -> Self {
        Self(Some(body))
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some(rest) = self.0.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
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
