//! Whom a death makes suspect. Pure: what was suspected and what was in hand come in, what is suspected now comes out.

use super::format::{Deliveries, SUSPECTS_MAX, Suspect};
use crate::limits::DEATHS;

impl Suspect {
    /// Has the process died with it in hand as often as that may happen?
    pub fn is_condemned(&self) -> bool {
        u64::from(self.deaths) >= DEATHS.value
    }
}

/// The suspects after a process has died with these deliveries in hand.
///
/// One delivery that was handled alone and suspected before has one more death; whatever else was in hand has its first. A
/// suspect that was not in hand begins again, since the process can die without it; unless another suspect was handled alone,
/// because then it was that one's turn.
pub fn after_death(before: &[Suspect], in_hand: &[Deliveries]) -> Vec<Suspect> {
    let in_turn = match in_hand {
        [one] => one.only().is_some_and(|seq| before.iter().any(|suspect| suspect.is(one, seq))),
        _ => false,
    };
    let mut after: Vec<Suspect> = Vec::new();
    for deliveries in in_hand {
        if after.iter().any(|suspect| suspect.deliveries.conversation == deliveries.conversation) {
            continue;
        }
        let known = deliveries.only().and_then(|seq| before.iter().find(|suspect| suspect.is(deliveries, seq)));
        let deaths = known.map_or(1, |suspect| suspect.deaths.saturating_add(1));
        after.push(Suspect { deliveries: *deliveries, deaths });
    }
    for suspect in before {
        if after.iter().any(|other| other.deliveries.conversation == suspect.deliveries.conversation) {
            continue;
        }
        let deaths = if in_turn || suspect.is_condemned() { suspect.deaths } else { 0 };
        after.push(Suspect { deaths, ..*suspect });
    }
    after.truncate(SUSPECTS_MAX);
    after
}

impl Suspect {
    fn is(&self, deliveries: &Deliveries, seq: u64) -> bool {
        self.deliveries.conversation == deliveries.conversation && self.deliveries.have(seq)
    }
}

#[cfg(test)]
mod tests {
    use retaind_protocol::ids::{ConversationId, ConversationKind};

    use super::*;

    fn of(room: u8, first: u64, last: u64) -> Deliveries {
        Deliveries { conversation: ConversationId::from_random(ConversationKind::Room, [room; 32]), first, last }
    }

    fn deaths(suspects: &[Suspect], room: u8) -> Vec<u8> {
        let id = of(room, 1, 1).conversation;
        suspects.iter().filter(|one| one.deliveries.conversation == id).map(|one| one.deaths).collect()
    }

    #[test]
    fn a_delivery_that_is_in_hand_three_times_in_a_row_is_condemned_and_stays_it() {
        let mut suspects = after_death(&[], &[of(1, 1, 40), of(2, 7, 9)]);
        assert_eq!((deaths(&suspects, 1), deaths(&suspects, 2)), (vec![1], vec![1]));
        suspects = after_death(&suspects, &[of(1, 5, 5)]);
        assert_eq!(suspects[0], Suspect { deliveries: of(1, 5, 5), deaths: 2 });
        assert!(!suspects[0].is_condemned());
        suspects = after_death(&suspects, &[of(1, 5, 5)]);
        assert!(suspects[0].is_condemned());
        // until its conversation is past it, whatever else happens
        for in_hand in [vec![], vec![of(2, 8, 8)], vec![of(1, 5, 5)]] {
            suspects = after_death(&suspects, &in_hand);
            assert!(suspects.iter().any(|one| one.deliveries == of(1, 5, 5) && one.is_condemned()), "{in_hand:?}");
        }
    }

    #[test]
    fn who_is_not_in_hand_begins_again_unless_it_is_not_its_turn() {
        let suspects = [Suspect { deliveries: of(1, 5, 5), deaths: 2 }, Suspect { deliveries: of(2, 8, 8), deaths: 2 }];
        // nothing in hand, others in hand, its conversation in hand at another place, or a batch of it
        for in_hand in [vec![], vec![of(3, 1, 1)], vec![of(3, 1, 2), of(4, 1, 1)]] {
            let after = after_death(&suspects, &in_hand);
            assert_eq!((deaths(&after, 1), deaths(&after, 2)), (vec![0], vec![0]), "{in_hand:?}");
        }
        for place in [of(1, 4, 4), of(1, 6, 6), of(1, 5, 6)] {
            assert_eq!(deaths(&after_death(&suspects, &[place]), 1), [1], "{place:?}");
        }
        // two that kill take turns, and both are found
        let after = after_death(&suspects, &[of(2, 8, 8)]);
        assert_eq!((deaths(&after, 1), deaths(&after, 2)), (vec![2], vec![3]));
    }

    #[test]
    fn there_are_never_more_than_the_file_holds_and_the_newest_are_kept() {
        let marks = |from: u64| {
            (from..from + 128).map(|room| Deliveries {
                conversation: ConversationId::from_random(ConversationKind::Direct, [u8::try_from(room).unwrap(); 32]),
                first: 1,
                last: 2,
            })
        };
        let old = after_death(&[], &marks(0).collect::<Vec<_>>());
        let after = after_death(&old, &marks(100).collect::<Vec<_>>());
        assert_eq!(after.len(), SUSPECTS_MAX);
        assert!(marks(100).all(|mark| after.iter().any(|suspect| suspect.deliveries == mark)));
    }
}
