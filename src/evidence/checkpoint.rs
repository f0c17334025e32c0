//! The head of a log: how many entries it has, and the root over them, as a signed note (C2SP tlog-checkpoint).
//!
//! A note is text for people and machines: origin, size and root in a line each, an empty line, and a line for each signature.
//! Lines of keys that a reader does not know are kept and passed over: a witness or a second key adds one.

use data_encoding::BASE64;

use crate::key::{KeyError, KeyId, SigningKey, Vkey, is_name};
use crate::tree::Hash;

/// Longest note that is read: with [`SIGNATURES_MAX`] signatures of the largest kind that is in use (ML-DSA-44) it is shorter.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Signatures of one note: a bot's two and those of witnesses.
pub const SIGNATURES_MAX: usize = 16;
/// Before each signature: an em dash and a space.
const MARK: &str = "— ";

/// The head of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Over them.
    pub root: Hash,
}

/// One line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's.
    pub name: String,
    /// The key's.
    pub id: KeyId,
    /// What comes after the id. 64 bytes for Ed25519; others as their algorithm says.
    pub signature: Vec<u8>,
}

/// A checkpoint as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// In the order of their lines.
    pub signatures: Vec<NoteSignature>,
}

/// Why a text is not a checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// More than [`NOTE_BYTES_MAX`].
    #[error("the note has {0} bytes, at most {NOTE_BYTES_MAX} are read")]
    TooLong(usize),
    /// No text at all, or other lines.
    #[error("the note is not origin, size, root, an empty line and signature lines, each with a line feed at its end")]
    Shape,
    /// Spaces, control characters, `+`, or nothing.
    #[error("the note's origin or a name in it has a space, a control character or a `+`, or is empty")]
    Name,
    /// Leading zeros, a sign, or too great.
    #[error("the note's size is not a decimal number without leading zeros")]
    Size,
    /// Not 32 bytes.
    #[error("the note's root is not base64 of 32 bytes, in its one form")]
    Root,
    /// A line after the empty one.
    #[error("line {0} after the empty one is not a signature: `— <name> <base64>`")]
    Signature(usize),
    /// More than [`SIGNATURES_MAX`].
    #[error("the note has more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
}

impl Checkpoint {
    /// What is signed: three lines.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    /// The note with one signature. `name`: the key's, which is the origin unless a log has several keys.
    ///
    /// # Errors
    /// A note cannot carry the origin or the name.
    pub fn sign(&self, name: &str, key: &SigningKey) -> Result<String, KeyError> {
        let mut note = SignedNote { checkpoint: self.clone(), signatures: Vec::new() };
        note.sign(name, key)?;
        Ok(note.to_text())
    }
}

impl SignedNote {
    /// Adds a signature.
    ///
    /// # Errors
    /// A note cannot carry the origin or the name.
    pub fn sign(&mut self, name: &str, key: &SigningKey) -> Result<(), KeyError> {
        if !is_name(&self.checkpoint.origin) {
            return Err(KeyError::Name);
        }
        let signature = key.sign(self.checkpoint.body().as_bytes()).to_vec();
        self.signatures.push(NoteSignature { name: name.to_owned(), id: key.vkey(name)?.id(), signature });
        Ok(())
    }

    /// The note's bytes.
    pub fn to_text(&self) -> String {
        let mut text = self.checkpoint.body() + "\n";
        for line in &self.signatures {
            let signature = [line.id.as_slice(), &line.signature].concat();
            text.push_str(&format!("{MARK}{} {}\n", line.name, BASE64.encode(&signature)));
        }
        text
    }

    /// Of a note's bytes. Signatures are read, not checked.
    ///
    /// # Errors
    /// It is no checkpoint in the form that [`to_text`](Self::to_text) gives.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(text.len()));
        }
        let (body, lines) = text.split_once("\n\n").ok_or(NoteError::Shape)?;
        let mut fields = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(NoteError::Shape);
        };
        if !is_name(origin) {
            return Err(NoteError::Name);
        }
        let number = size.parse::<u64>().map_err(|_| NoteError::Size)?;
        if number.to_string() != size {
            return Err(NoteError::Size);
        }
        let root = BASE64.decode(root.as_bytes()).ok().and_then(|root| root.try_into().ok()).ok_or(NoteError::Root)?;
        let mut signatures = Vec::new();
        for (at, line) in lines.split_inclusive('\n').enumerate() {
            if at >= SIGNATURES_MAX {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(signature_of(line).ok_or_else(|| NoteError::Signature(at.saturating_add(1)))?);
        }
        if signatures.is_empty() {
            return Err(NoteError::Shape);
        }
        Ok(Self { checkpoint: Checkpoint { origin: origin.to_owned(), size: number, root }, signatures })
    }

    /// Whether one of the signatures is this key's and right.
    #[must_use]
    pub fn verify(&self, key: &Vkey) -> bool {
        let (body, id) = (self.checkpoint.body(), key.id());
        let mut of_key = self.signatures.iter().filter(|line| line.id == id && line.name == key.name());
        of_key.any(|line| key.verify(body.as_bytes(), &line.signature))
    }
}

fn signature_of(line: &str) -> Option<NoteSignature> {
    let (name, signature) = line.strip_suffix('\n')?.strip_prefix(MARK)?.split_once(' ')?;
    let bytes = BASE64.decode(signature.as_bytes()).ok()?;
    let (id, signature) = bytes.split_first_chunk()?;
    let is_whole = is_name(name) && !signature.is_empty();
    is_whole.then(|| NoteSignature { name: name.to_owned(), id: *id, signature: signature.to_vec() })
}
