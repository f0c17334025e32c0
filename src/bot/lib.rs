//! The retention bot: receive → decrypt → record → segment → ship.

#![forbid(unsafe_code)]

pub mod batch;
pub mod clock;
pub mod commit;
pub mod decrypt;
pub mod disk;
mod failure;
pub mod fetch;
pub mod grace;
pub mod home;
pub mod provision;
pub mod receive;
pub mod run;
pub mod segment;
pub mod ship;
pub mod starts;
pub mod state;
pub mod watchdog;
