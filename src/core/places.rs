//! Places that callers take who may be anybody: a share for each address, and a rule for who goes when there is none left.
//!
//! The newest always gets in. When its address has its share, the oldest of that address goes; when all places are
//! taken, the oldest of the address that holds the most. So who holds places and does nothing loses them to who comes
//! later, and one address alone cannot take what is everybody's. Against as many addresses as there are places this
//! keeps nobody out for longer than it takes them to come again.
//!
//! An IPv4 address counts for itself, an IPv6 address for its /64: that is what one customer gets.
//!
//! Not here: sockets. Who keeps the places ends the connections that are to go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Who shares a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Neighbourhood(IpAddr);

impl From<IpAddr> for Neighbourhood {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }
}

impl fmt::Display for Neighbourhood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

/// Why somebody has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Its address has no place left.
    Share,
    /// There is no place left at all.
    All,
}

/// The places that are taken.
#[derive(Debug)]
pub struct Places {
    all: usize,
    share: usize,
    next: u64,
    taken: BTreeMap<u64, Neighbourhood>,
    by_neighbourhood: HashMap<Neighbourhood, BTreeSet<u64>>,
}

impl Places {
    /// So many in all, and so many for one address.
    pub fn new(all: usize, share: usize) -> Self {
        Self { all, share, next: 0, taken: BTreeMap::new(), by_neighbourhood: HashMap::new() }
    }

    /// Takes a place. Returns its number, later ones greater, and which place was taken away for it.
    pub fn take(&mut self, of: Neighbourhood) -> (u64, Option<(u64, Full)>) {
        let gone = if self.by_neighbourhood.get(&of).map_or(0, BTreeSet::len) >= self.share.max(1) {
            self.oldest_of(of).map(|number| (number, Full::Share))
        } else if self.taken.len() >= self.all.max(1) {
            self.oldest_of_the_most().map(|number| (number, Full::All))
        } else {
            None
        };
        if let Some((number, _)) = gone {
            self.leave(number);
        }
        self.next = self.next.wrapping_add(1);
        self.taken.insert(self.next, of);
        self.by_neighbourhood.entry(of).or_default().insert(self.next);
        (self.next, gone)
    }

    /// The place is free again. One that was taken away, or left already, stays so.
    pub fn leave(&mut self, number: u64) {
        let Some(of) = self.taken.remove(&number) else { return };
        if let Some(numbers) = self.by_neighbourhood.get_mut(&of) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_neighbourhood.remove(&of);
            }
        }
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    fn oldest_of(&self, of: Neighbourhood) -> Option<u64> {
        self.by_neighbourhood.get(&of)?.first().copied()
    }

    fn oldest_of_the_most(&self) -> Option<u64> {
        let most = self.by_neighbourhood.values().map(BTreeSet::len).max()?;
        let oldest = self.by_neighbourhood.values().filter(|numbers| numbers.len() == most).filter_map(BTreeSet::first);
        oldest.min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Neighbourhood {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_address_counts_for_itself_and_of_ipv6_the_network() {
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[test]
    fn one_address_has_its_share_and_its_oldest_goes() {
        let mut places = Places::new(8, 2);
        let (first, _) = places.take(of("192.0.2.1"));
        let (second, gone) = places.take(of("192.0.2.1"));
        assert_eq!(gone, None);
        assert_eq!(places.take(of("192.0.2.1")).1, Some((first, Full::Share)));
        assert_eq!(places.take(of("192.0.2.2")).1, None);
        assert_eq!(places.taken(), 3);
        places.leave(second);
        assert_eq!(places.take(of("192.0.2.1")).1, None);
    }

    #[test]
    fn when_all_are_taken_the_oldest_of_whoever_holds_most_goes() {
        let mut places = Places::new(4, 3);
        let (honest, _) = places.take(of("198.51.100.1"));
        let (first, _) = places.take(of("192.0.2.1"));
        for _ in 0..2 {
            assert_eq!(places.take(of("192.0.2.1")).1, None);
        }
        assert_eq!(places.take(of("203.0.113.1")).1, Some((first, Full::All)));
        // as many addresses as places: the oldest of all
        let mut places = Places::new(2, 2);
        let (oldest, _) = places.take(of("192.0.2.1"));
        places.take(of("192.0.2.2"));
        assert_eq!(places.take(of("192.0.2.3")).1, Some((oldest, Full::All)));
        places.leave(honest);
    }

    #[test]
    fn a_place_that_was_taken_away_is_not_given_back_twice() {
        let mut places = Places::new(1, 1);
        let (first, _) = places.take(of("192.0.2.1"));
        places.take(of("192.0.2.2"));
        places.leave(first);
        assert_eq!(places.taken(), 1);
    }
}
