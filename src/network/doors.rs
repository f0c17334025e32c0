//! Who may be connected: places before and after log-in.
//!
//! Strangers have places ([`Places`]): a share for each address, and the oldest goes when there is none left. Some places
//! are kept for addresses of which the network has a reason to expect a bot: this host itself (the embedded bot, and whoever
//! connects from the address that it connects to), and addresses from which a bot has logged in since the network was started.
//! Their places cannot be taken by strangers of other addresses. They can be by strangers of the *same* address, as far as the
//! rule above allows it; and before its first log-in a bot of another host has no more than everybody has. Behind a proxy
//! everybody has the address of the proxy, and these rules say nothing.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::limits::{CONNECTIONS, STRANGERS, STRANGERS_OF_ADDRESS};
use retaind_core::limit::Refusals;
use retaind_core::places::{Full, Neighbourhood, Places};

/// Places kept for addresses of bots, beside those of everybody.
const KEPT: usize = 256;
/// Addresses of bots that are remembered, the latest.
const KNOWN_MAX: usize = 64;

/// How many may be connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) connections: usize,
    pub(crate) strangers: usize,
    pub(crate) strangers_of_address: usize,
}

/// The places.
pub(crate) struct Doors {
    room: Room,
    inner: Mutex<Inner>,
    refusals: Arc<Refusals>,
}

struct Inner {
    open: usize,
    outside: Side,
    kept: Side,
    known: VecDeque<Neighbourhood>,
}

struct Side {
    places: Places,
    cuts: HashMap<u64, CancellationToken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Outside,
    Kept,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    doors: Arc<Doors>,
    of: Neighbourhood,
    stranger: Option<(Which, u64)>,
}

impl Inner {
    fn side(&mut self, which: Which) -> &mut Side {
        match which {
            Which::Outside => &mut self.outside,
            Which::Kept => &mut self.kept,
        }
    }
}

impl Doors {
    pub(crate) fn new(room: Room, refusals: Arc<Refusals>) -> Arc<Self> {
        let side = |all| Side { places: Places::new(all, room.strangers_of_address), cuts: HashMap::new() };
        let inner = Inner { open: 0, outside: side(room.strangers), kept: side(KEPT), known: VecDeque::new() };
        Arc::new(Self { room, inner: Mutex::new(inner), refusals })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody comes in from `peer` to `local`; `cut` ends its connection. Nobody does once every place is a device's.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr, local: IpAddr, cut: CancellationToken) -> Option<Place> {
        let of = Neighbourhood::from(peer);
        let mut inner = self.lock();
        let is_kept = of == Neighbourhood::from(local) || inner.known.contains(&of);
        let (which, room) = match is_kept {
            true => (Which::Kept, self.room.connections.saturating_add(KEPT)),
            false => (Which::Outside, self.room.connections),
        };
        if inner.open >= room {
            self.refusals.count(&CONNECTIONS);
            return None;
        }
        let side = inner.side(which);
        let (number, gone) = side.places.take(of);
        side.cuts.insert(number, cut);
        if let Some((oldest, why)) = gone {
            self.refusals.count(match why {
                Full::Share => &STRANGERS_OF_ADDRESS,
                Full::All => &STRANGERS,
            });
            if let Some(cut) = side.cuts.remove(&oldest) {
                cut.cancel();
            }
        }
        inner.open = inner.open.saturating_add(1);
        drop(inner);
        Some(Place { doors: Arc::clone(self), of, stranger: Some((which, number)) })
    }
}

impl Place {
    /// It has logged in: its place among the strangers is free.
    pub(crate) fn logged_in(&mut self) {
        if let Some((which, number)) = self.stranger.take() {
            let mut inner = self.doors.lock();
            let side = inner.side(which);
            side.places.leave(number);
            side.cuts.remove(&number);
        }
    }

    /// A bot has logged in from here: places are kept for its address from now on.
    pub(crate) fn is_of_a_bot(&self) {
        let mut inner = self.doors.lock();
        inner.known.retain(|known| *known != self.of);
        inner.known.push_back(self.of);
        if inner.known.len() > KNOWN_MAX {
            inner.known.pop_front();
        }
    }

    /// Whence it came.
    pub(crate) fn neighbourhood(&self) -> Neighbourhood {
        self.of
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.logged_in();
        let mut inner = self.doors.lock();
        inner.open = inner.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { connections: 8, strangers: 4, strangers_of_address: 2 };
    const LOCAL: &str = "192.0.2.1";

    fn enter(doors: &Arc<Doors>, peer: &str) -> (Option<Place>, CancellationToken) {
        let cut = CancellationToken::new();
        (doors.enter(peer.parse().unwrap(), LOCAL.parse().unwrap(), cut.clone()), cut)
    }

    #[test]
    fn strangers_of_other_addresses_cannot_take_a_bots_place() {
        let refusals = Arc::<Refusals>::default();
        let doors = Doors::new(ROOM, Arc::clone(&refusals));
        let (host, host_cut) = enter(&doors, LOCAL);
        let bot = "203.0.113.7";
        let (mut first, _) = enter(&doors, bot);
        first.as_mut().unwrap().is_of_a_bot();
        first.as_mut().unwrap().logged_in();
        let (again, bot_cut) = enter(&doors, bot);
        let strangers: Vec<_> = (0..20).map(|n| enter(&doors, &format!("198.51.100.{n}"))).collect();
        assert!(!host_cut.is_cancelled() && !bot_cut.is_cancelled());
        assert_eq!(strangers.iter().filter(|(_, cut)| cut.is_cancelled()).count() as u64, refusals.of(&STRANGERS));
        assert!(refusals.of(&STRANGERS) > 0 && refusals.of(&CONNECTIONS) > 0);
        // all connections are taken, and still the bot gets in
        assert!(enter(&doors, bot).0.is_some());
        drop((host, first, again, strangers));
        let inner = doors.lock();
        assert_eq!(inner.open, 0);
        assert_eq!(inner.outside.places.taken() + inner.kept.places.taken(), 0);
        assert!(inner.outside.cuts.is_empty() && inner.kept.cuts.is_empty());
    }

    #[test]
    fn one_that_has_logged_in_is_no_stranger_and_is_not_ended_for_one() {
        let doors = Doors::new(ROOM, Arc::default());
        let (mut device, cut) = enter(&doors, "198.51.100.1");
        device.as_mut().unwrap().logged_in();
        let strangers: Vec<_> = (0..5).map(|_| enter(&doors, "198.51.100.1")).collect();
        assert!(!cut.is_cancelled());
        assert_eq!(strangers.iter().filter(|(_, cut)| !cut.is_cancelled()).count(), 2);
    }
}
