//! The accept loop, the edge and the document, attacked and used through real sockets.

mod answers;
mod api;
mod document;
mod drain;
mod host;
mod limits;
mod tls;
