//! The unpacked size of an MLS message, checked before anything is unpacked.
//!
//! The MLS library checks who signed a message after it has decoded it, and what it decodes can be a hundred times larger than
//! what was sent: an empty place of a ratchet tree is one byte on the wire and some hundred in memory, so that a tree of 16 MiB of
//! zeros would take gigabytes; for each extension it searches the list of those before, so that 60,000 of them take seconds.
//! Any member of a conversation can send such things to any other. So every MLS message of a peer is walked over here
//! first, by the grammar of RFC 9420, and refused if it has more than [`ITEMS_MAX`] list items or a list of more than
//! [`EXTENSIONS_MAX`] extensions.
//!
//! What a handshake leaves behind stays: a leaf for the life of the conversation, a proposal until the next commit. So those
//! parts have limits in bytes as well ([`LEAF_BYTES_MAX`], [`KEY_PACKAGE_BYTES_MAX`], [`EXTENSIONS_BYTES_MAX`]).
//!
//! Nothing is allocated, nothing recurses: the grammar is finite. What does not follow it is refused too; the library would
//! refuse it as well, but later. Not here: whether anything is valid or authentic.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

use thiserror::Error;

use super::limits::{EXTENSIONS_BYTES_MAX, KEY_PACKAGE_BYTES_MAX, LEAF_BYTES_MAX, LIST_ITEMS_MAX};

/// Most list items of one message: nodes of a tree, proposals, ciphertexts of a path, receivers of a Welcome, extensions.
/// A conversation that fills a frame has some 24,000 devices and twice as many nodes.
pub const ITEMS_MAX: usize = 2 * LIST_ITEMS_MAX;
/// Most extensions of one list; RFC 9420 has five, this program uses three.
pub(crate) const EXTENSIONS_MAX: usize = 64;

/// Why a message is refused before it is unpacked.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ShapeError {
    /// It is cut off, or does not follow the grammar.
    #[error("it is not built as RFC 9420 says")]
    Grammar,
    /// It has more than [`ITEMS_MAX`] list items.
    #[error("it has more than {ITEMS_MAX} list items")]
    Items,
    /// It has a list of more than [`EXTENSIONS_MAX`] extensions.
    #[error("it has a list of more than {EXTENSIONS_MAX} extensions")]
    Extensions,
    /// A part that members would have to keep is too large.
    #[error("its {part} has more than {most} bytes")]
    Part {
        /// Which.
        part: &'static str,
        /// The most it may have.
        most: usize,
    },
}

const LEAF: (&str, usize) = ("leaf", LEAF_BYTES_MAX);
const KEY_PACKAGE: (&str, usize) = ("key package", KEY_PACKAGE_BYTES_MAX);
const EXTENSIONS: (&str, usize) = ("list of extensions", EXTENSIONS_BYTES_MAX);
const OTHER_PROPOSAL: (&str, usize) = ("proposal", EXTENSIONS_BYTES_MAX);

/// Type of the extension that holds a ratchet tree.
pub const RATCHET_TREE: u16 = 2;
/// Type of the extension that lists external senders.
const EXTERNAL_SENDERS: u16 = 5;

/// Checks an encoded `MLSMessage`, all of it. Encrypted parts (a Welcome's GroupInfo) cannot be seen: see [`check_tree`].
pub fn check(message: &[u8]) -> Result<(), ShapeError> {
    let mut walk = Walk { bytes: message, items: ITEMS_MAX };
    walk.u16()?;
    match walk.u16()? {
        1 => return walk.public_message(),
        // a ciphertext has no lists
        2 => return Ok(()),
        3 => {
            walk.u16()?;
            walk.list(|secrets| secrets.opaques(3))?;
            walk.opaque()?;
        }
        4 => {
            walk.skip(4)?;
            walk.opaque()?;
            walk.skip(8)?;
            walk.opaques(2)?;
            walk.extensions()?;
            walk.extensions()?;
            walk.opaque()?;
            walk.skip(4)?;
            walk.opaque()?;
        }
        5 => walk.key_package()?,
        _ => return Err(ShapeError::Grammar),
    }
    if walk.bytes.is_empty() { Ok(()) } else { Err(ShapeError::Grammar) }
}

/// Checks the data of a ratchet tree's extension.
pub fn check_tree(tree: &[u8]) -> Result<(), ShapeError> {
    Walk { bytes: tree, items: ITEMS_MAX }.tree()
}

/// The bytes still to be walked over, and the number of items that they may have.
struct Walk<'a> {
    bytes: &'a [u8],
    items: usize,
}

