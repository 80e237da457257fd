//! A body that is made while it is sent: its maker waits for the client, and only what was finished ends well.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;

/// Where the pieces go in.
pub(super) struct Feed(mpsc::Sender<Piece>);

enum Piece {
    Bytes(Bytes),
    End,
}

/// The client went away.
#[derive(Debug)]
pub(super) struct Gone;

/// A body and what feeds it; one piece waits between them.
pub(super) fn feed() -> (Feed, poem::Body) {
    let (sender, receiver) = mpsc::channel(1);
    let body = Fed {
        pieces: receiver,
        has_ended: false,
    };
    (Feed(sender), poem::Body::from(BoxBody::new(body)))
}

impl Feed {
    /// Waits until the client has taken what came before.
    pub(super) async fn send(&self, bytes: Vec<u8>) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        let piece = Piece::Bytes(bytes.into());
        self.0.send(piece).await.map_err(|_| Gone)
    }

    /// That was all. A feed that is dropped without it breaks the connection, so that no client takes a part for the whole.
    pub(super) async fn end(self) -> Result<(), Gone> {
        self.0.send(Piece::End).await.map_err(|_| Gone)
    }
}

struct Fed {
    pieces: mpsc::Receiver<Piece>,
    has_ended: bool,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(cx)) {
            Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => {
                self.has_ended = true;
                None
            }
            None => {
                self.has_ended = true;
                Some(Err(io::Error::other("what was being sent broke off")))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_ended_ends_well() {
        let (feed, body) = feed();
        let maker = tokio::spawn(async move {
            feed.send(b"all ".to_vec()).await.expect("it is taken");
            feed.send(b"of it".to_vec()).await.expect("it is taken");
            feed.end().await.expect("it is taken");
        });
        let all = body.into_vec().await.expect("it ends well");
        assert_eq!(all, b"all of it");
        maker.await.expect("it was made");
    }

    #[tokio::test]
    async fn what_is_given_up_breaks_and_who_went_away_is_noticed() {
        let (feed, body) = feed();
        feed.send(b"a part".to_vec()).await.expect("there is room");
        drop(feed);
        assert!(body.into_vec().await.is_err());
        let (feed, body) = super::feed();
        drop(body);
        assert!(feed.send(b"a part".to_vec()).await.is_err());
    }
}
