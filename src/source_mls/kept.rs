//! How much is kept of all lost conversations together, to be tried again.
//!
//! A message of a lost conversation goes to the archive, with its ciphertext in a file, and into the state as well, for
//! `retaind lost`. The second is a convenience that costs room in the file that every commit goes through, and members can cause
//! it: so it has a limit, and beyond it only the archive has the ciphertext. Nothing is kept again before the next start, so
//! that what is kept of a conversation has no gaps but at its end; what `retaind lost forget` gives back counts from then on, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use retaind_core::limit::Refusals;
use retaind_device::store::KEPT_ROW_BYTES;

use crate::change::LostStep;
use crate::limits::KEPT_MESSAGES;

/// Bytes that may still be kept. Clones share it.
#[derive(Debug, Clone)]
pub struct Kept(Arc<AtomicU64>);

impl Kept {
    /// Room for `most` bytes in all, of which the state keeps `stored` already.
    pub fn of(most: u64, stored: u64) -> Self {
        Self(Arc::new(AtomicU64::new(most.saturating_sub(stored))))
    }

    /// Leaves out messages that there is no room for.
    pub(crate) fn admit(&self, steps: Vec<LostStep>, refusals: &Refusals) -> Vec<LostStep> {
        let admits = |step: &LostStep| match step {
            LostStep::Begin { .. } | LostStep::End { .. } => true,
            LostStep::Keep { delivery, .. } => {
                let bytes = u64::try_from(delivery.payload.len()).unwrap_or(u64::MAX).saturating_add(KEPT_ROW_BYTES);
                let fits =
                    self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes)).is_ok();
                if !fits {
                    self.0.store(0, Ordering::Release);
                    refusals.count(&KEPT_MESSAGES);
                }
                fits
            }
        };
        steps.into_iter().filter(admits).collect()
    }
}

#[cfg(test)]
mod tests {
    use retaind_device::store::KeptDelivery;

    use super::*;

    fn keep(seq: u64, bytes: usize) -> LostStep {
        let payload = vec![0; bytes];
        let (accepted_micros, received_micros) = (0, 0);
        let (sender_user, sender_device) = (None, None);
        let delivery =
            KeptDelivery { seq, kind: 1, sender_user, sender_device, accepted_micros, received_micros, payload };
        LostStep::Keep { since: 1, delivery }
    }

    fn names(steps: &[LostStep]) -> Vec<String> {
        steps.iter().map(|step| format!("{step:?}")).collect()
    }

    #[test]
    fn what_does_not_fit_is_left_out_and_so_is_all_that_comes_after_it() {
        let row = KEPT_ROW_BYTES;
        let (kept, refusals) = (Kept::of(10_000, 10_000 - 3 * row - 100), Refusals::default());
        let begin = || LostStep::Begin { since: 1, reason: "why".into(), session: None };
        let steps = vec![begin(), keep(1, 60), keep(2, 400), keep(3, 0), LostStep::End { seq: 4 }];
        assert_eq!(names(&kept.admit(steps, &refusals)), ["begin at 1", "keep 1", "end at 4"]);
        assert_eq!(names(&kept.clone().admit(vec![begin(), keep(5, 0)], &refusals)), ["begin at 1"]);
        assert_eq!(refusals.of(&KEPT_MESSAGES), 3);
        // exactly full, and a state that has more than it may
        let kept = Kept::of(10_000, 10_000 - row - 5);
        assert_eq!(kept.admit(vec![keep(1, 5)], &refusals).len(), 1);
        assert_eq!(Kept::of(10_000, u64::MAX).admit(vec![keep(1, 0)], &refusals).len(), 0);
    }
}
