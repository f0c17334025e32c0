//! One sealed SQLite file: versions of its schema, the vault that its secrets are sealed in, and transactions that return the
//! proof of their commit.
//!
//! WAL, every commit synced. Only ids of conversations, cursors and sizes are unencrypted; keys, names and rosters are sealed,
//! each to its row.
//!
//! **Damage.** A sealed value with one flipped bit does not open. An unencrypted value that decides what counts as archived has a
//! [guard](guard::guard) beside it: a damaged cursor would acknowledge what was never archived. A file gets
//! its name only once it has content, so that an empty one is a damaged one, never taken for a new state. SQLite itself
//! notices some of the other damage to its pages.
//!
//! Not here: what the tables mean. Each room keeps its own.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

mod error;
mod file;
pub mod guard;
pub mod schema;
mod store;
pub mod vault;

pub use error::StoreError;
pub use guard::{Guard, guard};
pub use store::{Access, Committed, META, Store, Writer};
