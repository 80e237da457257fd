//! What a search found, on the wire.

use poem_openapi::Object;

use crate::domain::search;

/// Where an entry holds what was looked for: the texts in pieces, to be put together again, hits marked.
#[derive(Object)]
pub(super) struct Found {
    /// All of the title.
    title: Vec<Piece>,
    /// Of the body some 80 characters before the first hit and 160 from there; its beginning when no hit is in it.
    body: Vec<Piece>,
}

/// A part of a text.
#[derive(Object)]
struct Piece {
    text: String,
    /// Whether it is what was looked for.
    hit: bool,
}

impl From<search::Piece> for Piece {
    fn from(piece: search::Piece) -> Self {
        let search::Piece { text, hit } = piece;
        Self { text, hit }
    }
}

impl From<search::Found> for Found {
    fn from(found: search::Found) -> Self {
        let pieces = |pieces: Vec<search::Piece>| pieces.into_iter().map(Piece::from).collect();
        Self {
            title: pieces(found.title),
            body: pieces(found.body),
        }
    }
}
