//! The object of a file: what became of it, and what its sender claimed.

use data_encoding::HEXLOWER;

use super::line::hyphenated;
use super::shapes::{File, KeptObject, Mismatch};
use super::{FileOutcome, KeptFile};
use retaind_protocol::content::{Attachment, AttachmentKind};

const NOT_FETCHED: &str = "the attachment was not fetched";

impl<'a> File<'a> {
    /// Of a message that announces a file.
    pub(super) fn of(file: &'a Attachment, outcome: Option<&'a FileOutcome>, sender: &'a str, time: &str) -> Self {
        let found = match outcome {
            Some(outcome) => Self::found(outcome),
            None => Self { reason: Some(NOT_FETCHED), status: "missing", ..Self::default() },
        };
        let (isscreenshot, isvoicememo, voicememoduration) = match file.kind {
            AttachmentKind::File => (None, None, None),
            AttachmentKind::Screenshot => (Some(true), None, None),
            AttachmentKind::VoiceMemo { seconds } => (None, Some(true), Some(seconds)),
        };
        let (hash, size) = (HEXLOWER.encode(&file.sha256), file.size);
        let (filehash, filesize) = (found.filehash.unwrap_or_else(|| hash.clone()), found.filesize.unwrap_or(size));
        let hash_mismatch = (filehash != hash).then(|| Mismatch { actual: filehash.clone(), claimed: hash });
        let size_mismatch = (filesize != size).then_some(Mismatch { actual: filesize, claimed: size });
        Self {
            filehash: Some(filehash),
            filename: Some(&file.name),
            filesize: Some(filesize),
            guid: Some(hyphenated(&HEXLOWER.encode(&file.guid))),
            hash_mismatch,
            isscreenshot,
            isvoicememo,
            size_mismatch,
            uploadedbyuser: Some(sender),
            uploadedtimestamp: Some(time.to_owned()),
            voicememoduration,
            ..found
        }
    }

    /// Only what the bot found out.
    pub(super) fn found(outcome: &'a FileOutcome) -> Self {
        match outcome {
            FileOutcome::Saved { local_name, sha256, size } => Self {
                filehash: Some(HEXLOWER.encode(sha256)),
                filesize: Some(*size),
                localfilename: Some(local_name),
                status: "saved",
                ..Self::default()
            },
            FileOutcome::Missing { reason } => Self { reason: Some(reason), status: "missing", ..Self::default() },
            FileOutcome::Undecryptable { reason, ciphertext, decrypted } => Self {
                ciphertext: ciphertext.as_ref().map(KeptObject::of),
                decrypted: decrypted.as_ref().map(KeptObject::of),
                reason: Some(reason),
                status: "undecryptable",
                ..Self::default()
            },
        }
    }
}

impl<'a> KeptObject<'a> {
    fn of(file: &'a KeptFile) -> Self {
        Self { file: &file.name, sha256: HEXLOWER.encode(&file.sha256), size: file.size }
    }
}
