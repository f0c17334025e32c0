//! A network as the bot sees it: gap-free places of conversations, delivered from the last acknowledged one on, kept until
//! acknowledged; and a connection that loses, doubles, delays and swaps what passes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use retaind::device::blob::{BlobError, Blobs};
use retaind::device::connection::ConnectionError;
use retaind::protocol::ids::ConversationId;
use retaind::protocol::wire::{BlobRange, ConversationState, Delivery, RefusalCode};

use super::recording::Recording;
use crate::support::traffic::Dice;

/// Messages on the way that are not acknowledged.
const WINDOW: u64 = 48;

/// The network.
pub struct Network {
    recording: Arc<Recording>,
    lines: Vec<Line>,
    connected: bool,
}

struct Line {
    id: ConversationId,
    /// Places that were accepted so far.
    head: u64,
    acknowledged: u64,
    /// Delivered on this connection up to here.
    delivered: u64,
    /// Passed over on this connection, to come later or never.
    left_out: Vec<u64>,
    /// The highest that was ever passed over: who leaves out the same twice is believed not to have it.
    passed_over: u64,
}

impl Network {
    /// That has accepted nothing yet.
    pub fn new(recording: Arc<Recording>) -> Self {
        let line = |id: &str| Line {
            id: id.parse().unwrap(),
            head: 0,
            acknowledged: 0,
            delivered: 0,
            left_out: Vec::new(),
            passed_over: 0,
        };
        let lines = recording.conversations.iter().map(|conversation| line(&conversation.id)).collect();
        Self { recording, lines, connected: false }
    }

    fn length(&self, line: usize) -> u64 {
        self.recording.conversations[line].places.len() as u64
    }

    /// Is the bot connected?
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Somebody says something. `false`: all has been said.
    pub fn accept(&mut self, dice: &mut Dice) -> bool {
        let open: Vec<usize> =
            (0..self.lines.len()).filter(|line| self.lines[*line].head < self.length(*line)).collect();
        let Some(line) = pick(&open, dice) else { return false };
        self.lines[line].head += 1;
        true
    }

    /// All that will ever be said is said.
    pub fn accept_all(&mut self) {
        for line in 0..self.lines.len() {
            self.lines[line].head = self.length(line);
        }
    }

    /// Is everything acknowledged?
    pub fn is_done(&self) -> bool {
        (0..self.lines.len()).all(|line| self.lines[line].acknowledged == self.length(line))
    }

    /// What the network tells a bot that asks: its conversations.
    pub fn states(&self) -> Vec<ConversationState> {
        let known = self.lines.iter().filter(|line| line.head > 0);
        let state = |line: &Line| ConversationState {
            conversation: line.id.to_string(),
            head_seq: line.head,
            acknowledged_seq: line.acknowledged,
        };
        known.map(state).collect()
    }

    /// A new connection: everything that is not acknowledged is delivered on it.
    pub fn connect(&mut self) {
        self.connected = true;
        for line in &mut self.lines {
            line.delivered = line.acknowledged;
            line.left_out.clear();
        }
    }

    /// The connection ends.
    pub fn cut(&mut self) {
        self.connected = false;
    }

    /// Takes acknowledgements. Only forward, and only of what was accepted.
    pub fn acknowledge(&mut self, cursors: &BTreeMap<ConversationId, u64>) {
        for line in &mut self.lines {
            if let Some(seq) = cursors.get(&line.id) {
                assert!(*seq <= line.head, "acknowledged what was never sent: {} of {}", seq, line.id);
                super::trace(&format!("acknowledged {} {seq}", &line.id.to_string()[..6]));
                line.acknowledged = line.acknowledged.max(*seq);
                line.delivered = line.delivered.max(line.acknowledged);
            }
        }
    }

    fn delivery(&self, line: usize, seq: u64) -> Delivery {
        self.recording.conversations[line].places[usize::try_from(seq - 1).unwrap()].delivery.clone()
    }

    fn on_the_way(&self) -> u64 {
        self.lines.iter().map(|line| line.delivered - line.acknowledged).sum()
    }

    /// The next delivery, in order.
    pub fn deliver(&mut self, dice: &mut Dice) -> Option<Delivery> {
        if !self.connected || self.on_the_way() >= WINDOW {
            return None;
        }
        let ready: Vec<usize> =
            (0..self.lines.len()).filter(|line| self.lines[*line].delivered < self.lines[*line].head).collect();
        let line = pick(&ready, dice)?;
        self.lines[line].delivered += 1;
        Some(self.delivery(line, self.lines[line].delivered))
    }

    /// One more of what this connection has delivered before.
    pub fn deliver_again(&mut self, dice: &mut Dice) -> Option<Delivery> {
        let line = usize::try_from(dice.below(self.lines.len() as u64)).unwrap();
        let Line { acknowledged, delivered, .. } = self.lines[line];
        if !self.connected || delivered <= acknowledged {
            return None;
        }
        Some(self.delivery(line, acknowledged + 1 + dice.below(delivered - acknowledged)))
    }

    /// The next one is left out.
    pub fn leave_out(&mut self, dice: &mut Dice) {
        let line = usize::try_from(dice.below(self.lines.len() as u64)).unwrap();
        let line = &mut self.lines[line];
        if self.connected && line.delivered < line.head && line.delivered >= line.passed_over {
            line.delivered += 1;
            line.passed_over = line.delivered;
            line.left_out.push(line.delivered);
        }
    }

    /// One that was left out comes late.
    pub fn deliver_late(&mut self, dice: &mut Dice) -> Option<Delivery> {
        let late: Vec<usize> =
            (0..self.lines.len()).filter(|line| self.connected && !self.lines[*line].left_out.is_empty()).collect();
        let line = pick(&late, dice)?;
        let seq = self.lines[line].left_out.remove(0);
        Some(self.delivery(line, seq))
    }
}

fn pick(from: &[usize], dice: &mut Dice) -> Option<usize> {
    if from.is_empty() { None } else { Some(from[usize::try_from(dice.below(from.len() as u64)).unwrap()]) }
}

/// The attachments of the network, behind a connection that may end in the middle of one.
pub struct SimBlobs {
    recording: Arc<Recording>,
    /// Errors that are still to come, one at a range.
    trouble: Mutex<u64>,
}

impl SimBlobs {
    /// The blobs of `recording`.
    pub fn new(recording: Arc<Recording>) -> Self {
        Self { recording, trouble: Mutex::new(0) }
    }

    /// The next so many ranges fail.
    pub fn fail(&self, ranges: u64) {
        *self.trouble.lock().unwrap() = ranges;
    }
}

impl Blobs for SimBlobs {
    fn range<'a>(&'a self, blob: &'a [u8; 32], range: Range<u64>) -> BoxFuture<'a, Result<BlobRange, BlobError>> {
        let mut trouble = self.trouble.lock().unwrap();
        let result = if *trouble > 0 {
            *trouble -= 1;
            Err(ConnectionError::Closed.into())
        } else {
            match self.recording.blobs.iter().find(|one| one.id == blob) {
                None => Err(BlobError::Connection(ConnectionError::Refused {
                    code: RefusalCode::NotFound,
                    message: "no such blob".to_owned(),
                })),
                Some(one) => {
                    let size = one.bytes.len() as u64;
                    let (start, end) = (range.start.min(size), range.end.min(size));
                    let bytes = one.bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].to_vec();
                    Ok(BlobRange { bytes, size })
                }
            }
        };
        Box::pin(std::future::ready(result))
    }
}
