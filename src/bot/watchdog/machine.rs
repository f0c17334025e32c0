//! All that the watchdog concludes: observations go in, verdicts come out. No clock, no disk, no network.

use std::time::Duration;

use super::jump::Jump;
use super::outage::Outage;
use super::pulse::Beat;
use super::space::{self, Room};
use super::stall::Stall;
pub use retaind_report::status::{Pipeline, Space};

/// When something is worth a word, and when it is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Away for so long is a warning.
    pub network_warns_after: Duration,
    /// Away for so long, and for each multiple of it, is a failure.
    pub network_fails_after: Duration,
    /// A stage that stands still for so long is a warning.
    pub stage_warns_after: Duration,
    /// A stage that stands still for so long is a failure.
    pub stage_fails_after: Duration,
    /// Less than so many free bytes is little.
    pub disk_low_bytes: u64,
    /// Less than so many free bytes is too little to take more.
    pub disk_critical_bytes: u64,
    /// A clock that is off by more was set.
    pub clock_jump: Duration,
    /// From one observation to the next.
    pub look_every: Duration,
}

/// Is there a connection that messages come over?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// There is.
    Connected,
    /// There is not.
    #[default]
    Away,
}

/// The watchdog's opinion of the moment, for the stages and for whoever asks whether the bot is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Connection.
    pub network: Network,
    /// Failures of the present outage: 0 while it may still be a short one.
    pub network_failures: u32,
    /// Stages.
    pub pipeline: Pipeline,
    /// Disk.
    pub space: Space,
    /// How often the connection was ordered to begin anew.
    pub restarts: u64,
}

impl Health {
    /// Is there nothing that an operator has to look at?
    pub fn is_well(&self) -> bool {
        self.network_failures == 0 && self.pipeline == Pipeline::Moves && self.space != Space::Critical
    }

    /// May more deliveries be taken?
    pub fn takes_deliveries(&self) -> bool {
        self.space != Space::Critical
    }
}

/// What was seen at one moment.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Since the watchdog began, by a clock that only goes forward.
    pub at: Duration,
    /// By the clock on the wall, microseconds since 1970, UTC.
    pub wall_micros: i64,
    /// Connection.
    pub network: Network,
    /// Stages.
    pub stages: Vec<(&'static str, Beat)>,
    /// Disk; `None`: it did not say.
    pub room: Option<Room>,
}

/// What is to be done or said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Warning.
    NetworkAway {
        /// For how long.
        lasted: Duration,
    },
    /// Failure: the connection is begun anew.
    NetworkDown {
        /// For how long.
        lasted: Duration,
    },
    /// It was away, and that was said.
    NetworkBack {
        /// For how long.
        lasted: Duration,
    },
    /// Warning.
    StageSlow {
        /// Which.
        stage: &'static str,
        /// For how long.
        lasted: Duration,
    },
    /// Failure: the bot ends.
    StageStalled {
        /// Which.
        stage: &'static str,
        /// For how long.
        lasted: Duration,
    },
    /// It was slow, and that was said.
    StageMoves {
        /// Which.
        stage: &'static str,
        /// For how long.
        lasted: Duration,
    },
    /// Warning.
    DiskLow(Room),
    /// Failure: no more deliveries are taken.
    DiskCritical(Room),
    /// There is more room again.
    DiskEased {
        /// What there is.
        room: Room,
        /// How much that is.
        now: Space,
    },
    /// Warning.
    ClockJumped {
        /// What the wall should show, microseconds since 1970.
        expected_micros: i64,
        /// What it shows.
        wall_micros: i64,
    },
}

/// The state of all conclusions.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    earlier: Duration,
    /// Time that the watchdog has seen. A process that was stopped (`docker pause`) has not stood still.
    awake: Duration,
    outage: Outage,
    stall: Stall,
    jump: Jump,
    health: Health,
}

impl Machine {
    /// Knows nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            earlier: Duration::ZERO,
            awake: Duration::ZERO,
            outage: Outage::default(),
            stall: Stall::default(),
            jump: Jump::default(),
            health: Health::default(),
        }
    }

    /// What follows from what is seen now.
    pub fn observe(&mut self, seen: Observation) -> Vec<Verdict> {
        let Observation { at, wall_micros, network, stages, room } = seen;
        let mut verdicts = Vec::new();
        let passed = at.saturating_sub(self.earlier).min(self.limits.look_every.saturating_mul(2));
        self.earlier = at;
        self.awake = self.awake.saturating_add(passed);

        verdicts.extend(self.jump.observe(at, wall_micros, &self.limits));
        if let Some(room) = room {
            let before = self.health.space;
            self.health.space = space::next(before, room.free_bytes, &self.limits);
            verdicts.extend(space::verdict(before, self.health.space, room));
        }
        self.outage.observe(self.awake, network, &self.limits, &mut verdicts);
        self.health.network = network;
        self.health.network_failures = self.outage.failures();
        if self.health.space == Space::Critical {
            self.stall.forget();
        } else {
            self.stall.observe(self.awake, &stages, &self.limits, &mut verdicts);
        }
        self.health.pipeline = self.stall.pipeline();
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::NetworkDown { .. })) {
            self.health.restarts = self.health.restarts.saturating_add(1);
        }
        verdicts
    }

    /// The opinion after the last observation.
    pub fn health(&self) -> Health {
        self.health
    }
}
