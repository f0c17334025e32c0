//! Judges an archive by its evidence, offline, on any copy; and proves single records and files to somebody who has no more.
//!
//! Names and hashes count, places do not. Every finding is listed: the walk never ends at the first. A finding that another one
//! explains says so, and the verdict counts causes only.
//!
//! Invariants: reading changes nothing; no clock is read here, the caller gives the time; two runs on one archive give one
//! report, but for the time of day and the seconds it took.
//!
//! Not here: what cannot be known. Without a head from elsewhere a cut end cannot be excluded, and without a key from elsewhere
//! the archive speaks for itself only: the report says so.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]

mod args;
mod bundle;
mod deep;
mod expected;
mod files;
mod finding;
mod heads;
mod html;
mod judge;
mod keys;
mod log;
mod prove;
mod ranges;
mod report;
pub mod source;
mod text;

pub use args::{Error, Requirement, VerifyArgs, run_verify};
pub use expected::{Range, Totals};
pub use files::Depth;
pub use finding::{Code, Finding, Severity};
pub use heads::GivenHead;
pub use judge::{Options, verify};
pub use prove::{ProveArgs, ProveError, run_prove};
pub use report::{Assurance, LogReport, Report, Span, Subject, Verdict};

#[cfg(test)]
mod tests;
