//! The retention bot: receive → decrypt → record → segment → ship.

pub mod disk;
pub mod record;
pub mod segment;
pub mod ship;
