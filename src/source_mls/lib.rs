//! The MLS network as a source: what the bot archives by default.
//!
//! ```text
//!  Delivered ─▶ Decrypted ─▶ [File] ─▶ Chunk ─▶ commit ─▶ durable ─▶ Owed ─▶ acknowledge
//!  receive      decrypt      fetch     change                        change   receive
//! ```
//!
//! Exactly once follows from three facts: the network gives each conversation gap-free places (`seq`) and keeps every
//! message for a device until that device acknowledges it; the cursor of a conversation is in the same transaction as the
//! records up to it; a place at or below the cursor is skipped, a missing place is requested on a new connection,
//! and recorded as a hole if it does not come there either.
//!
//! Stopping goes from front to back: no more deliveries are taken; the workers drop what they have not begun (it is not
//! acknowledged, so it comes again); downloads are aborted; what is ready is committed; the last acknowledgements go out.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests may do what clippy.toml reserves"))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::as_conversions))]

mod acknowledge;
pub mod change;
pub mod decrypt;
pub mod delivery;
mod download;
mod error;
pub mod fetch;
pub mod hand;
mod heartbeat;
pub mod kept;
pub mod limits;
mod provision;
pub mod receive;
mod reports;
pub mod retry;
mod source;
pub mod wanted;

pub use error::MlsError;
pub use heartbeat::Heartbeat;
pub use reports::Reports;
pub use source::Mls;
