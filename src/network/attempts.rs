//! Wrong passwords: how long whoever gave one has to wait.
//!
//! Two counts make the delay, whichever is the longer: of the address, and of the account. The account's is for addresses that
//! have failed at that account themselves: guesses from many addresses make each of them slow, and whoever has the right
//! password on an address that has not failed is never delayed. So a stranger can lock out its own address (and who shares it),
//! for a quarter of an hour at most, but not the account. Devices that are registered log in by their key and are never
//! delayed: a bot that has a device does not need its password.
//!
//! The tables are bounded; what is forgotten is what was longest without a failure. They are empty after a restart.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::PASSWORD_TRIES;
use retaind_core::places::Neighbourhood;

/// The first delay; each further failure doubles it.
const DELAY_FIRST: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(900);
/// Without a failure for so long, half of them are forgotten.
const HALF_LIFE: Duration = Duration::from_secs(3600);
/// Entries of each table.
const ENTRIES_MAX: usize = 4096;

/// What was tried lately.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    addresses: HashMap<Neighbourhood, Failures>,
    accounts: HashMap<u64, Failures>,
    pairs: HashMap<(u64, Neighbourhood), Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn now(self, now: Instant) -> u32 {
        let halvings = now.saturating_duration_since(self.last).as_secs() / HALF_LIFE.as_secs().max(1);
        self.count.checked_shr(u32::try_from(halvings).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}

fn delay(failures: u32) -> Duration {
    let free = u32::try_from(PASSWORD_TRIES.value).unwrap_or(u32::MAX);
    match failures.checked_sub(free) {
        None => Duration::ZERO,
        Some(beyond) => DELAY_FIRST.saturating_mul(2u32.saturating_pow(beyond)).min(DELAY_MAX),
    }
}

fn count<K: Eq + Hash + Copy>(table: &mut HashMap<K, Failures>, key: K, now: Instant) {
    let count = table.get(&key).map_or(0, |failures| failures.now(now)).saturating_add(1);
    if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
        let oldest = table.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| *key);
        oldest.map(|oldest| table.remove(&oldest));
    }
    table.insert(key, Failures { count, last: now });
}

fn account(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long this address has to wait before it may try this account; `None`: not at all.
    pub(crate) fn wait(&self, from: Neighbourhood, name: &str) -> Option<Duration> {
        let (now, account) = (Instant::now(), account(name));
        let tables = self.lock();
        let left = |failures: Failures, count: u32| {
            delay(count).checked_sub(now.saturating_duration_since(failures.last)).filter(|left| !left.is_zero())
        };
        let of_address = tables.addresses.get(&from).and_then(|failures| left(*failures, failures.now(now)));
        let of_account = tables.pairs.get(&(account, from)).and_then(|pair| {
            let all = tables.accounts.get(&account).map_or(0, |failures| failures.now(now));
            left(*pair, all)
        });
        of_address.max(of_account)
    }

    /// A password is about to be checked; it is taken for wrong until it has [succeeded](Self::succeeded).
    pub(crate) fn tried(&self, from: Neighbourhood, name: &str) {
        let (now, account) = (Instant::now(), account(name));
        let mut tables = self.lock();
        count(&mut tables.addresses, from, now);
        count(&mut tables.accounts, account, now);
        count(&mut tables.pairs, (account, from), now);
    }

    /// The right password was given.
    pub(crate) fn succeeded(&self, from: Neighbourhood, name: &str) {
        let mut tables = self.lock();
        tables.addresses.remove(&from);
        let account = account(name);
        tables.pairs.remove(&(account, from));
        if let Some(failures) = tables.accounts.get_mut(&account) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn of(address: &str) -> Neighbourhood {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_waits_longer_and_longer_and_is_forgiven_in_time() {
        let (attempts, here) = (Attempts::default(), of("192.0.2.1"));
        let mut waited = Vec::new();
        for _ in 0..20 {
            let wait = attempts.wait(here, "bot");
            waited.push(wait.map_or(0, |wait| wait.as_secs()));
            tokio::time::advance(wait.unwrap_or_default()).await;
            attempts.tried(here, "bot");
        }
        assert_eq!(waited[..9], [0, 0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(waited.last(), Some(&900));
        // whatever account it tries
        assert!(attempts.wait(here, "another").is_some());
        tokio::time::advance(HALF_LIFE * 40).await;
        assert_eq!(attempts.wait(here, "bot"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_from_many_addresses_slow_each_other_and_not_who_has_not_failed() {
        let attempts = Attempts::default();
        for n in 0..200 {
            let from = of(&format!("198.51.100.{n}"));
            assert_eq!(attempts.wait(from, "bot"), None, "its first try is free");
            attempts.tried(from, "bot");
        }
        assert_eq!(attempts.wait(of("198.51.100.3"), "bot"), Some(DELAY_MAX));
        assert_eq!(attempts.wait(of("198.51.100.3"), "another"), None);
        assert_eq!(attempts.wait(of("203.0.113.9"), "bot"), None);
        attempts.succeeded(of("198.51.100.3"), "bot");
        assert_eq!(attempts.wait(of("198.51.100.3"), "bot"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tables_are_bounded() {
        let attempts = Attempts::default();
        for n in 0..ENTRIES_MAX + 100 {
            attempts.tried(of(&format!("2001:db8:{:x}:{:x}::1", n / 65_536, n % 65_536)), &n.to_string());
        }
        let tables = attempts.lock();
        let sizes = [tables.addresses.len(), tables.accounts.len(), tables.pairs.len()];
        assert_eq!(sizes, [ENTRIES_MAX; 3]);
    }
}
