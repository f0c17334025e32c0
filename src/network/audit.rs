//! The audit of failed log-ins: who tried, from where, how often. For the operator, who reads it with `retaind network audit`.
//!
//! Whoever reaches the port can fail to log in, so nothing here grows with the number of tries: they are summed up for ten minutes
//! by address (a /64 for IPv6) and by account as it was claimed, in memory, and written every few seconds. An address that claims
//! many accounts has its further ones summed up as one, and so have the addresses beyond the first thousand; the table keeps the
//! newest rows. A crash loses the seconds that were not written.
//!
//! A claimed account is a stranger's text: shortened, and escaped before anything else is done with it.
//!
//! Not here: what came of it. Delays are [`super::attempts`], the event is the bot's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::Moment;
use super::limits::{AUDIT_ACCOUNTS, AUDIT_ADDRESSES, AUDIT_ROWS};
use retaind_core::limit::Refusals;
use retaind_core::places::Neighbourhood;
use retaind_core::text::shown;

/// What is summed up: ten minutes.
const PERIOD_MICROS: i64 = 600 * 1_000_000;
/// Characters of a claimed account.
const ACCOUNT_CHARS_MAX: usize = 64;

/// Failed log-ins of one address and account within ten minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedLogIns {
    /// When the first of them was, microseconds since 1970.
    pub first_micros: i64,
    /// When the last of them was, microseconds since 1970.
    pub last_micros: i64,
    /// IPv4 address, or IPv6 network with `/64`; `None`: all addresses beyond the first thousand.
    pub address: Option<String>,
    /// As it was claimed, escaped: `bot NAME`, `device ID`, or `invite`; `None`: further accounts of the address.
    pub account: Option<String>,
    /// How many.
    pub count: u64,
}

impl FailedLogIns {
    /// Which ten minutes.
    pub(crate) fn period(&self) -> i64 {
        self.first_micros.div_euclid(PERIOD_MICROS)
    }
}

/// A bot's account as it is claimed.
pub(crate) fn bot(claimed: &str) -> String {
    let short: String = claimed.chars().take(ACCOUNT_CHARS_MAX).collect();
    let more = if short.len() < claimed.len() { "…" } else { "" };
    format!("bot {}{more}", shown(&short))
}

/// What is not written yet, and which rows there are in these ten minutes.
#[derive(Default)]
pub(crate) struct Audit(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    period: i64,
    addresses: BTreeMap<Option<String>, BTreeMap<Option<String>, Tally>>,
    /// Of the ten minutes before.
    over: Vec<FailedLogIns>,
}

#[derive(Default)]
struct Tally {
    count: u64,
    first: i64,
    last: i64,
}

/// The key itself, or the one for all others if there are too many.
fn admitted<V>(known: &BTreeMap<Option<String>, V>, key: String, most: usize) -> (Option<String>, bool) {
    let key = Some(key);
    if known.contains_key(&key) || known.keys().flatten().count() < most { (key, true) } else { (None, false) }
}

impl Audit {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A log-in has failed.
    pub(crate) fn note(&self, from: Neighbourhood, account: String, now: Moment, refusals: &Refusals) {
        let (micros, mut pending) = (now.micros(), self.lock());
        let period = micros.div_euclid(PERIOD_MICROS);
        if period != pending.period {
            let over = pending.written();
            pending.over.extend(over);
            pending.addresses.clear();
            pending.period = period;
            // a ledger that takes nothing must not fill the memory
            let excess = pending.over.len().saturating_sub(AUDIT_ROWS.count());
            pending.over.drain(..excess);
        }
        let (address, has_row) = admitted(&pending.addresses, from.to_string(), AUDIT_ADDRESSES.count());
        if !has_row {
            refusals.count(&AUDIT_ADDRESSES);
        }
        let accounts = pending.addresses.entry(address).or_default();
        let (account, has_row) = admitted(accounts, account, AUDIT_ACCOUNTS.count());
        if !has_row {
            refusals.count(&AUDIT_ACCOUNTS);
        }
        let tally = accounts.entry(account).or_default();
        if tally.count == 0 {
            tally.first = micros;
        }
        (tally.count, tally.last) = (tally.count.saturating_add(1), micros);
    }

    /// What has to be written, each once.
    pub(crate) fn take(&self) -> Vec<FailedLogIns> {
        let mut pending = self.lock();
        let mut rows = std::mem::take(&mut pending.over);
        rows.extend(pending.written());
        rows
    }

