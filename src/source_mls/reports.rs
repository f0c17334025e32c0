//! What the network is still to be told of conversations, and telling it.
//!
//! A report that is lost in a crash costs nothing: whether a conversation can be followed is in the state, and each new connection
//! begins with it.

use std::collections::BTreeMap;

use retaind_core::fault::Faulty as _;
use retaind_device::connection::{Connection, ConnectionError};
use retaind_protocol::ids::ConversationId;
use retaind_protocol::wire::{RefusalCode, Report, Reported, Request};

/// Most reports that wait: the network hears of the others when they happen again.
const WAITING_MAX: usize = 65_536;

/// Reports that wait: the last of each conversation, and of each device that could not be read there.
#[derive(Debug, Default)]
pub struct Reports(BTreeMap<(ConversationId, Vec<u8>), Reported>);

impl Reports {
    /// Replaces what waits of the same thing.
    pub(crate) fn put(&mut self, conversation: ConversationId, reported: Reported) {
        let device = match &reported {
            Reported::Unread(unread) => unread.device.clone(),
            Reported::Lost(_) | Reported::Follows(_) => Vec::new(),
        };
        let key = (conversation, device);
        if self.0.len() < WAITING_MAX || self.0.contains_key(&key) {
            self.0.insert(key, reported);
        }
    }

    /// Merges newer ones into these.
    pub fn append(&mut self, newer: Self) {
        for ((conversation, _), reported) in newer.0 {
            self.put(conversation, reported);
        }
    }

    /// Is there nothing to be told?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Conversations and what is to be said of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&ConversationId, &Reported)> {
        self.0.iter().map(|((conversation, _), reported)| (conversation, reported))
    }

    /// Tells the network, and takes out what was told. What it refuses is told as well: saying it again would change nothing.
    pub(crate) async fn tell(&mut self, connection: &Connection) -> Result<(), ConnectionError> {
        while let Some((key, reported)) = self.0.pop_first() {
            let report = Report { conversation: key.0.to_string(), reported: Some(reported.clone()) };
            match connection.call_done(Request::Report(report)).await {
                Ok(()) => {}
                Err(error) if error.is_temporary() => {
                    self.0.insert(key, reported);
                    return Err(error);
                }
                Err(error)
                    if matches!(reported, Reported::Follows(_)) && error.refusal() == Some(RefusalCode::Invalid) =>
                {
                    tracing::warn!(
                        conversation = %key.0, %error,
                        "the network tracks another group than the bot was added to: it accepts no messages there"
                    );
                }
                // removed meanwhile, of an epoch that is over, no retention bot, or a network that knows no reports
                Err(error) => tracing::debug!(conversation = %key.0, %error, "a report was refused"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use retaind_protocol::ids::ConversationKind;
    use retaind_protocol::wire::{Follows, Lost, Unread};

    #[test]
    fn the_last_word_on_each_thing_is_told() {
        let room = ConversationId::from_random(ConversationKind::Room, [1; 32]);
        let unread = |device: u8, epoch| Reported::Unread(Unread { device: vec![device; 16], epoch });
        let mut reports = Reports::default();
        reports.put(room, Reported::Lost(Lost { seq: 4 }));
        reports.put(room, unread(1, 2));
        let mut newer = Reports::default();
        newer.put(room, Reported::Follows(Follows { epoch: 3, context: vec![7; 32] }));
        newer.put(room, unread(1, 3));
        newer.put(room, unread(2, 3));
        reports.append(newer);
        let told: Vec<_> = reports.iter().map(|(_, reported)| reported.clone()).collect();
        let follows = Reported::Follows(Follows { epoch: 3, context: vec![7; 32] });
        assert_eq!(told, [follows, unread(1, 3), unread(2, 3)]);
    }
}
