//! Serving HTTP: the accept loop that all listeners share, with a limit on everything a client can
//! take, and the edge around every endpoint.
//!
//! poem's own server hides client certificates and has no limits for headers, handshakes or
//! connections, so the loop is ours: hyper and tokio-rustls below, poem's endpoints above.
//!
//! Not covered: a single client may hold all connections. There is no cap per client address: the peer
//! of a service is its proxy, or another service, so an address stands for thousands of people, and the
//! address that a proxy reports is known only once a request has arrived, when its connection is already
//! there. The proxy, which sees the clients, is the place for such a cap.

mod activity;
mod background;
mod body;
mod client_address;
mod connection;
mod edge;
mod json;
mod json_schema;
mod json_text;
mod limits;
mod listener;
mod operations;
mod ops;
mod origins;
mod peer;
mod refusal;
mod request_scope;
mod security_headers;
mod shutdown;
mod tls;
mod unread;

pub use background::Background;
pub use body::BodyRefused;
pub use client_address::{ClientAddress, Network, TrustedProxies};
pub use edge::Edge;
pub use json::{DigestedJson, Json, checked};
pub use json_text::{NotJson, parse as strict_json};
pub use limits::{Flow, Limits};
pub use listener::Server;
pub use ops::{Readiness, ops};
pub use origins::AllowedOrigins;
pub use peer::{Peer, PeerCertificate};
pub use request_scope::RequestScope;
pub use shutdown::{Shutdown, Trigger};
pub use tls::{ClientCertificates, server_config};
