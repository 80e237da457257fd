//! One connection: handshake, HTTP/1.1 or HTTP/2, the watch over its time, and its end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use poem::Endpoint;
use poem::http::header::{CONNECTION, EXPECT};
use poem::http::{HeaderValue, Version, uri::Scheme};
use poem::web::{LocalAddr, RemoteAddr};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Answering, Handling, LATE_HEADER, Watched};
use super::edge::Edge;
use super::limits::Limits;
use super::peer::{Peer, PeerCertificate};
use super::refusal::Refusing;
use super::shutdown::Shutdown;
use super::unread::Unread;

/// How long a connection that is being closed may take to say so (HTTP/2 GOAWAY, TLS `close_notify`).
const FAREWELL: Duration = Duration::from_secs(1);

/// What an HTTP/2 client may send ahead of the reader, on all its streams together, in bytes: this much
/// is held for each connection, so it is the smallest that RFC 9113 §6.9.2 starts with.
const WINDOW: u32 = 65_535;

/// What all connections of one listener share.
pub(super) struct Host {
    pub(super) edge: Edge,
    pub(super) limits: Limits,
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) local: SocketAddr,
}

impl Host {
    /// Serves one accepted socket to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        socket: TcpStream,
        address: SocketAddr,
        shutdown: Shutdown,
    ) {
        // Answers are small and written whole: waiting to fill packets only adds latency.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "the client left before it was served");
            return;
        }
        let Some(tls) = self.tls.clone() else {
            let peer = Peer {
                address,
                certificate: None,
            };
            let builder = self.builder(None);
            return self.speak(socket, peer, builder, shutdown).await;
        };
        let mut requested = shutdown.clone();
        let handshake = timeout(self.limits.handshake, TlsAcceptor::from(tls).accept(socket));
        let finished = tokio::select! {
            finished = handshake => finished,
            () = requested.requested() => return,
        };
        match finished {
            Ok(Ok(stream)) => {
                let (_, session) = stream.get_ref();
                let certificate = session
                    .peer_certificates()
                    .and_then(|chain| chain.first())
                    .and_then(PeerCertificate::read);
                let builder = self.builder(session.alpn_protocol());
                let peer = Peer {
                    address,
                    certificate,
                };
                self.speak(stream, peer, builder, shutdown).await;
            }
            Ok(Err(error)) => closed("handshake failed", Some(&error)),
            Err(_) => closed("handshake took too long", None),
        }
    }

    /// After TLS the protocol is agreed; on a plain socket the first bytes tell (RFC 9113 §3.3).
    fn builder(&self, alpn: Option<&[u8]>) -> Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // The watch over the connection does this; hyper's would end idle connections too.
            .header_read_timeout(None)
            .max_headers(limits.header_fields)
            .max_buf_size(limits.header_bytes);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        match alpn {
            Some(b"h2") => builder.http2_only(),
            Some(_) => builder.http1_only(),
            None if self.tls.is_some() => builder.http1_only(),
            None => builder,
        }
    }

    async fn speak<S>(
        self: Arc<Self>,
        socket: S,
        peer: Peer,
        builder: Builder<TokioExecutor>,
        mut shutdown: Shutdown,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let activity = Activity::new();
        let (host, peer) = (Arc::clone(&self), Arc::new(peer));
        let (refusing, of) = (Arc::clone(&self), Arc::clone(&peer));
        let refuse = move |status| refusing.edge.refuse(status, &of);
        let io = TokioIo::new(Refusing::new(Watched::new(socket, &activity), refuse));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            if request.version() == Version::HTTP_2 {
                activity.set_multiplexed();
            }
            Arc::clone(&host).answer(request, Arc::clone(&peer), activity.request())
        });
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ = connection.as_mut() => return,
            reason = activity.overstayed(&self.limits) => {
                closed(reason, None);
                if reason == LATE_HEADER {
                    return;
                }
            }
            () = shutdown.requested() => {}
        }
        activity.leave();
        // Requests in flight are finished, new ones go to another connection.
        connection.as_mut().graceful_shutdown();
        let closing = Limits {
            header: FAREWELL.min(self.limits.header),
            idle: self.limits.idle.min(self.limits.drain),
            ..self.limits.clone()
        };
        let cut_off = async {
            tokio::time::sleep(FAREWELL).await;
            activity.overstayed(&closing).await
        };
        tokio::select! {
            _ = connection => {}
            _ = cut_off => {}
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
        peer: Arc<Peer>,
        handling: Handling,
    ) -> Result<hyper::Response<Sent<BoxBody<Bytes, io::Error>>>, Infallible> {
        let scheme = match self.tls {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        };
        let local = LocalAddr(self.local.into());
        let remote = RemoteAddr(peer.address.into());
        let mut request = poem::Request::from((request, local, remote, scheme));
        let body = request.take_body().into();
        let (body, left) = if request.version() == Version::HTTP_2 {
            (Unread::discarded(body), None)
        } else {
            let (body, left) = Unread::told(body);
            (body, Some(left))
        };
        request.set_body(poem::Body::from(BoxBody::new(body)));
        let waits_for_leave = request.headers().contains_key(EXPECT);
        request.set_data(peer);
        let mut response = hyper::Response::from(self.edge.get_response(request).await);
        if left.is_some_and(|left| left.ends_the_connection(waits_for_leave)) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        let answering = Some(handling.answered());
        Ok(response.map(|body| Sent { body, answering }))
    }
}

fn closed(reason: &'static str, error: Option<&io::Error>) {
    metrics::counter!("http_connections_closed_total", "reason" => reason).increment(1);
    // Debug: anyone who can connect could fill the log.
    tracing::debug!(
        reason,
        error = error.map(tracing::field::display),
        "connection closed"
    );
}

/// A body that tells when it is sent or given up.
struct Sent<B> {
    body: B,
    answering: Option<Answering>,
}

impl<B: Body + Unpin> Body for Sent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) {
            self.answering = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
