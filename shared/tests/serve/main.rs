//! The accept loop, the edge and the document, attacked and used through real sockets.

mod api;
mod document;
