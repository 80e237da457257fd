//! A zip archive that is made while it is sent.
//!
//! Documents are stored as they are: what compresses tells by its length what is inside, and the connection is the place to
//! save bytes. The directory at the end takes about 150 bytes for each document, until it is sent.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use rawzip::ZipArchiveWriter;
use shared::problem::Unexpected;

use super::markdown;
use crate::domain::record::Record;

/// Its media type.
pub(in crate::http) const ZIP: &str = "application/zip";

/// What is written until somebody takes it.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive without its end.
pub(in crate::http) struct Archive {
    zip: ZipArchiveWriter<Written>,
    written: Written,
}

impl Archive {
    pub(super) fn new() -> Self {
        let written = Written::default();
        Self {
            zip: ZipArchiveWriter::new(written.clone()),
            written,
        }
    }

    /// Adds the document of a record.
    pub(super) fn put(&mut self, record: &Record) -> Result<(), Unexpected> {
        let document = markdown::document(record);
        let put = self.put_file(&markdown::name(record), document.as_bytes());
        put.map_err(|cause| Unexpected::bug("writing an archive").caused_by(cause))
    }

    fn put_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), rawzip::Error> {
        let (mut file, config) = self.zip.new_file(name).start()?;
        let mut data = config.wrap(&mut file);
        data.write_all(bytes)?;
        let (_, descriptor) = data.finish()?;
        file.finish(descriptor)?;
        Ok(())
    }

    /// What there is by now.
    pub(super) fn take(&self) -> Vec<u8> {
        self.written.take()
    }

    /// The directory, without which nobody takes an archive for whole.
    pub(super) fn end(self) -> Result<Vec<u8>, Unexpected> {
        let ended = self.zip.finish();
        ended.map_err(|cause| Unexpected::bug("writing an archive").caused_by(cause))?;
        Ok(self.written.take())
    }
}
