//! The lines of a body, as it arrives.

use std::io;

use poem::Body;
use shared::serve::BodyRefused;
use tokio::{io::AsyncReadExt as _, sync::mpsc, task::spawn_blocking};

use super::line;
use crate::import::Lines;

/// The longest line: an entry of 1 MiB whose every character JSON writes as six.
const LINE_BYTES: usize = 7 << 20;
/// Bytes that are read at a time.
const PIECE: usize = 64 << 10;
/// Bytes and lines that are read from JSON in one go.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_LINES: usize = 1_000;

/// Sends the lines of a body, until nobody takes them any more; then reads what is left of it and throws it away.
pub(in crate::http) async fn read(body: Body, lines: mpsc::Sender<Lines>) {
    let mut body = body.into_async_read();
    let (mut cutter, mut piece) = (Cutter::default(), Vec::with_capacity(PIECE));
    let mut batches = Batches::default();
    let mut is_wanted = true;
    loop {
        piece.clear();
        let read = body.read_buf(&mut piece).await;
        if is_wanted && lines.is_closed() {
            is_wanted = false;
            // Nothing of it is kept for nobody.
            (cutter, batches) = Default::default();
        }
        if !is_wanted {
            match read {
                Ok(1..) => continue,
                _ => return,
            }
        }
        let is_over = match read {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => return give_up(&lines, &error).await,
        };
        cutter.cut(&piece, |line| batches.push(line));
        if is_over {
            cutter.end(|line| batches.push(line));
        }
        for batch in batches.taken(is_over) {
            is_wanted = is_wanted && sent(&lines, batch).await;
        }
        if is_over {
            return;
        }
    }
}

async fn give_up(lines: &mpsc::Sender<Lines>, error: &io::Error) {
    // Nobody who went away is told.
    let _ = lines.send(Err(BodyRefused::of(error))).await;
}

/// Whether somebody wants them.
async fn sent(lines: &mpsc::Sender<Lines>, batch: Vec<Raw>) -> bool {
    let read = spawn_blocking(move || {
        let read = |raw| match raw {
            Raw::Line(bytes) => line::read(&bytes),
            Raw::TooLong => Err(line::too_long()),
        };
        batch.into_iter().map(read).collect()
    });
    match read.await {
        Ok(read) => lines.send(Ok(read)).await.is_ok(),
        // Without its trailer a file is refused.
        Err(_) => false,
    }
}

/// A line as it came.
#[derive(Debug, PartialEq, Eq)]
enum Raw {
    Line(Vec<u8>),
    TooLong,
}

/// Cuts pieces of a text into lines, of which none takes more memory than the longest may.
#[derive(Default)]
struct Cutter {
    line: Vec<u8>,
    is_too_long: bool,
}

impl Cutter {
    fn cut(&mut self, piece: &[u8], mut give: impl FnMut(Raw)) {
        let mut parts = piece.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            if part.len() > LINE_BYTES - self.line.len() {
                self.is_too_long = true;
                self.line = Vec::new();
            }
            if !self.is_too_long {
                self.line.extend_from_slice(part);
            }
            if parts.peek().is_some() {
                give(self.taken());
            }
        }
    }

    /// What stands behind the last line feed is a line, too.
    fn end(&mut self, mut give: impl FnMut(Raw)) {
        if self.is_too_long || !self.line.is_empty() {
            give(self.taken());
        }
    }

    fn taken(&mut self) -> Raw {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_too_long) {
            Raw::TooLong
        } else {
            Raw::Line(line)
        }
    }
}

/// Lines on their way, in parts that do not take long.
#[derive(Default)]
struct Batches {
    full: Vec<Vec<Raw>>,
    open: Vec<Raw>,
    bytes: usize,
}

impl Batches {
    fn push(&mut self, line: Raw) {
        if let Raw::Line(bytes) = &line {
            self.bytes += bytes.len();
        }
        self.open.push(line);
        if self.bytes >= BATCH_BYTES || self.open.len() == BATCH_LINES {
            self.close();
        }
    }

    fn close(&mut self) {
        self.bytes = 0;
        self.full.push(std::mem::take(&mut self.open));
    }

    /// Those that are full, and at the end the rest.
    fn taken(&mut self, is_over: bool) -> Vec<Vec<Raw>> {
        if is_over && !self.open.is_empty() {
            self.close();
        }
        std::mem::take(&mut self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Raw> {
        let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
        for piece in pieces {
            cutter.cut(piece, |line| lines.push(line));
        }
        cutter.end(|line| lines.push(line));
        lines
    }

    fn line(text: &str) -> Raw {
        Raw::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"first\n\nthird\r\nlast";
        let lines = [line("first"), line(""), line("third\r"), line("last")];
        assert_eq!(cut(&[text]), lines);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(cut(&bytes), lines);
        assert_eq!(cut(&[b"a\n"]), [line("a")]);
        assert_eq!(cut(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_hides_no_other() {
        let piece = vec![b'x'; 1 << 20];
        let long = vec![piece.as_slice(); 8];
        let mut pieces = vec![b"first\n".as_slice()];
        pieces.extend(&long);
        pieces.push(b"\nlast");
        assert_eq!(cut(&pieces), [line("first"), Raw::TooLong, line("last")]);
        let full = vec![piece.as_slice(); 7];
        assert!(matches!(cut(&full).as_slice(), [Raw::Line(line)] if line.len() == LINE_BYTES));
    }

    #[test]
    fn no_batch_holds_more_lines_than_are_read_in_a_moment() {
        let (mut cutter, mut batches) = (Cutter::default(), Batches::default());
        cutter.cut(&b"x\n".repeat(2_500), |line| batches.push(line));
        let lengths: Vec<_> = batches.taken(false).iter().map(Vec::len).collect();
        assert_eq!(lengths, [BATCH_LINES, BATCH_LINES]);
        let rest: Vec<_> = batches.taken(true).iter().map(Vec::len).collect();
        assert_eq!(rest, [500]);
        assert!(batches.taken(true).is_empty());
    }
}
