//! Attacks, in any size: what a test makes in small, a campaign makes in full.

pub mod connections;
pub mod files;
pub mod full;
pub mod honest;
pub mod members;
pub mod neighbours;
pub mod poison;
pub mod soak;
pub mod stolen;
pub mod strangers;
pub mod target;
