//! Attachments between a device and the network: ciphertext in ranges, memory of a few chunks.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use futures_util::future::BoxFuture;
use retaind_core::fault::{Fault, Faulty};
use thiserror::Error;

use super::connection::{Connection, ConnectionError};
use retaind_protocol::attachment::{AttachmentError, AttachmentKey, EncryptingReader};
use retaind_protocol::content::{Attachment, AttachmentKind};
use retaind_protocol::limits::BLOB_RANGE_BYTES_MAX;
use retaind_protocol::wire::{
    Answer, BlobCreate, BlobCreated, BlobFinish, BlobGet, BlobPut, BlobRange, BlobState, RefusalCode, Request,
};

/// Why an attachment could not be sent or fetched.
#[derive(Debug, Error)]
pub enum BlobError {
    /// The network failed or refused.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The encryption, or the file behind it.
    #[error(transparent)]
    Attachment(#[from] AttachmentError),
    /// The file to be sent cannot be read.
    #[error("file `{path}` cannot be read")]
    File {
        /// Path of the file.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The system gave no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

impl Faulty for BlobError {
    fn fault(&self) -> Fault {
        match self {
            Self::Connection(error) => error.fault(),
            Self::Attachment(_) | Self::File { .. } => Fault::Configuration,
            Self::Random => Fault::Internal,
        }
    }
}

impl BlobError {
    /// Is it certain that the network does not have the blob?
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Connection(error) if error.refusal() == Some(RefusalCode::NotFound))
    }
}

/// Encrypts the file at `path` under a fresh key and uploads it. Returns what the message must say.
pub async fn upload(connection: &Connection, path: &Path, kind: AttachmentKind) -> Result<Attachment, BlobError> {
    let failed = |source| BlobError::File { path: path.display().to_string(), source };
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut reader = EncryptingReader::new(file, size)?;
    let create = BlobCreate { size: reader.layout().ciphertext_size() };
    let Answer::BlobCreated(BlobCreated { blob }) = connection.call(Request::BlobCreate(create)).await? else {
        return Err(ConnectionError::Protocol("blob was not created").into());
    };
    let mut offset = 0u64;
    let mut bytes = Vec::with_capacity(BLOB_RANGE_BYTES_MAX);
    loop {
        let more = reader.next_block(&mut bytes)?.is_some();
        while bytes.len() >= BLOB_RANGE_BYTES_MAX || (!more && !bytes.is_empty()) {
            let rest = bytes.split_off(bytes.len().min(BLOB_RANGE_BYTES_MAX));
            let put = BlobPut { blob: blob.clone(), offset, bytes: std::mem::replace(&mut bytes, rest) };
            let Answer::BlobState(BlobState { received, .. }) = connection.call(Request::BlobPut(put)).await? else {
                return Err(ConnectionError::Protocol("range of a blob was not answered").into());
            };
            offset = received;
        }
        if !more {
            break;
        }
    }
    let sealed = reader.finish()?;
    connection.call_done(Request::BlobFinish(BlobFinish { blob: blob.clone() })).await?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut guid = [0u8; 16];
    aws_lc_rs::rand::fill(&mut guid).map_err(|_| BlobError::Random)?;
    Ok(Attachment {
        blob: blob.try_into().map_err(|_| ConnectionError::Protocol("blob id is not 32 bytes"))?,
        key: AttachmentKey::from_bytes(sealed.key().expose())?,
        size,
        sha256: *sealed.sha256(),
        name,
        guid,
        kind,
    })
}

/// A source of blobs: the network behind a connection.
pub trait Blobs: Send + Sync + 'static {
    /// Reads the bytes `range` of a blob, at most [`BLOB_RANGE_BYTES_MAX`]; fewer at the end of the blob, none after it.
    fn range<'a>(&'a self, blob: &'a [u8; 32], range: Range<u64>) -> BoxFuture<'a, Result<BlobRange, BlobError>>;
}

impl Blobs for Connection {
    fn range<'a>(&'a self, blob: &'a [u8; 32], range: Range<u64>) -> BoxFuture<'a, Result<BlobRange, BlobError>> {
        let Range { start, end } = range;
        let length = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
        let get = BlobGet { blob: blob.to_vec(), offset: start, length };
        Box::pin(async move {
            let Answer::BlobRange(range) = self.call(Request::BlobGet(get)).await? else {
                return Err(ConnectionError::Protocol("range of a blob was not answered").into());
            };
            Ok(range)
        })
    }
}
