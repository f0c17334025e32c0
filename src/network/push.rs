//! Pushing: reads what is due to a subscriber, in turn over its conversations, and hands it to the socket in large pieces.
//!
//! Three brakes: the device's window (what it has not acknowledged), the socket (what it has not taken), and the memory of
//! its user and of the process. None costs more than a few pieces: the database is the queue.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;

use super::Shared;
use super::connection::encode_into;
use super::delivery::queue::{Budget, Select, Wanted};
use super::ledger::{LedgerError, View};
use super::outbound::{Held, Outbound};
use super::subscriber::{Due, Subscriber};
use retaind_protocol::wire::{Answer, Delivery, ServerFrame};

/// Conversations read in one transaction, messages of each, and bytes of all: one piece for the socket.
const CONVERSATIONS_AT_ONCE: usize = 128;
const MESSAGES_OF_EACH: usize = 64;
const PIECE_BYTES: u64 = 512 * 1024;
/// Pieces that wait for the socket.
pub(crate) const PIECES_WAITING_MAX: usize = 4;

/// Loads what is due and registers for what will come. Loaded twice: what happens between the first load and the
/// registration is found by the second, and nothing is pushed twice.
pub(crate) async fn subscribe(shared: &Arc<Shared>, subscriber: &Arc<Subscriber>) -> Result<(), super::error::Refusal> {
    shared.hub.subscribe(subscriber);
    let device = subscriber.device;
    let memberships = shared.readers.run(move |db| Ok(db.memberships(device)?)).await?;
    let rows: Vec<i64> = memberships.iter().map(|membership| membership.conversation).collect();
    shared.hub.listen(subscriber, rows.into_iter());
    drop(memberships);
    let memberships = shared.readers.run(move |db| Ok(db.memberships(device)?)).await?;
    subscriber.load(memberships);
    Ok(())
}

/// Pushes until the connection ends.
pub(crate) async fn run(shared: Arc<Shared>, subscriber: Arc<Subscriber>, outbound: Outbound) {
    let pieces = Arc::new(Semaphore::new(PIECES_WAITING_MAX));
    loop {
        tokio::select! {
            () = subscriber.close.cancelled() => return,
            () = subscriber.wake.notified() => {}
        }
        loop {
            let Ok(permit) = Arc::clone(&pieces).acquire_owned().await else {
                return;
            };
            // charged before it is read: a device that takes nothing waits here, and holds no more than its pieces
            let charge = tokio::select! {
                () = subscriber.close.cancelled() => return,
                charge = outbound.account().charge_for_an_answer(PIECE_BYTES as usize) => charge,
            };
            let Ok(charge) = charge else {
                return subscriber.close.cancel();
            };
            let (due, messages, bytes) = subscriber.plan(CONVERSATIONS_AT_ONCE, MESSAGES_OF_EACH);
            if due.is_empty() {
                break;
            }
            let conversations: Vec<i64> = due.iter().map(|due| due.conversation).collect();
            let read = shared.readers.run(move |db| Ok(read_piece(db, &due, messages, bytes.min(PIECE_BYTES))?)).await;
            let Ok(read) = read else {
                // the log says why; the device comes again and asks for what it did not get
                conversations.into_iter().for_each(|conversation| subscriber.not_read(conversation));
                subscriber.close.cancel();
                return;
            };
            let piece = settle(&subscriber, read);
            if !piece.is_empty() && outbound.send(piece, Some(Held { permit, charge })).is_err() {
                return;
            }
        }
    }
}

enum Piece {
    Read { conversation: i64, through: u64, deliveries: Vec<Delivery> },
    NotRead(i64),
}

fn read_piece(view: &dyn View, due: &[Due], mut messages: usize, bytes: u64) -> Result<Vec<Piece>, LedgerError> {
    let mut bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut pieces = Vec::with_capacity(due.len());
    for due in due {
        if messages == 0 || bytes == 0 {
            pieces.push(Piece::NotRead(due.conversation));
            continue;
        }
        let budget = Budget { messages: due.messages.min(messages), bytes };
        let Due { conversation, stint, after, head, .. } = *due;
        let wanted = Wanted { conversation, id: &due.id, stint: &stint, after, head };
        let read = view.read(wanted, Select::All, budget)?;
        messages = messages.saturating_sub(read.deliveries.len());
        let taken: usize = read.deliveries.iter().map(|delivery| delivery.payload.len()).sum();
        bytes = bytes.saturating_sub(taken);
        pieces.push(Piece::Read {
            conversation: due.conversation,
            through: read.through_seq,
            deliveries: read.deliveries,
        });
    }
    Ok(pieces)
}

fn settle(subscriber: &Subscriber, pieces: Vec<Piece>) -> Bytes {
    let mut out = BytesMut::new();
    let mut not_read = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Read { conversation, through, deliveries } => {
                let sizes: Vec<(u64, u64)> =
                    deliveries.iter().map(|delivery| (delivery.seq, delivery.payload.len() as u64)).collect();
                let new = subscriber.pushed(conversation, through, &sizes);
                for delivery in deliveries.into_iter().filter(|delivery| new.binary_search(&delivery.seq).is_ok()) {
                    encode_into(&mut out, &ServerFrame { id: 0, answer: Some(Answer::Delivery(delivery)) });
                }
            }
            Piece::NotRead(conversation) => not_read.push(conversation),
        }
    }
    for conversation in not_read.into_iter().rev() {
        subscriber.not_read(conversation);
    }
    out.freeze()
}