    /// These could not be written.
    pub(crate) fn put_back(&self, rows: Vec<FailedLogIns>) {
        let mut pending = self.lock();
        let excess = pending.over.len().saturating_add(rows.len()).saturating_sub(AUDIT_ROWS.count());
        pending.over.extend(rows.into_iter().skip(excess));
    }
}

impl Pending {
    /// What was counted since the last time; the rows stay known.
    fn written(&mut self) -> Vec<FailedLogIns> {
        let mut rows = Vec::new();
        for (address, accounts) in &mut self.addresses {
            for (account, tally) in accounts {
                let Tally { count, first, last } = std::mem::take(tally);
                if count > 0 {
                    let (address, account) = (address.clone(), account.clone());
                    rows.push(FailedLogIns { first_micros: first, last_micros: last, address, account, count });
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const START: Moment = Moment::of_micros(1_700_000_400_000_000);

    fn of(address: &str) -> Neighbourhood {
        address.parse::<IpAddr>().unwrap().into()
    }

    fn later(seconds: u64) -> Moment {
        START.after(std::time::Duration::from_secs(seconds))
    }

    #[test]
    fn tries_are_summed_by_address_account_and_ten_minutes_and_written_once() {
        let (audit, refusals) = (Audit::default(), Refusals::default());
        for second in 0..5 {
            audit.note(of("192.0.2.1"), bot("archive"), later(second), &refusals);
        }
        audit.note(of("2001:db8::7"), "invite".into(), later(5), &refusals);
        let rows = audit.take();
        let told: Vec<_> = rows.iter().map(|row| (row.address.as_deref(), row.account.as_deref(), row.count)).collect();
        assert_eq!(told, [(Some("192.0.2.1"), Some("bot archive"), 5), (Some("2001:db8::/64"), Some("invite"), 1)]);
        assert_eq!((rows[0].first_micros, rows[0].last_micros), (START.micros(), later(4).micros()));
        assert!(audit.take().is_empty());
        audit.note(of("192.0.2.1"), bot("archive"), later(6), &refusals);
        audit.note(of("192.0.2.1"), bot("archive"), later(600), &refusals);
        let rows = audit.take();
        assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<_>>(), [1, 1]);
        assert_ne!(rows[0].period(), rows[1].period());
        audit.put_back(rows.clone());
        assert_eq!(audit.take(), rows);
        assert_eq!(refusals.totals(), []);
    }

    #[test]
    fn who_claims_many_accounts_or_has_many_addresses_has_no_more_rows_for_it() {
        let (audit, refusals) = (Audit::default(), Refusals::default());
        for number in 0..1000 {
            audit.note(of("192.0.2.1"), bot(&format!("guess {number}")), START, &refusals);
        }
        let rows = audit.take();
        assert_eq!(rows.len(), AUDIT_ACCOUNTS.count() + 1);
        assert_eq!((rows[0].account.clone(), rows[0].count), (None, 1000 - AUDIT_ACCOUNTS.value));
        for number in 0..70_000u32 {
            let address = IpAddr::from(0x0a00_0000u32.saturating_add(number).to_be_bytes());
            audit.note(address.into(), format!("device {number}"), START, &refusals);
        }
        let rows = audit.take();
        assert!(rows.len() <= AUDIT_ADDRESSES.count() + AUDIT_ACCOUNTS.count() + 1, "{}", rows.len());
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 70_000);
        assert!(refusals.of(&AUDIT_ADDRESSES) > 60_000);
        // a ledger that fails for ever
        for period in 0..200 {
            for number in 0..500u32 {
                let address = IpAddr::from(0x0a00_0000u32.saturating_add(number).to_be_bytes());
                audit.note(address.into(), "invite".into(), later(period * 600), &refusals);
            }
            audit.put_back(audit.take());
        }
        assert_eq!(audit.take().len(), AUDIT_ROWS.count());
    }

    #[test]
    fn a_claimed_account_is_short_and_harmless() {
        assert_eq!(bot("compliance_bot"), "bot compliance_bot");
        assert_eq!(bot("a\n\u{202e}b\u{1b}[2J"), "bot a\\u{a}\\u{202e}b\\u{1b}[2J");
        let long = bot(&"\u{202e}".repeat(10_000));
        assert!(long.ends_with('…') && long.len() < 1024, "{}", long.len());
    }
}
