//! A body between its arrival and its departure: in memory while small, then in a file without a name.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Seek, Write};

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};

use super::proxy::Body;

/// Of a body in memory.
const MEMORY_BYTES_MAX: usize = 1 << 20;
/// Read from a file at once.
const PIECE_BYTES: usize = 256 << 10;

/// The bytes so far.
#[derive(Default)]
pub struct Spool {
    memory: Vec<u8>,
    /// All, once they are too many.
    file: Option<File>,
    length: u64,
}

impl Spool {
    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// More of it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.length += u64::try_from(bytes.len()).unwrap();
        if let Some(file) = &mut self.file {
            file.write_all(bytes).unwrap();
            return;
        }
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > MEMORY_BYTES_MAX {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&std::mem::take(&mut self.memory)).unwrap();
            self.file = Some(file);
        }
    }

    /// All of it, from its beginning.
    pub fn into_body(self) -> Body {
        let Self { memory, file, .. } = self;
        let mut source: Box<dyn Read + Send> = match file {
            Some(mut file) => {
                file.rewind().unwrap();
                Box::new(file)
            }
            None => Box::new(std::io::Cursor::new(memory)),
        };
        let pieces = std::iter::from_fn(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let length = source.read(&mut piece).unwrap();
            piece.truncate(length);
            (length > 0).then(|| Ok(Frame::data(Bytes::from(piece))))
        });
        StreamBody::new(stream::iter(pieces)).boxed_unsync()
    }
}
