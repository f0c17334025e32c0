//! How the bot stands at this moment, for whoever reads its health. Told by the stages and by the watchdog, read by
//! [`super::health`].

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Does the bot receive?
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Receiving {
    /// It has not been logged in to the network yet.
    #[default]
    NotYet,
    /// It is logged in, and the network delivers.
    Now,
    /// The connection ended; it connects again.
    Interrupted,
}

/// Do its stages work?
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Stages {
    /// All of them.
    #[default]
    Work,
    /// They were told to stop, and finish what they have in hand.
    Stop,
    /// One failed: the others stop.
    Failed,
}

/// Do the stages get on with what they have?
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Pipeline {
    /// They do.
    #[default]
    Moves,
    /// One has stood still for a while.
    Slow,
    /// One has stood still for too long: the bot ends.
    Stalled,
}

/// Is there room on the disk?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Space {
    /// There is.
    #[default]
    Enough,
    /// Operators should make some.
    Low,
    /// Too little to take more deliveries.
    Critical,
}

/// What the watchdog thinks.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    /// Of the stages.
    pub pipeline: Pipeline,
    /// Of the disk.
    pub space: Space,
}

/// Do files get to where they are kept?
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Shipping {
    /// They do, or none waits.
    #[default]
    Moves,
    /// Files wait, and none was stored for a while.
    Stalled,
}

/// Receiving, stages and shipping together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Does the bot receive?
    pub receiving: Receiving,
    /// Do its stages work?
    pub stages: Stages,
    /// Do files get to where they are kept?
    pub shipping: Shipping,
}

/// Where it is told. Starts as a bot does: not received yet, nothing failed.
#[derive(Debug, Default)]
pub struct Status(Mutex<Standing>);

impl Status {
    /// Receiving began or ended.
    pub fn receives(&self, receiving: Receiving) {
        self.lock().receiving = receiving;
    }

    /// Shipping stands still, or gets on again.
    pub fn ships(&self, shipping: Shipping) {
        self.lock().shipping = shipping;
    }

    /// The stages stop. A failure stays one, whatever follows.
    pub fn stops(&self, stages: Stages) {
        let mut standing = self.lock();
        if standing.stages != Stages::Failed {
            standing.stages = stages;
        }
    }

    /// How far the bot is with starting or stopping.
    pub fn standing(&self) -> Standing {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
