//! The accept loop, the edge and the document, attacked and used through real sockets.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod api;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod document;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod host;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod tls;
