//! Message files: append, rotate, seal.
//!
//! A segment is a message file, from its first record to its end. Records are lines, never split, never changed.
//! The open one is `<basename>.txt`; a sealed one has its final [name](names) and is never written to again.
//!
//! ```text
//! recover(rows) ─ Recovery ─ commit its rows ─ begin ─┐
//!        ┌───────────────── Segments ◀────────────────┘◀───────────────────┐
//!        │ append*, rotate*                                                │
//!        └─ sync ─▶ Synced ─ its rows, in the batch's transaction ─ settle ┘─▶ Settled: ready to ship
//! ```
//!
//! **Files settle after the commit.** The state's transaction alone decides which bytes count. So before it every byte
//! must be revocable, and after it every name must be reachable again:
//! - Bytes appended to the open file beyond its committed length are cut off at the next start.
//! - A segment begun in a batch is written to a part file, `.<basename>.<number>.part`; `<basename>.txt` never
//!   changes its meaning before the commit.
//! - After the commit, [`Segments::settle`] renames: sealed ones to their sealed names, then the part that is open to
//!   `<basename>.txt`. Interrupted, it is finished at the next start from the committed rows.
//!
//! Invariants:
//! - `<basename>.txt`, where it exists, begins with committed records.
//! - A number is used for one segment in a directory, for ever: it comes from the rows, and without rows it is
//!   greater than any in the directory.
//! - No file is larger than [`RotationLimits::size_max`] except one with a single larger record. No empty file is sealed or kept.
//! - A failed call leaves a poisoned writer: [`SegmentError::Poisoned`] until it is recovered. After a failed fsync
//!   the kernel may have dropped the pages and report success the next time, so trying again would be a lie.
//!
//! Cost: one `fdatasync` a batch without rotation; with one, a second file and at most three directory syncs.
//!
//! Not here: the clock (times come in as microseconds), the state (rows come in and go out), threads (there is one owner),
//! the content. A state directory restored from an older copy is noticed by [`SegmentError::StateOlder`] only
//! if a file has been sealed since; within one file it looks like a crash, and its tail is cut.
#![deny(clippy::arithmetic_side_effects, clippy::as_conversions)]

mod error;
pub mod names;
mod recover;
mod row;
mod settle;
mod writer;

pub use error::SegmentError;
pub use names::{Basename, Place};
pub use recover::{FoundFile, Recovery};
pub use row::{Chain, RotationLimits, SegmentRow, SegmentState, chained};
pub use writer::{Segments, Settled, Synced, WRITE_BYTES};
