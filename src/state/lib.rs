//! One sealed SQLite file: versions of its schema, and the vault that its secrets are sealed in.
#![forbid(unsafe_code)]

pub mod schema;
pub mod vault;
