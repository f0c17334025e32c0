//! The watchdog's conclusions: observations go in, verdicts come out. No clock, no disk, no network.

use std::time::Duration;

use super::jump::Jump;
use super::outage::Outage;
use super::pulse::Beat;
use super::space::{self, Room};
use super::stall::Stall;
pub use retaind_report::status::{Pipeline, Space};

/// Thresholds of warnings and failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A network away for this long is a warning.
    pub network_warns_after: Duration,
    /// A network away for this long, and for each multiple of it, is a failure.
    pub network_fails_after: Duration,
    /// A stage without progress for this long is a warning.
    pub stage_warns_after: Duration,
    /// A stage without progress for this long is a failure.
    pub stage_fails_after: Duration,
    /// Fewer free bytes than this are a warning.
    pub disk_low_bytes: u64,
    /// Fewer free bytes than this are a failure, and no more deliveries are taken.
    pub disk_critical_bytes: u64,
    /// A wall clock that is off by more than this was set.
    pub clock_jump: Duration,
    /// Time from one observation to the next.
    pub look_every: Duration,
}

/// Is there a connection over which messages arrive?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// There is one.
    Connected,
    /// There is none.
    #[default]
    Away,
}

/// The watchdog's present opinion, for the stages and for reports on whether the bot is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Is the network connected?
    pub network: Network,
    /// Failures of the present outage: 0 while it may still be a short one.
    pub network_failures: u32,
    /// The worst of all stages.
    pub pipeline: Pipeline,
    /// Space on the fullest disk.
    pub space: Space,
    /// How often the watchdog has ordered a new connection.
    pub restarts: u64,
}

impl Health {
    /// May more deliveries be taken?
    pub fn takes_deliveries(&self) -> bool {
        self.space != Space::Critical
    }
}

/// What was observed at one moment.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Time since the watchdog began, by the monotonic clock.
    pub at: Duration,
    /// The wall clock, microseconds since 1970, UTC.
    pub wall_micros: i64,
    /// Is the network connected?
    pub network: Network,
    /// Each stage's name and pulse.
    pub stages: Vec<(&'static str, Beat)>,
    /// Space in the fullest directory; `None`: no answer from the disk.
    pub room: Option<Room>,
}

/// What is to be done or reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Warning: the network is away.
    NetworkAway {
        /// How long it has been away.
        lasted: Duration,
    },
    /// Failure: the network is still away, and the connection is opened again.
    NetworkDown {
        /// How long it has been away.
        lasted: Duration,
    },
    /// The network is back after an outage that was reported.
    NetworkBack {
        /// How long it was away.
        lasted: Duration,
    },
    /// Warning: a stage makes no progress.
    StageSlow {
        /// Name of the stage.
        stage: &'static str,
        /// How long it has made none.
        lasted: Duration,
    },
    /// Failure: a stage is stalled, and the bot ends.
    StageStalled {
        /// Name of the stage.
        stage: &'static str,
        /// How long it has made no progress.
        lasted: Duration,
    },
    /// A stage that was reported as slow makes progress again.
    StageMoves {
        /// Name of the stage.
        stage: &'static str,
        /// How long it had made none.
        lasted: Duration,
    },
    /// Warning: little space on the disk.
    DiskLow(Room),
    /// Failure: too little space, and no more deliveries are taken.
    DiskCritical(Room),
    /// There is more space again.
    DiskEased {
        /// The fullest directory and its space.
        room: Room,
        /// The level now.
        now: Space,
    },
    /// Warning: the wall clock was set.
    ClockJumped {
        /// What it should show, microseconds since 1970.
        expected_micros: i64,
        /// What it shows, microseconds since 1970.
        wall_micros: i64,
    },
}

/// The state of all conclusions.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    earlier: Duration,
    /// Time that the watchdog has seen pass. A process that was paused (`docker pause`) has not stalled.
    awake: Duration,
    outage: Outage,
    stall: Stall,
    jump: Jump,
    health: Health,
}

impl Machine {
    /// Before the first observation.
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

    /// The verdicts that follow from one observation.
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
