//! Pauses that grow, for whatever is tried again: how long to wait after a failure, and after the next one.
//!
//! Contract. The pause after the `n`th failure in a row lies between half and all of `first × factorⁿ⁻¹`, or of `longest`
//! where that is less. Where in that half it lies is for the [`Dice`] to say: bots that lost the same network or bucket in
//! one moment do not come back in one moment. After a success the next pause is short again. Nothing here overflows, fails
//! or is zero, unless `first` is.
//!
//! Deliberately not here: waiting. A caller sleeps on its own clock, which a test may hold, and ends its sleep by its own
//! orders. So this room knows no runtime, and with [`Dice::HIGH`] a simulated bot waits as long in each of its lives.

use std::time::Duration;

/// Where chance comes from.
#[derive(Debug, Clone, Copy)]
pub struct Dice(fn() -> u8);

impl Dice {
    /// The random generator of the process. Should it fail, pauses are as long as they may be.
    pub(crate) const SYSTEM: Self = Self(|| {
        let mut roll = [u8::MAX];
        match aws_lc_rs::rand::fill(&mut roll) {
            Ok(()) => u8::from_ne_bytes(roll),
            Err(_) => u8::MAX,
        }
    });
    /// No chance: each pause is as long as it may be.
    pub const HIGH: Self = Self(|| u8::MAX);

    /// Rolls these: 0 makes the shortest pause, 255 the longest.
    pub const fn new(roll: fn() -> u8) -> Self {
        Self(roll)
    }

    /// One roll.
    pub fn roll(self) -> u8 {
        (self.0)()
    }
}

/// How pauses grow. A constant of the room that waits.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// The first pause, before chance shortens it.
    pub first: Duration,
    /// No pause is longer.
    pub longest: Duration,
    /// Each pause is so many times the one before.
    pub factor: u32,
    /// What shortens pauses by up to half.
    pub dice: Dice,
}

impl Growth {
    /// The usual one: each pause is twice the one before, and the process's own generator shortens it.
    pub const fn doubling(first: Duration, longest: Duration) -> Self {
        Self { first, longest, factor: 2, dice: Dice::SYSTEM }
    }

    /// The same with other dice.
    #[must_use]
    pub const fn with(self, dice: Dice) -> Self {
        Self { dice, ..self }
    }

    /// The pause after `failures` in a row, before chance shortens it: for a caller that remembers the count and nothing else.
    pub fn whole(self, failures: u32) -> Duration {
        let mut whole = self.first.min(self.longest);
        for _ in 1..failures {
            if whole >= self.longest || whole.is_zero() || self.factor <= 1 {
                break;
            }
            whole = self.after(whole);
        }
        whole
    }

    fn after(self, whole: Duration) -> Duration {
        whole.saturating_mul(self.factor).min(self.longest)
    }
}

/// What a roll leaves of a pause: half of it for 0, all of it for 255.
pub fn shortened(whole: Duration, roll: u8) -> Duration {
    let taken = (whole / 2).saturating_mul(u32::from(u8::MAX.saturating_sub(roll))) / u32::from(u8::MAX);
    whole.saturating_sub(taken)
}

/// The pauses between the tries of one thing.
#[derive(Debug, Clone)]
pub struct Pause {
    growth: Growth,
    next: Duration,
}

impl Pause {
    /// Before the first failure.
    pub fn new(growth: Growth) -> Self {
        Self { growth, next: growth.first.min(growth.longest) }
    }

    /// It failed: how long to wait now.
    pub fn grow(&mut self) -> Duration {
        let whole = self.next;
        self.next = self.growth.after(whole);
        shortened(whole, self.growth.dice.roll())
    }

    /// It worked: the next pause is short again.
    pub fn reset(&mut self) {
        *self = Self::new(self.growth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Growth = Growth::doubling(Duration::from_secs(1), Duration::from_secs(60));
    const WHOLE: [u64; 8] = [1, 2, 4, 8, 16, 32, 60, 60];

    #[test]
    fn pauses_grow_to_their_limit_and_chance_takes_no_more_than_half() {
        let mut pauses = [Dice::new(|| 0), Dice::HIGH, Dice::SYSTEM].map(|dice| Pause::new(MINUTE.with(dice)));
        for whole in WHOLE.map(Duration::from_secs) {
            let [least, most, some] = pauses.each_mut().map(Pause::grow);
            assert_eq!((least * 2, most), (whole, whole));
            assert!((least..=most).contains(&some), "{some:?} of {whole:?}");
        }
        let [least, most, _] = &mut pauses;
        most.reset();
        assert_eq!(most.grow(), Duration::from_secs(1));
        assert_eq!(least.grow(), Duration::from_secs(30));
    }

    #[test]
    fn a_count_of_failures_leads_to_the_same_pause() {
        let mut pause = Pause::new(MINUTE.with(Dice::HIGH));
        for failures in 1..100 {
            assert_eq!(MINUTE.whole(failures), pause.grow(), "{failures}");
        }
        assert_eq!(MINUTE.whole(u32::MAX), Duration::from_secs(60));
        assert_eq!(MINUTE.whole(0), Duration::from_secs(1));
    }

    #[test]
    fn no_growth_overflows_or_runs_for_ever() {
        let all = Growth { first: Duration::MAX, longest: Duration::MAX, factor: u32::MAX, dice: Dice::HIGH };
        let mut pause = Pause::new(all);
        assert_eq!([pause.grow(), pause.grow()], [Duration::MAX; 2]);
        let none = Growth::doubling(Duration::ZERO, Duration::ZERO);
        assert_eq!((none.whole(u32::MAX), Pause::new(none).grow()), (Duration::ZERO, Duration::ZERO));
        let level = Growth { factor: 1, ..MINUTE };
        assert_eq!(level.whole(u32::MAX), Duration::from_secs(1));
        let capped = Growth::doubling(Duration::from_secs(9), Duration::from_secs(5)).with(Dice::HIGH);
        assert_eq!(Pause::new(capped).grow(), Duration::from_secs(5));
    }
}
