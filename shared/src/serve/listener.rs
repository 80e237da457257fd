//! The accept loop: as many connections as allowed, no spinning when the system runs dry, and a
//! bounded end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client_address::TrustedProxies;
use super::connection::Host;
use super::edge::Edge;
use super::limits::Limits;
use super::shutdown::Shutdown;

/// Descriptors that are not client connections: pool, Redis, outgoing calls, files.
const OTHER_FILES: usize = 256;

/// The pause after an accept error that is not about one client, such as running out of
/// descriptors: those of ended connections come back by themselves.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// A bound listener, not yet serving: bind first, so that a taken port fails the start.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    trusted_proxies: TrustedProxies,
}

impl Server {
    /// Binds; port 0 takes a free one, see [`Server::local_addr`].
    pub async fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let local = listener.local_addr()?;
        Ok(Self {
            listener,
            local,
            limits,
            tls: None,
            trusted_proxies: TrustedProxies::default(),
        })
    }

    /// Speaks TLS only.
    #[must_use]
    pub fn with_tls(self, config: Arc<ServerConfig>) -> Self {
        Self {
            tls: Some(config),
            ..self
        }
    }

    /// Whose `X-Forwarded-For` tells a client's address; without a word it is nobody's.
    #[must_use]
    pub fn with_trusted_proxies(self, trusted_proxies: TrustedProxies) -> Self {
        Self {
            trusted_proxies,
            ..self
        }
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until the shutdown is requested and then drains: returns when every request in flight
    /// is answered, or after [`Limits::drain`].
    pub async fn run(self, edge: Edge, mut shutdown: Shutdown) {
        let allowed = allowed_connections(self.limits.connections);
        let drain = self.limits.drain;
        let permits = Arc::new(Semaphore::new(allowed));
        let host = Arc::new(Host {
            edge: edge
                .with_limits(self.limits.clone())
                .with_trusted_proxies(self.trusted_proxies),
            limits: self.limits,
            tls: self.tls,
            local: self.local,
        });
        let mut connections = JoinSet::new();
        loop {
            // The place is taken before the client: who finds none waits in the kernel's backlog and
            // costs this process nothing. Places become free because every state has a time limit.
            let permit = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                permit = Arc::clone(&permits).acquire_owned() => permit,
            };
            let Ok(permit) = permit else {
                break; // nobody closes the semaphore
            };
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                accepted = self.listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((socket, address)) => {
                    let serving = Arc::clone(&host).serve(socket, address, shutdown.clone());
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) if is_about_one_client(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let drained = timeout(drain, async {
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "cut off after the drain time"
            );
            connections.shutdown().await;
        }
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Raises the soft limit of open files to the hard one, and stays below it with the connections.
fn allowed_connections(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let files = files
        .and_then(|files| usize::try_from(files).ok())
        .unwrap_or(usize::MAX);
    let allowed = wanted.min(files.saturating_sub(OTHER_FILES).max(1));
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "fewer connections, for want of file descriptors"
        );
    }
    allowed
}
