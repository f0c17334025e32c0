//! One sealed SQLite file: versions of its schema, the vault that its secrets are sealed in, and transactions that return the
//! proof of their commit.
//!
//! WAL, every commit synced. In clear are only ids of conversations, cursors and sizes; keys, names and rosters are sealed,
//! each to its row.
//!
//! **Damage.** A sealed value with one other bit does not open. What is in clear and decides what counts as archived has a
//! [guard](guard::guard) beside it: a cursor that the disk has changed would acknowledge what was never archived. A file gets
//! its name only with something in it, so that an empty one is a damaged one, and never taken for a new state. SQLite itself
//! notices some of what else may happen to its pages.
//!
//! Not here: what the tables of a room mean. The room keeps that to itself.
#![forbid(unsafe_code)]

mod error;
mod file;
pub mod guard;
pub mod schema;
mod store;
pub mod vault;

pub use error::StoreError;
pub use guard::{Guard, guard};
pub use store::{Access, Committed, META, Store, Writer};
