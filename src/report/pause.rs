//! Pauses that grow and are never quite the same, so that many bots do not come back to AWS in one moment.

use std::time::Duration;

/// A pause that doubles up to a limit.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    max: Duration,
    next: Duration,
}

impl Pause {
    /// Begins with `first`, ends at `max`.
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, next: first }
    }

    /// The next one: between half and all of what it grew to.
    pub(super) fn grow(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.max);
        let mut dice = [0u8; 1];
        // without randomness the pause is a little longer, and nothing else
        let [dice] = if aws_lc_rs::rand::fill(&mut dice).is_ok() { dice } else { [u8::MAX] };
        whole.mul_f64(0.5 + f64::from(dice) / 510.0)
    }

    /// The thing worked: the next pause is short again.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_differ_by_no_more_than_half() {
        let seconds = Duration::from_secs;
        let mut pause = Pause::new(seconds(1), seconds(60));
        for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
            let got = pause.grow();
            assert!(got >= seconds(whole) / 2 && got <= seconds(whole), "{got:?} of {whole} s");
        }
        pause.reset();
        assert!(pause.grow() <= seconds(1));
    }
}
