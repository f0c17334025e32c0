//! Messages that announce a file, and wait for it.

use retaind_archive::record::{Ciphertext, FileOutcome, Record, RecordBody, RecordError, Unreadable};
use retaind_bot::batch::{Context, RecordBuffer, WrittenFile};
use retaind_protocol::content::{AnnouncedFile, Attachment, Body, Content};

use crate::change::Decrypted;

/// A chunk that waits for files.
#[derive(Debug)]
pub struct FileJob {
    /// The chunk, with the records before the first file.
    pub chunk: Decrypted,
    /// The files, in order.
    pub wanted: Vec<WantedFile>,
}

/// A message that announces a file.
#[derive(Debug)]
pub struct WantedFile {
    /// Context of the record.
    pub context: Context,
    /// The message.
    pub message: Message,
    /// The records up to the next file.
    pub after: RecordBuffer,
}

/// The message of a file.
#[derive(Debug)]
pub enum Message {
    /// Its content: a file, or one of a later version.
    Content(Content),
    /// Its content was refused, but has what is needed to fetch a file.
    Refused(Refused),
}

/// A message that cannot be read.
#[derive(Debug)]
pub struct Refused {
    /// The reason, for a person.
    pub reason: String,
    /// What was decrypted of it, if anything.
    pub plaintext: Option<Vec<u8>>,
    /// Its ciphertext, beside the record.
    pub kept: WrittenFile,
}

impl Refused {
    /// The file that it announces nevertheless.
    pub fn file(&self) -> Option<AnnouncedFile> {
        AnnouncedFile::in_plaintext(self.plaintext.as_deref()?)
    }

    /// As the formatter takes it.
    pub fn as_record(&self) -> Unreadable<'_> {
        let Self { reason, plaintext, kept } = self;
        let ciphertext = Ciphertext { size: kept.length, sha256: kept.sha256, file: Some(&kept.name) };
        Unreadable { reason, ciphertext, plaintext: plaintext.as_deref() }
    }
}

impl WantedFile {
    /// With no records after it yet.
    pub fn new(context: Context, message: Message) -> Self {
        Self { context, message, after: RecordBuffer::default() }
    }

    /// What has to be fetched; `None` if the message announces nothing.
    pub(crate) fn announced(&self) -> Option<AnnouncedFile> {
        match &self.message {
            Message::Content(content) => announced_by(&content.body),
            Message::Refused(refused) => refused.file(),
        }
    }

    /// Appends the message's record to `records`.
    pub(crate) fn record(&self, file: Option<&FileOutcome>, records: &mut RecordBuffer) -> Result<(), RecordError> {
        let body = match (&self.message, file) {
            (Message::Content(content), file) => RecordBody::Content { content, file },
            (Message::Refused(refused), Some(file)) => {
                RecordBody::UnreadableFile { message: refused.as_record(), file }
            }
            (Message::Refused(refused), None) => RecordBody::Unreadable(refused.as_record()),
        };
        let record = Record { context: self.context.as_record(), body };
        records.push(self.context.received_micros, |out| record.append_line(out))
    }
}

/// Is there a file to fetch?
pub(crate) fn announces_file(body: &Body) -> bool {
    announced_by(body).is_some()
}

fn announced_by(body: &Body) -> Option<AnnouncedFile> {
    if let Body::File(Attachment { blob, key, size, name, .. }) = body {
        Some(AnnouncedFile { blob: *blob, key: key.duplicate(), size: *size, name: name.clone() })
    } else if let Body::Unknown { kind, bytes, .. } = body {
        AnnouncedFile::in_body(*kind, bytes)
    } else {
        None
    }
}
