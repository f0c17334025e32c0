//! Which deliveries the workers have in hand, so that a delivery that ends the process does not end the archive.
//!
//! A panic is caught where it happens. An abort, a stack that overflows and the kernel's OOM killer are not: the process is gone,
//! the network delivers the same message to the next one, and so on for ever. So each worker says what it is about to process, in a
//! small file ([`format`](mod@format)) beside the state, and takes that back when it has nothing in hand. What stands there at
//! the next start was in hand when the process died.
//!
//! After the first death the deliveries that were in hand are *suspect*. Their conversations are handled one delivery at a time,
//! while no other worker has any in hand, so that the next mark names one delivery and no innocent one. A suspect that is
//! processed is none any more. One that was in hand at [`DEATHS`](crate::limits::DEATHS) deaths in a row is condemned: it is not
//! touched again, and its conversation is lost like one that MLS refuses ([`super::decrypt`]): ciphertexts kept, record, event,
//! reason in `/readyz`, `retaind lost`.
//!
//! Who kills the process at random hits the same delivery three times in a row only if it takes most of the time between the kills;
//! what was passed in between counts again from the start.
//!
//! Invariant: this file never keeps a bot from starting or going on. Missing, damaged or of another size, it says nothing; if it
//! cannot be written that is one warning. Nothing is synced: a killed process leaves what it wrote in the page cache, and after a
//! loss of power no delivery is to blame. It is no evidence, and does not go through the bot's `Disk`.
//!
//! Cost: one `pwrite` of 128 bytes a conversation and turn, and one at the end of a turn: 1.5 µs of a core each, below 1 % of what
//! decrypting, exporting and committing a single message takes. After a death opening a session is noted as well, so that stored
//! keys which end the process are found; that takes one death more.
//!
//! Not here: deaths in other stages. A chunk that kills while it is committed or its file fetched is not noticed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use retaind_protocol::ids::ConversationId;

pub mod format;
pub mod suspects;

use self::format::{Deliveries, FILE_BYTES, Found, Run, Suspect};

/// The file, in the state directory.
pub const FILE: &str = "in-hand.bin";

/// What all workers of a bot have in hand, and what is suspected.
#[derive(Debug, Default)]
pub struct Hands {
    file: Option<File>,
    failed: AtomicBool,
    /// The last run died: opening a session is noted as well.
    careful: bool,
    /// As they stand in the file; `None`: passed.
    suspects: Mutex<Vec<Option<Suspect>>>,
    /// How many are left.
    left: AtomicUsize,
    /// Held by whoever has a delivery in hand while there are suspects.
    alone: RwLock<()>,
}

/// Does the state have what became of the conversation? If not, a verdict stays in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    IsStored,
    IsNotStored,
}

impl Hands {
    /// For a bot that remembers nothing.
    pub fn none() -> Arc<Self> {
        Arc::default()
    }

    /// Begins a run in this directory, which only this process uses: what the last one has left is counted.
    pub fn open(directory: &Path) -> Arc<Self> {
        let path = directory.join(FILE);
        let found = read(&path);
        // a panic that ended a worker leaves its mark, and then an orderly end
        let died = found.run == Run::Died || !found.in_hand.is_empty();
        let suspects = if died { suspects::after_death(&found.suspects, &found.in_hand) } else { found.suspects };
        let careful = died || !suspects.is_empty();
        if !found.in_hand.is_empty() {
            let (in_hand, suspects) = (found.in_hand.len(), suspects.len());
            tracing::warn!(
                in_hand,
                suspects,
                "the last process died with messages in hand: they are handled one by one"
            );
        }
        let begun = begin(directory, &suspects);
        if let Err(error) = &begun {
            tracing::warn!(%error, path = %path.display(), "what is in hand cannot be noted: a message that ends the process again and again will not be found");
        }
        let left = AtomicUsize::new(suspects.len());
        let suspects = Mutex::new(suspects.into_iter().map(Some).collect());
        Arc::new(Self { file: begun.ok(), careful, suspects, left, ..Self::default() })
    }

    /// Forgets what the state is past. `cursor`: of a conversation.
    pub fn forget_passed<E>(&self, mut cursor: impl FnMut(&ConversationId) -> Result<Option<u64>, E>) -> Result<(), E> {
        let suspects: Vec<Suspect> = self.lock().iter().flatten().copied().collect();
        for Suspect { deliveries: Deliveries { conversation, .. }, .. } in suspects {
            if let Some(cursor) = cursor(&conversation)? {
                self.passed(&conversation, cursor, Verdict::IsStored);
            }
        }
        Ok(())
    }

    /// What this worker has in hand.
    pub fn hand(self: &Arc<Self>, worker: usize) -> Hand {
        Hand { hands: Arc::clone(self), place: format::place_of_mark(worker), marked: false }
    }

