//! The retention bot: receive → decrypt → record → segment → ship.

pub mod batch;
pub mod clock;
pub mod commit;
pub mod decrypt;
pub mod disk;
pub mod encrypt;
mod failure;
pub mod fetch;
pub mod grace;
pub mod home;
pub mod names;
pub mod provision;
pub mod receive;
pub mod record;
pub mod run;
pub mod segment;
pub mod ship;
pub mod starts;
pub mod state;
pub mod watchdog;
