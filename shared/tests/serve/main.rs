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
mod http2;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod linger;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod tls;