    /// The run ends as it means to.
    pub fn end(&self) {
        self.write(0, &format::ended());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Suspect>>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a delivery of no suspect is in hand. `None`: there are none, and no need.
    pub(crate) fn among_others(&self) -> Option<RwLockReadGuard<'_, ()>> {
        (self.left.load(Ordering::Acquire) > 0).then(|| self.alone.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Held while a suspect is in hand: nobody else has anything in hand.
    pub(crate) fn alone(&self) -> RwLockWriteGuard<'_, ()> {
        self.alone.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, conversation: &ConversationId) -> Option<Suspect> {
        if self.left.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.lock().iter().flatten().find(|suspect| suspect.deliveries.conversation == *conversation).copied()
    }

    /// The conversation was processed up to this place, and the process lives.
    fn passed(&self, conversation: &ConversationId, cursor: u64, verdict: Verdict) {
        for (number, place) in self.lock().iter_mut().enumerate() {
            let is_past = |suspect: &Suspect| {
                suspect.deliveries.conversation == *conversation && suspect.deliveries.last <= cursor
            };
            if let Some(suspect) = place.take_if(|suspect| is_past(suspect)) {
                self.left.fetch_sub(1, Ordering::AcqRel);
                if verdict == Verdict::IsStored || !suspect.is_condemned() {
                    self.write(format::place_of_suspect(number), &format::nothing());
                }
            }
        }
    }

    fn write(&self, at: u64, record: &[u8]) {
        let Some(file) = &self.file else { return };
        if let Err(error) = file.write_all_at(record, at)
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "what is in hand cannot be noted in `{FILE}`: a message that ends the process may not be found");
        }
    }
}

fn read(path: &Path) -> Found {
    let nothing = Found { run: Run::Ended, in_hand: Vec::new(), suspects: Vec::new(), damaged: 0 };
    let limit = u64::try_from(FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let why = match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => match format::decode(&bytes) {
            Ok(found) if found.damaged == 0 => return found,
            Ok(found) => {
                let damaged = found.damaged;
                tracing::warn!(damaged, path = %path.display(), "records of what was in hand are damaged and count for nothing");
                return found;
            }
            Err(error) => error.to_string(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return nothing,
        Err(error) => error.to_string(),
    };
    tracing::warn!(why, path = %path.display(), "what was in hand cannot be read and counts for nothing");
    nothing
}

/// Written aside and renamed: a death in between is counted once.
fn begin(directory: &Path, suspects: &[Suspect]) -> io::Result<File> {
    let (path, aside) = (directory.join(FILE), directory.join(format!("{FILE}.new")));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all_at(&format::encode(suspects), 0)?;
    fs::rename(&aside, &path)?;
    Ok(file)
}

/// What one worker has in hand.
#[derive(Debug)]
pub struct Hand {
    hands: Arc<Hands>,
    /// `None`: it has no place in the file.
    place: Option<u64>,
    marked: bool,
}

impl Hand {
    /// Of a worker that notes nothing.
    pub fn none() -> Self {
        Self { hands: Hands::none(), place: None, marked: false }
    }

    /// Those of all workers.
    pub(crate) fn hands(&self) -> Arc<Hands> {
        Arc::clone(&self.hands)
    }

    /// From now on these are in hand, and nothing else.
    pub fn take(&mut self, conversation: ConversationId, first: u64, last: u64) {
        let Some(place) = self.place else { return };
        self.marked = true;
        self.hands.write(place, &format::mark(&Deliveries { conversation, first, last }));
    }

    /// The same of a conversation whose session is about to be opened. Only after a death: it costs as much again.
    pub fn take_to_open(&mut self, conversation: ConversationId, first: u64, last: u64) {
        if self.hands.careful {
            self.take(conversation, first, last);
        }
    }

    /// Nothing is in hand.
    pub fn rest(&mut self) {
        if let (Some(place), true) = (self.place, self.marked) {
            self.marked = false;
            self.hands.write(place, &format::nothing());
        }
    }

    /// Must its deliveries be handled alone?
    pub fn is_suspect(&self, conversation: &ConversationId) -> bool {
        self.hands.find(conversation).is_some()
    }

    /// Why this delivery must not be touched, if it is so.
    pub fn condemns(&self, conversation: &ConversationId, seq: u64) -> Option<String> {
        let suspect = self.hands.find(conversation)?;
        (suspect.is_condemned() && suspect.deliveries.only() == Some(seq)).then(|| {
            format!(
                "the process has died {} times in a row with message {seq} in hand, it is not processed again",
                suspect.deaths
            )
        })
    }

    /// Its conversation was processed up to this place.
    pub fn passed(&self, conversation: &ConversationId, cursor: u64) {
        self.hands.passed(conversation, cursor, Verdict::IsNotStored);
    }
}

#[cfg(test)]
mod tests;
