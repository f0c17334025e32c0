//! Who is connected, and who must hear when a conversation moves.
//!
//! The writer tells the hub what a batch did; the hub marks the conversations of the subscribers concerned and wakes
//! them. It never waits and never reads the disk: [`super::push`] does, at the pace of each connection.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Limits;
use super::connection::Ends;
use super::delivery::entry::Effects;
use super::limits::{CONNECTIONS_OF_DEVICE, CONNECTIONS_OF_USER};
use super::outbound::Outbound;
use super::subscriber::{Change, Subscriber};
use retaind_core::limit::{Limit, Refusals};

/// A connection that has logged in.
pub(crate) struct Peer {
    pub(crate) device: i64,
    pub(crate) user: String,
    pub(crate) outbound: Outbound,
    pub(crate) ends: Ends,
}

/// All connections and subscriptions.
#[derive(Default)]
pub(crate) struct Hub(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: u64,
    peers: HashMap<u64, Arc<Peer>>,
    by_user: HashMap<String, BTreeSet<u64>>,
    subscribers: HashMap<i64, Arc<Subscriber>>,
    by_conversation: HashMap<i64, Vec<Arc<Subscriber>>>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device has logged in. Returns the connection's number. If its device or user has too many, the oldest goes: the
    /// newest is the one that somebody has just asked for.
    pub(crate) fn connect(&self, peer: Arc<Peer>, limits: &Limits, refusals: &Refusals) -> u64 {
        let mut inner = self.lock();
        if let Some((oldest, limit)) = inner.one_too_many(&peer, limits) {
            refusals.count(limit);
            if let Some(peer) = inner.remove(oldest) {
                peer.ends.cut.cancel();
            }
        }
        inner.next = inner.next.wrapping_add(1);
        let number = inner.next;
        inner.by_user.entry(peer.user.clone()).or_default().insert(number);
        inner.peers.insert(number, peer);
        number
    }

    /// The connection has ended.
    pub(crate) fn disconnect(&self, number: u64, subscriber: Option<&Arc<Subscriber>>) {
        let mut inner = self.lock();
        inner.remove(number);
        if let Some(subscriber) = subscriber {
            inner.unsubscribe(subscriber);
        }
    }

    /// From now on the subscriber hears of new conversations. An earlier subscription of the device ends.
    pub(crate) fn subscribe(&self, subscriber: &Arc<Subscriber>) {
        let mut inner = self.lock();
        if let Some(earlier) = inner.subscribers.insert(subscriber.device, Arc::clone(subscriber)) {
            inner.unsubscribe(&earlier);
            earlier.close.cancel();
        }
    }

    /// From now on the subscriber hears of these conversations.
    pub(crate) fn listen(&self, subscriber: &Arc<Subscriber>, conversations: impl Iterator<Item = i64>) {
        let mut inner = self.lock();
        for conversation in conversations {
            inner.listen(conversation, subscriber);
        }
    }

    /// The subscriber has all of a conversation that it is no member of any more.
    pub(crate) fn forget(&self, subscriber: &Arc<Subscriber>, conversation: i64) {
        self.lock().forget(conversation, subscriber);
    }

    /// A batch is on stable storage.
    pub(crate) fn publish(&self, effects: &Effects) {
        let mut inner = self.lock();
        for joined in &effects.joined {
            if let Some(subscriber) = inner.subscribers.get(&joined.device).cloned() {
                subscriber.hear(Change::Joined(joined.clone()));
                inner.listen(joined.conversation, &subscriber);
            }
        }
        for (device, conversation, until) in &effects.left {
            if let Some(subscriber) = inner.subscribers.get(device) {
                subscriber.hear(Change::Left(*conversation, *until));
            }
        }
        for (conversation, head) in &effects.moved {
            for subscriber in inner.by_conversation.get(conversation).into_iter().flatten() {
                subscriber.hear(Change::Moved(*conversation, *head));
            }
        }
    }

    /// Sends the same bytes to every device (row) that is connected and for which they are.
    pub(crate) fn broadcast(&self, bytes: &Bytes, to: impl Fn(i64) -> bool) {
        for peer in self.lock().peers.values().filter(|peer| to(peer.device)) {
            // a connection that is just ending needs no notice
            let _ending = peer.outbound.send(bytes.clone(), None);
        }
    }

    /// Ends the connections of devices that `must_go`.
    pub(crate) fn close(&self, must_go: impl Fn(i64) -> bool) {
        for peer in self.lock().peers.values().filter(|peer| must_go(peer.device)) {
            peer.ends.close.cancel();
        }
    }
}

impl Inner {
    /// The connection that has to go before `peer` may come, and why.
    fn one_too_many(&self, peer: &Peer, limits: &Limits) -> Option<(u64, &'static Limit)> {
        let numbers = self.by_user.get(&peer.user)?;
        let of = |device: i64| {
            let is_of = move |number: &&u64| self.peers.get(*number).is_some_and(|peer| peer.device == device);
            numbers.iter().filter(is_of)
        };
        if of(peer.device).count() >= limits.connections_of_device {
            return Some((*of(peer.device).next()?, &CONNECTIONS_OF_DEVICE));
        }
        if numbers.len() < limits.connections_of_user {
            return None;
        }
        let devices = numbers.iter().filter_map(|number| self.peers.get(number)).map(|peer| peer.device);
        let most = devices.max_by_key(|device| of(*device).count())?;
        Some((*of(most).next()?, &CONNECTIONS_OF_USER))
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Peer>> {
        let peer = self.peers.remove(&number)?;
        if let Some(numbers) = self.by_user.get_mut(&peer.user) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_user.remove(&peer.user);
            }
        }
        Some(peer)
    }

    fn listen(&mut self, conversation: i64, subscriber: &Arc<Subscriber>) {
        let listeners = self.by_conversation.entry(conversation).or_default();
        if !listeners.iter().any(|listener| Arc::ptr_eq(listener, subscriber)) {
            listeners.push(Arc::clone(subscriber));
        }
    }

    fn forget(&mut self, conversation: i64, subscriber: &Arc<Subscriber>) {
        if let Some(listeners) = self.by_conversation.get_mut(&conversation) {
            listeners.retain(|listener| !Arc::ptr_eq(listener, subscriber));
            if listeners.is_empty() {
                self.by_conversation.remove(&conversation);
            }
        }
    }

    fn unsubscribe(&mut self, subscriber: &Arc<Subscriber>) {
        if self.subscribers.get(&subscriber.device).is_some_and(|current| Arc::ptr_eq(current, subscriber)) {
            self.subscribers.remove(&subscriber.device);
        }
        for conversation in subscriber.conversations() {
            self.forget(conversation, subscriber);
        }
    }
}
