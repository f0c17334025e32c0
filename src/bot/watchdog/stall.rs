//! A stage that has something in hand and makes no progress: a warning, then the end of the bot.

use std::time::Duration;

use super::pulse::Beat;
use super::{Limits, Pipeline, Verdict};

/// State of the conclusions about stages. Pure.
#[derive(Debug, Default)]
pub(super) struct Stall {
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    beat: Beat,
    since: Duration,
    told: Pipeline,
}

impl Stall {
    pub(crate) fn observe(
        &mut self,
        now: Duration,
        stages: &[(&'static str, Beat)],
        limits: &Limits,
        verdicts: &mut Vec<Verdict>,
    ) {
        self.seen.resize(stages.len(), Seen { beat: Beat::default(), since: now, told: Pipeline::Moves });
        for (seen, &(stage, beat)) in self.seen.iter_mut().zip(stages) {
            let lasted = now.saturating_sub(seen.since);
            if beat != seen.beat || !beat.is_at_work() {
                if seen.told == Pipeline::Slow {
                    verdicts.push(Verdict::StageMoves { stage, lasted });
                }
                *seen = Seen { beat, since: now, told: Pipeline::Moves };
                continue;
            }
            if seen.told == Pipeline::Moves && lasted >= limits.stage_warns_after {
                seen.told = Pipeline::Slow;
                verdicts.push(Verdict::StageSlow { stage, lasted });
            }
            if seen.told == Pipeline::Slow && lasted >= limits.stage_fails_after {
                seen.told = Pipeline::Stalled;
                verdicts.push(Verdict::StageStalled { stage, lasted });
            }
        }
    }

    /// Starts all over: nothing can be concluded from a stage that waits for the disk.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }

    /// The worst of all stages.
    pub(crate) fn pipeline(&self) -> Pipeline {
        self.seen.iter().map(|seen| seen.told).max().unwrap_or_default()
    }
}
