//! Failed log-ins are kept, summed up, and bounded.

use std::time::Duration;

use super::*;
use crate::audit::FailedLogIns;

fn failed(at: Moment, account: Option<&str>, count: u64) -> FailedLogIns {
    let (first_micros, last_micros) = (at.micros(), at.micros() + 5);
    FailedLogIns {
        first_micros,
        last_micros,
        address: Some("192.0.2.1".into()),
        account: account.map(Into::into),
        count,
    }
}

fn kept(ledger: &dyn Ledger) -> Vec<FailedLogIns> {
    ledger.reader().unwrap().view().unwrap().failed_log_ins().unwrap()
}

pub(super) fn failed_log_ins_are_summed_and_the_oldest_go(ledger: &dyn Ledger) {
    let note = |rows: &[FailedLogIns], keep| {
        commit(&mut *writer(ledger), |batch| batch.note_failed_log_ins(rows, keep).unwrap());
    };
    assert_eq!(kept(ledger), []);
    let soon = NOW.after(Duration::from_secs(1));
    note(&[failed(soon, Some("bot a"), 3), failed(NOW, None, 1)], 10);
    note(&[failed(NOW, Some("bot a"), 4)], 10);
    let sum = FailedLogIns { first_micros: NOW.micros(), ..failed(soon, Some("bot a"), 7) };
    assert_eq!(kept(ledger), [sum.clone(), failed(NOW, None, 1)]);
    let later = NOW.after(Duration::from_secs(3600));
    note(&[failed(later, Some("bot b"), 1)], 2);
    assert_eq!(kept(ledger)[0], failed(later, Some("bot b"), 1));
    assert_eq!(kept(ledger).len(), 2);
    note(&[failed(later, Some("bot c"), 1)], 2);
    assert!(kept(ledger).iter().all(|row| row.first_micros == later.micros()));
    note(&[], 1);
    assert_eq!(kept(ledger).len(), 1);
}
