//! What hyper says to a message that is no request, said as a problem.
//!
//! A broken request line, an unreadable or endless header never reaches a service: hyper writes a head of its own, a
//! bare 400 or 431, and closes. It has no hook for that, so the bare head is recognised where it is written, and the
//! edge's answer goes out in its place.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Buf, Bytes};
use poem::Response;
use poem::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket on which hyper's own refusals are replaced.
pub(super) struct Refusing<S, F> {
    socket: S,
    answer: F,
    instead: Option<Instead>,
}

/// What goes out in the place of a bare head.
enum Instead {
    Coming(Pin<Box<dyn Future<Output = Vec<u8>> + Send>>),
    Going(Bytes),
}

impl<S, F: Fn(StatusCode) -> Response> Refusing<S, F> {
    /// `answer` is asked what to say where hyper would say only a status.
    pub(super) fn new(socket: S, answer: F) -> Self {
        Self {
            socket,
            answer,
            instead: None,
        }
    }
}

impl<S: AsyncWrite + Unpin, F> Refusing<S, F> {
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(instead) = &mut self.instead {
            match instead {
                Instead::Coming(answer) => {
                    *instead = Instead::Going(ready!(answer.as_mut().poll(cx)).into());
                }
                Instead::Going(rest) if rest.is_empty() => self.instead = None,
                Instead::Going(rest) => {
                    match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                        0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        sent => rest.advance(sent),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for Refusing<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin, F: Fn(StatusCode) -> Response + Unpin> AsyncWrite for Refusing<S, F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(bare) = Bare::ending(bytes) else {
            return Pin::new(&mut this.socket).poll_write(cx, bytes);
        };
        // The rest of an earlier answer goes first; hyper then comes back with the bare head alone.
        if !bare.after.is_empty() {
            return Pin::new(&mut this.socket).poll_write(cx, bare.after);
        }
        if this.instead.is_none() {
            let answer = (this.answer)(bare.status);
            this.instead = Some(Instead::Coming(Box::pin(spell(answer, bare.kept()))));
        }
        ready!(this.poll_instead(cx))?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            // A bare head has no body, so it is never one of several parts.
            [part] => self.poll_write(cx, part),
            _ => Pin::new(&mut self.socket).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

/// The head that hyper writes on its own.
struct Bare<'a> {
    /// What is written before it.
    after: &'a [u8],
    status: StatusCode,
    fields: Vec<&'a str>,
}

impl<'a> Bare<'a> {
    /// The fields of a bare head. Each answer of ours has others: a request id, the security headers.
    const FIELDS: [&'static str; 3] = ["connection: ", "content-length: 0", "date: "];
    /// No bare head is longer, in bytes.
    const LONGEST: usize = 256;

    /// The bare head with which `bytes` end.
    fn ending(bytes: &'a [u8]) -> Option<Self> {
        let lines = bytes.strip_suffix(b"\r\n\r\n")?;
        let version = b"HTTP/1.";
        let (earlier, tail) = lines.split_at(lines.len().saturating_sub(Self::LONGEST));
        let mut starts = tail.windows(version.len());
        let begin = earlier.len() + starts.rposition(|it| it == version)?;
        let (after, head) = lines.split_at(begin);
        let mut fields = str::from_utf8(head).ok()?.split("\r\n");
        let status = fields.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields: Vec<_> = fields.collect();
        let known = |field: &&str| Self::FIELDS.iter().any(|it| field.starts_with(it));
        // Of its own accord hyper also says `100 Continue`.
        let refuses = StatusCode::is_client_error(&status) && fields.iter().all(known);
        refuses.then_some(Self {
            after,
            status,
            fields,
        })
    }

    /// What stays true of the answer that is sent instead.
    fn kept(&self) -> String {
        let kept = |field: &&str| !field.starts_with("content-length");
        let fields: Vec<_> = self.fields.iter().copied().filter(kept).collect();
        fields.join("\r\n")
    }
}

/// A response as HTTP/1.1 spells it (RFC 9112 §2.1), with these fields too.
async fn spell(response: Response, fields: String) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    let body = body.into_vec().await.unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {}\r\n{fields}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        let field = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
        bytes.extend(field.concat());
    }
    bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
    bytes.extend(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "date: Tue, 24 Nov 2026 08:00:00 GMT";

    fn seen(bytes: &str) -> Option<(usize, u16)> {
        Bare::ending(bytes.as_bytes()).map(|bare| (bare.after.len(), bare.status.as_u16()))
    }

    #[test]
    fn only_a_head_that_says_nothing_else_is_bare() {
        let fields = format!("connection: close\r\ncontent-length: 0\r\n{DATE}\r\n\r\n");
        let bare = format!("HTTP/1.1 400 Bad Request\r\n{fields}");
        assert_eq!(seen(&bare), Some((0, 400)));
        assert_eq!(seen(&format!("{{}}{bare}")), Some((2, 400)));
        for other in [
            String::new(),
            "\r\n\r\n".to_owned(),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            format!("HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\n{fields}"),
            format!("HTTP/1.1 204 No Content\r\n{fields}"),
            format!("{bare}{{}}"),
            bare[..bare.len() - 1].to_owned(),
        ] {
            assert_eq!(seen(&other), None, "{other}");
        }
    }
}
