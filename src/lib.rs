//! retaind: the open data-retention bot for end-to-end encrypted messaging.

pub mod bot;
pub mod cli;
pub mod config;
pub mod device;
pub mod network;
pub mod protocol;
pub mod report;
