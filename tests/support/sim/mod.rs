//! A world in which everything that a bot touches is simulated: its disk, with the state on it, its clock, its network.
//!
//! The bot in it is the real one: its stages, its records, its MLS, its SQLite, one step at a time in one thread ([`bot`]). Only
//! what is outside is made up: [`disk`] (and [`vfs`], SQLite's way to it), [`network`], [`bucket`], and what happens ([`world`]).
//! What a simulated bot receives was sent by real devices ([`recording`]). A second bot archives the model of a source instead: what
//! goes wrong with that one goes wrong behind the seam ([`stages`]).
//!
//! Not here: threads and their races, TLS, the kernel, S3's wire. Those are for the tests with real processes.
#![allow(dead_code, missing_docs)]

pub mod bot;
pub mod bucket;
pub mod campaign;
pub mod disk;
pub mod evidence;
mod left;
pub mod network;
pub mod recording;
pub mod stages;
pub mod vfs;
pub mod world;

/// For whoever looks into a seed: `RETAIND_TRACE=1`.
pub fn trace(what: &str) {
    if std::env::var_os("RETAIND_TRACE").is_some() {
        eprintln!("{what}");
    }
}