impl<'a> Walk<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], ShapeError> {
        let (taken, rest) = self.bytes.split_at_checked(bytes).ok_or(ShapeError::Grammar)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ShapeError> {
        self.take(bytes).map(drop)
    }

    fn u8(&mut self) -> Result<u8, ShapeError> {
        match self.take(1)? {
            [byte] => Ok(*byte),
            _ => Err(ShapeError::Grammar),
        }
    }

    fn u16(&mut self) -> Result<u16, ShapeError> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }

    /// A vector with a length prefix: RFC 9420 §2.1.2.
    fn opaque(&mut self) -> Result<&'a [u8], ShapeError> {
        let first = self.u8()?;
        let more = match first >> 6 {
            0 => 0u8,
            1 => 1,
            2 => 3,
            _ => return Err(ShapeError::Grammar),
        };
        let mut length = usize::from(first & 0x3f);
        for _ in 0..more {
            length = (length << 8) | usize::from(self.u8()?);
        }
        self.take(length)
    }

    fn opaques(&mut self, count: usize) -> Result<(), ShapeError> {
        (0..count).try_for_each(|_| self.opaque().map(drop))
    }

    /// A part that has at most so many bytes.
    fn small(
        &mut self,
        (part, most): (&'static str, usize),
        walk: impl FnOnce(&mut Self) -> Result<(), ShapeError>,
    ) -> Result<(), ShapeError> {
        let before = self.bytes.len();
        walk(self)?;
        let length = before.saturating_sub(self.bytes.len());
        if length > most { Err(ShapeError::Part { part, most }) } else { Ok(()) }
    }

    fn count(&mut self) -> Result<(), ShapeError> {
        self.items = self.items.checked_sub(1).ok_or(ShapeError::Items)?;
        Ok(())
    }

    /// A vector of items, each walked over by `item`.
    fn list(&mut self, item: impl Fn(&mut Walk<'a>) -> Result<(), ShapeError>) -> Result<(), ShapeError> {
        let mut inner = Walk { bytes: self.opaque()?, items: self.items };
        while !inner.bytes.is_empty() {
            inner.count()?;
            item(&mut inner)?;
        }
        self.items = inner.items;
        Ok(())
    }

    fn optional(&mut self) -> Result<Presence, ShapeError> {
        match self.u8()? {
            0 => Ok(Presence::Absent),
            1 => Ok(Presence::Present),
            _ => Err(ShapeError::Grammar),
        }
    }

    fn extensions(&mut self) -> Result<(), ShapeError> {
        let mut inner = Walk { bytes: self.opaque()?, items: self.items };
        let (mut count, mut bytes) = (0usize, 0usize);
        while !inner.bytes.is_empty() {
            inner.count()?;
            count = count.saturating_add(1);
            if count > EXTENSIONS_MAX {
                return Err(ShapeError::Extensions);
            }
            let kind = inner.u16()?;
            let mut data = Walk { bytes: inner.opaque()?, items: inner.items };
            let length = data.bytes.len();
            match kind {
                RATCHET_TREE => {
                    data.tree()?;
                    inner.items = data.items;
                    continue;
                }
                EXTERNAL_SENDERS => data.list(|sender| {
                    sender.opaques(1)?;
                    sender.u16()?;
                    sender.opaques(1)
                })?,
                _ => {}
            }
            inner.items = data.items;
            bytes = bytes.saturating_add(length);
        }
        if bytes > EXTENSIONS_BYTES_MAX {
            let (part, most) = EXTENSIONS;
            return Err(ShapeError::Part { part, most });
        }
        self.items = inner.items;
        Ok(())
    }

    fn tree(&mut self) -> Result<(), ShapeError> {
        self.list(|node| match node.optional()? {
            Presence::Absent => Ok(()),
            Presence::Present => match node.u8()? {
                1 => node.leaf(),
                // unmerged leaves are numbers of four bytes, in memory too
                2 => node.opaques(3),
                _ => Err(ShapeError::Grammar),
            },
        })
    }

    fn leaf(&mut self) -> Result<(), ShapeError> {
        self.small(LEAF, |leaf| {
            leaf.opaques(2)?;
            // credential
            leaf.u16()?;
            leaf.opaque()?;
            // capabilities: lists of numbers of two bytes, in memory too
            leaf.opaques(5)?;
            match leaf.u8()? {
                1 => leaf.skip(16)?,
                2 => {}
                3 => leaf.opaques(1)?,
                _ => return Err(ShapeError::Grammar),
            }
            leaf.extensions()?;
            leaf.opaques(1)
        })
    }

    fn key_package(&mut self) -> Result<(), ShapeError> {
        self.small(KEY_PACKAGE, |package| {
            package.skip(4)?;
            package.opaques(1)?;
            package.leaf()?;
            package.extensions()?;
            package.opaques(1)
        })
    }

    /// What follows the content (signature, tags) has no lists.
    fn public_message(&mut self) -> Result<(), ShapeError> {
        self.opaques(1)?;
        self.skip(8)?;
        match self.u8()? {
            1 | 2 => self.skip(4)?,
            3 | 4 => {}
            _ => return Err(ShapeError::Grammar),
        }
        self.opaques(1)?;
        match self.u8()? {
            1 => self.opaques(1),
            2 => self.proposal(),
            3 => self.commit(),
            _ => Err(ShapeError::Grammar),
        }
    }

    fn commit(&mut self) -> Result<(), ShapeError> {
        self.list(|item| match item.u8()? {
            1 => item.proposal(),
            2 => item.opaques(1),
            _ => Err(ShapeError::Grammar),
        })?;
        match self.optional()? {
            Presence::Absent => Ok(()),
            Presence::Present => {
                self.leaf()?;
                self.list(|node| {
                    node.opaques(1)?;
                    node.list(|ciphertext| ciphertext.opaques(2))
                })
            }
        }
    }

    fn proposal(&mut self) -> Result<(), ShapeError> {
        match self.u16()? {
            1 => self.key_package(),
            2 => self.leaf(),
            3 => self.skip(4),
            7 => self.extensions(),
            kind => self.small(OTHER_PROPOSAL, |proposal| proposal.other_proposal(kind)),
        }
    }

    fn other_proposal(&mut self, kind: u16) -> Result<(), ShapeError> {
        match kind {
            4 => {
                match self.u8()? {
                    1 => self.opaques(1)?,
                    2 => {
                        self.skip(1)?;
                        self.opaques(1)?;
                        self.skip(8)?;
                    }
                    _ => return Err(ShapeError::Grammar),
                }
                self.opaques(1)
            }
            5 => {
                self.opaques(1)?;
                self.skip(4)?;
                self.extensions()
            }
            // an external init, or what the library reads as one vector
            _ => self.opaques(1),
        }
    }
}

/// Is an optional value present?
enum Presence {
    Absent,
    Present,
}

#[cfg(test)]
mod tests;
