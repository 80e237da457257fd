//! One HTTP/1.1 connection, over TLS or not, as cheap as it goes: client and servers share the machine, so whatever the client
//! costs is missing to what it measures.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stack::{Failure, Service, Stack};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// For one request: many times what any takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// More than the header of any answer.
const LONGEST_HEADER: usize = 16 * 1024;

/// Where to knock, and with which certificate, if with any.
#[derive(Clone)]
pub(crate) struct Door {
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Door {
    /// A server that speaks in clear, as behind a proxy.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        let tls = None;
        Self { address, tls }
    }

    /// A server on this machine whose certificate is of the stack's authority, for this service.
    pub(crate) fn new(
        stack: &Stack,
        address: SocketAddr,
        service: Service,
    ) -> Result<Self, Failure> {
        let folder = stack.addresses().stack_dir.join("tls");
        let name = service.name();
        let mut trusted = RootCertStore::empty();
        for certificate in certificates(&stack.addresses().ca_file)? {
            let added = trusted.add(certificate);
            added.map_err(Failure::when("trust the stack's authority"))?;
        }
        let key = folder.join(format!("{name}.key"));
        let key =
            PrivateKeyDer::from_pem_file(&key).map_err(Failure::when("read a client's key"))?;
        let config = ClientConfig::builder()
            .with_root_certificates(trusted)
            .with_client_auth_cert(certificates(&folder.join(format!("{name}.pem")))?, key)
            .map_err(Failure::when("use a client's certificate"))?;
        Ok(Self {
            address,
            tls: Some(TlsConnector::from(Arc::new(config))),
        })
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(Failure::when(format!("read {}", file.display())))
}

/// An open connection, for one request after another.
pub(crate) struct Connection {
    stream: Stream,
    received: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(request).await,
            Self::Tls(stream) => stream.write_all(request).await,
        }
    }

    /// Fails at the end of the stream.
    async fn receive(&mut self, received: &mut Vec<u8>) -> std::io::Result<()> {
        let read = match self {
            Self::Plain(stream) => stream.read_buf(received).await?,
            Self::Tls(stream) => stream.read_buf(received).await?,
        };
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// What came back.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) async fn open(door: &Door) -> Result<Self, Failure> {
        let doing = "connect";
        let socket = TcpStream::connect(door.address).await;
        let socket = socket.map_err(Failure::when(doing))?;
        socket.set_nodelay(true).map_err(Failure::when(doing))?;
        let stream = match &door.tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let name = ServerName::IpAddress(IpAddr::from(door.address.ip()));
                let stream = tls.connect(name, socket).await;
                Stream::Tls(Box::new(stream.map_err(Failure::when(doing))?))
            }
        };
        Ok(Self {
            stream,
            received: Vec::with_capacity(LONGEST_HEADER),
        })
    }

    /// Sends one request and waits for its answer, which has to say how long it is.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Reply<'_>, Failure> {
        let answered = timeout(PATIENCE, self.exchange(request)).await;
        let (status, body) = answered
            .map_err(|_| Failure::new(format!("no answer within {PATIENCE:?}")))?
            .map_err(Failure::when("send a request"))?;
        let body = self.received.get(body..).unwrap_or_default();
        Ok(Reply { status, body })
    }

    /// The status, and where the body begins.
    async fn exchange(&mut self, request: &[u8]) -> std::io::Result<(u16, usize)> {
        self.stream.send(request).await?;
        self.received.clear();
        loop {
            self.stream.receive(&mut self.received).await?;
            if let Some(header) = Header::read(&self.received) {
                while self.received.len() < header.length + header.body {
                    self.stream.receive(&mut self.received).await?;
                }
                return Ok((header.status, header.length));
            }
            if self.received.len() > LONGEST_HEADER {
                return Err(std::io::Error::other("the header does not end"));
            }
        }
    }
}

/// What has to be known of an answer's header.
#[derive(Debug, PartialEq, Eq)]
struct Header {
    status: u16,
    /// Its own bytes.
    length: usize,
    /// Those of the body.
    body: usize,
}

impl Header {
    /// `None` while it is not complete.
    fn read(received: &[u8]) -> Option<Self> {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(received.get(..end)?).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let length = name.eq_ignore_ascii_case("content-length");
            length.then(|| value.trim().parse().ok()).flatten()
        });
        Some(Self {
            status,
            length: end + 4,
            body: length.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_status_and_lengths_once_it_is_complete() {
        let whole = b"HTTP/1.1 200 OK\r\nx: y\r\nContent-Length: 12\r\n\r\n{\"items\":";
        for length in 0..45 {
            assert_eq!(Header::read(&whole[..length]), None, "{length}");
        }
        let header = Header {
            status: 200,
            length: 45,
            body: 12,
        };
        assert_eq!(Header::read(whole), Some(header));
    }
}
