//! Keys of fixed size whose bytes sort as records are wanted.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp;

use crate::membership::Moment;
use crate::source::Place;

const WANTED: u8 = 1;
const OUTSIDE: u8 = 2;
const AMBIGUOUS: u8 = 4;
/// Sets the ids of messages apart from times.
const ID: u8 = 0;
const TIME: u8 = 1;
const ID_BYTES: usize = 17;
/// 32 hex digits.
const MESSAGE_ID_CHARS: usize = 32;

/// A time as a number that sorts as it does; no time is before all others.
pub(super) fn ordered(at: Option<Timestamp>) -> u64 {
    at.map_or(0, |at| at.as_microsecond().cast_unsigned() ^ (1 << 63))
}

/// What a message is named by.
pub(super) type Target = [u8; ID_BYTES];

/// By its `message_id`: the id itself, or its hash if it is not as usual.
pub(super) fn message_id(id: &str) -> Target {
    let mut target = [ID; ID_BYTES];
    let bytes = match HEXLOWER_PERMISSIVE.decode(id.as_bytes()) {
        Ok(bytes) if id.len() == MESSAGE_ID_CHARS => bytes,
        Ok(_) | Err(_) => digest::digest(&digest::SHA256, id.as_bytes()).as_ref().to_vec(),
    };
    target.iter_mut().skip(1).zip(bytes).for_each(|(to, byte)| *to = byte);
    target
}

/// By its `msg_ts`.
pub(super) fn time_id(at: Timestamp) -> Target {
    let mut target = [0; ID_BYTES];
    let bytes = [TIME].into_iter().chain(at.as_microsecond().to_be_bytes());
    target.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    target
}

/// Writes numbers one after the other.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    fn put(mut self, bytes: &[u8]) -> Self {
        self.bytes.iter_mut().skip(self.at).zip(bytes).for_each(|(to, byte)| *to = *byte);
        self.at = self.at.saturating_add(bytes.len());
        self
    }
}

/// Reads them back.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        // keys have their size by their type
        let Some((head, rest)) = self.0.split_first_chunk::<N>() else { return [0; N] };
        self.0 = rest;
        *head
    }

    fn u8(&mut self) -> u8 {
        u8::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

/// Where a record comes in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// Of the message; 0 if the order is not by time.
    pub time: u64,
    pub conversation: u32,
    /// Of the message that it is under, or its own.
    pub root: Moment,
    pub is_modifier: bool,
    pub moment: Moment,
    pub place: Place,
    pub is_wanted: bool,
    pub is_outside: bool,
    pub is_ambiguous: bool,
}

impl Slot {
    pub(super) const BYTES: usize = 8 + 4 + 8 + 1 + 8 + 4 + 8 + 8 + 4 + 1;

    pub(super) fn alone(time: u64, conversation: u32, moment: Moment, place: Place, is_wanted: bool) -> Self {
        Self {
            time,
            conversation,
            root: moment,
            is_modifier: false,
            moment,
            place,
            is_wanted,
            is_outside: false,
            is_ambiguous: false,
        }
    }

    /// The same, if what comes last is wanted first. Modifiers keep their order.
    pub(super) fn reversed(self) -> Self {
        Self { time: !self.time, conversation: !self.conversation, root: !self.root, ..self }
    }

    /// Under a message.
    pub(super) fn under(self, message: &Self, is_ambiguous: bool) -> Self {
        Self { time: message.time, root: message.root, is_modifier: true, is_ambiguous, ..self }
    }

    /// Of one message?
    pub(super) fn is_with(&self, other: &Self) -> bool {
        (self.time, self.conversation, self.root) == (other.time, other.conversation, other.root)
    }

    /// Of one place in a conversation?
    pub(super) fn is_same_record(&self, other: &Self) -> bool {
        self.is_with(other) && (self.is_modifier, self.moment) == (other.is_modifier, other.moment)
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = flag(self.is_wanted, WANTED) | flag(self.is_outside, OUTSIDE) | flag(self.is_ambiguous, AMBIGUOUS);
        Writer { bytes: [0; Self::BYTES], at: 0 }
            .put(&self.time.to_be_bytes())
            .put(&self.conversation.to_be_bytes())
            .put(&self.root.to_be_bytes())
            .put(&[u8::from(self.is_modifier)])
            .put(&self.moment.to_be_bytes())
            .put(&self.place.file.to_be_bytes())
            .put(&self.place.line.to_be_bytes())
            .put(&self.place.offset.to_be_bytes())
            .put(&self.place.bytes.to_be_bytes())
            .put(&[flags])
            .bytes
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        Self::read(&mut Reader(&bytes))
    }

    fn read(bytes: &mut Reader<'_>) -> Self {
        let (time, conversation, root, is_modifier) = (bytes.u64(), bytes.u32(), bytes.u64(), bytes.u8() != 0);
        let moment = bytes.u64();
        let place = Place { file: bytes.u32(), line: bytes.u64(), offset: bytes.u64(), bytes: bytes.u32() };
        let flags = bytes.u8();
        let (is_wanted, is_outside) = (flags & WANTED != 0, flags & OUTSIDE != 0);
        let is_ambiguous = flags & AMBIGUOUS != 0;
        Self { time, conversation, root, is_modifier, moment, place, is_wanted, is_outside, is_ambiguous }
    }
}

/// A message by what it is named by, or a modifier by what it names: messages come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    target: Target,
    pub is_modifier: bool,
    pub slot: Slot,
}

impl Link {
    pub(super) const BYTES: usize = 4 + ID_BYTES + 1 + Slot::BYTES;

    pub(super) fn message(target: Target, slot: Slot) -> Self {
        Self { target, is_modifier: false, slot }
    }

    pub(super) fn modifier(target: Target, slot: Slot) -> Self {
        Self { target, is_modifier: true, slot }
    }

    /// Of one message in one conversation?
    pub(super) fn is_same_target(&self, other: &Self) -> bool {
        (self.slot.conversation, self.target) == (other.slot.conversation, other.target)
    }

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        Writer { bytes: [0; Self::BYTES], at: 0 }
            .put(&self.slot.conversation.to_be_bytes())
            .put(&self.target)
            .put(&[u8::from(self.is_modifier)])
            .put(&self.slot.encode())
            .bytes
    }

    pub(super) fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let mut bytes = Reader(&bytes);
        bytes.u32();
        Self { target: bytes.take(), is_modifier: bytes.u8() != 0, slot: Slot::read(&mut bytes) }
    }
}
