//! Files beside the records, and their names.
//!
//! A file is written under a temporary name (`.<random>.part`), made durable, and gets its final name only after the
//! commit that also holds its record. So after a crash every file with a final name has a record, and what is left of
//! uncommitted attempts is recognised by its name and removed at the start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use retaind_archive::names::{attachment_name, blob_name, ciphertext_name, millis_of, partial_name};
use retaind_protocol::ids::ConversationId;
use thiserror::Error;

use crate::batch::WrittenFile;
use crate::disk::{Disk, DiskError, DiskFile};

/// Why a file could not be put beside its record. Restart is the recovery.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The disk.
    #[error("a file beside the records cannot be kept (WICKRIO_COMP_FILEDEST)")]
    Disk(#[from] DiskError),
    /// The system gave no randomness for a temporary name.
    #[error("the system gives no random bytes")]
    Random,
}

/// Gives out the names of files in the attachment directory, each only once: every attachment has a millisecond for
/// itself, later than all before it. The latest one is committed with the files ([`Self::latest_millis`]) and comes
/// from the state at the start, so that neither a clock that was set back nor a file that was shipped and removed frees a
/// name.
pub struct Names {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    latest_millis: AtomicI64,
}

impl Names {
    /// For the attachment directory `directory`.
    pub fn new(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        Self { disk, directory: directory.to_owned(), latest_millis: AtomicI64::new(i64::MIN) }
    }

    /// From now on gives out only names later than this millisecond since 1970.
    pub(crate) fn go_on_after(&self, millis: i64) {
        self.latest_millis.fetch_max(millis, Ordering::AcqRel);
    }

    /// The latest millisecond since 1970 for which a name was given out. To be committed with the files.
    pub(crate) fn latest_millis(&self) -> i64 {
        self.latest_millis.load(Ordering::Acquire)
    }

    /// Removes the files of uncommitted attempts. Call it only after every committed file has its final name.
    pub fn clean(&self) -> Result<usize, FilesError> {
        let mut unfinished = Vec::new();
        self.disk.list(&self.directory, &mut |name| {
            if has_temporary_name(&name.to_string_lossy()) {
                unfinished.push(self.directory.join(name));
            }
        })?;
        unfinished.iter().try_for_each(|path| self.disk.remove(path))?;
        Ok(unfinished.len())
    }

    /// Keeps the ciphertext of a message that could not be read, received at `received_micros` since 1970.
    pub fn keep_ciphertext(
        &self,
        ciphertext: &[u8],
        conversation: &ConversationId,
        seq: u64,
        received_micros: i64,
    ) -> Result<WrittenFile, FilesError> {
        let (temporary, mut file) = self.temporary()?;
        file.write_all(ciphertext)?;
        file.sync_data()?;
        let name = ciphertext_name(received_micros, conversation, seq);
        let length = u64::try_from(ciphertext.len()).unwrap_or(u64::MAX);
        Ok(WrittenFile { temporary, name, length, sha256: sha256(ciphertext) })
    }

    /// Creates a file under a temporary name in the directory.
    pub fn temporary(&self) -> Result<(String, Box<dyn DiskFile>), FilesError> {
        let mut random = [0u8; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| FilesError::Random)?;
        let name = format!(".{}.part", HEXLOWER.encode(&random));
        let file = self.disk.create_new(&self.directory.join(&name))?;
        Ok((name, file))
    }

    /// Removes a file under a temporary name that will not be committed.
    pub fn give_up(&self, temporary: &str) -> Result<(), FilesError> {
        Ok(self.disk.remove(&self.directory.join(temporary))?)
    }

    /// The name of an attachment that was received at `micros`, microseconds since 1970.
    pub fn attachment(&self, micros: i64, original: &str) -> Result<String, FilesError> {
        self.fresh(micros, |millis| attachment_name(millis, original))
    }

    /// The name of the part of an attachment that could be decrypted.
    pub fn partial(&self, micros: i64, original: &str) -> Result<String, FilesError> {
        self.fresh(micros, |millis| partial_name(millis, original))
    }

    /// The name of the ciphertext of an attachment that could not be decrypted.
    pub fn blob(&self, micros: i64, conversation: &ConversationId, seq: u64) -> String {
        blob_name(micros, conversation, seq)
    }

    fn fresh(&self, micros: i64, name: impl Fn(i64) -> String) -> Result<String, FilesError> {
        let received = millis_of(micros);
        loop {
            let latest = self.latest_millis();
            let free = received.max(latest.saturating_add(1));
            if self.latest_millis.compare_exchange(latest, free, Ordering::AcqRel, Ordering::Acquire).is_err() {
                continue;
            }
            let name = name(free);
            // a file of an earlier bot whose state is gone
            if self.disk.len(&self.directory.join(&name))?.is_none() {
                return Ok(name);
            }
        }
    }
}

fn has_temporary_name(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".part")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0u8; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
