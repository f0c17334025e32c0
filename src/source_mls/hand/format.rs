//! The file of marks: one size, records of one size, each of which is written with one call.
//!
//! ```text
//! [run] [mark of worker 0] … [mark of worker 127] [suspect 0] … [suspect 127]
//!
//! record: magic 4 | kind 1 | deaths 1 | first 8 | last 8 | conversation 64 | zeros 34 | checksum 8      (big-endian)
//! ```
//!
//! A record never crosses a page, so a killed process leaves it old or new. The checksum finds damage, not malice: whoever may
//! write here may write the state as well. A record that cannot be read counts for nothing.

use retaind_protocol::ids::ConversationId;
use thiserror::Error;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 128;
/// Workers that have a mark.
pub const MARKS_MAX: usize = 128;
/// Conversations that are watched at the same time.
pub const SUSPECTS_MAX: usize = 128;
/// Bytes of the file.
pub const FILE_BYTES: usize = (1 + MARKS_MAX + SUSPECTS_MAX) * RECORD_BYTES;

const MAGIC: [u8; 4] = *b"rih1";
const SPARE_BYTES: usize = 34;
const NOTHING: u8 = 0;
const MARK: u8 = 1;
const SUSPECT: u8 = 2;
const RUNNING: u8 = 3;
const ENDED: u8 = 4;
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Consecutive deliveries of one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliveries {
    /// The conversation.
    pub conversation: ConversationId,
    /// The `seq` of the first, from 1.
    pub first: u64,
    /// The `seq` of the last, not below `first`.
    pub last: u64,
}

impl Deliveries {
    /// The `seq` of the delivery, if it is one.
    pub fn only(&self) -> Option<u64> {
        (self.first == self.last).then_some(self.first)
    }

    /// Is this one of them?
    pub fn have(&self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}

/// Deliveries that were in hand when a process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// The deliveries.
    pub deliveries: Deliveries,
    /// Deaths in a row with them in hand, up to the last one; 0: they were in hand at an earlier one.
    pub deaths: u8,
}

/// How the last run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// As it meant to, whatever the reason.
    Ended,
    /// It was killed, or killed itself.
    Died,
}

/// What the file held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How the last run ended.
    pub run: Run,
    /// What its workers had in hand.
    pub in_hand: Vec<Deliveries>,
    /// What was suspected by then.
    pub suspects: Vec<Suspect>,
    /// Records that could not be read.
    pub damaged: usize,
}

/// The file is none of this release.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("it has {0} bytes instead of {FILE_BYTES}")]
pub struct WrongSize(pub usize);

enum Record {
    Nothing,
    Mark(Deliveries),
    Suspect(Suspect),
    Run(Run),
}

/// Reads the file. Damaged records are counted and left out.
pub fn decode(bytes: &[u8]) -> Result<Found, WrongSize> {
    let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
    if bytes.len() != FILE_BYTES || !rest.is_empty() {
        return Err(WrongSize(bytes.len()));
    }
    // a run that cannot be read has not ended as it meant to
    let mut found = Found { run: Run::Died, in_hand: Vec::new(), suspects: Vec::new(), damaged: 0 };
    for (place, record) in records.iter().enumerate() {
        match (place, decode_record(record)) {
            (0, Some(Record::Run(run))) => found.run = run,
            (1..=MARKS_MAX, Some(Record::Mark(deliveries))) => found.in_hand.push(deliveries),
            (1.., Some(Record::Nothing)) => {}
            (place, Some(Record::Suspect(suspect))) if place > MARKS_MAX => found.suspects.push(suspect),
            (_, Some(_) | None) => found.damaged = found.damaged.saturating_add(1),
        }
    }
    Ok(found)
}

fn decode_record(bytes: &[u8; RECORD_BYTES]) -> Option<Record> {
    let (body, sum) = bytes.split_last_chunk()?;
    if checksum(body) != u64::from_be_bytes(*sum) {
        return None;
    }
    let ([kind, deaths], rest) = body.strip_prefix(&MAGIC)?.split_first_chunk()?;
    let (first, rest) = rest.split_first_chunk()?;
    let (last, rest) = rest.split_first_chunk()?;
    let (conversation, spare) = rest.split_first_chunk::<64>()?;
    let (first, last) = (u64::from_be_bytes(*first), u64::from_be_bytes(*last));
    if spare.iter().any(|byte| *byte != 0) {
        return None;
    }
    let deliveries = || {
        let conversation = ConversationId::from_bytes(conversation).ok()?;
        (1..=last).contains(&first).then_some(Deliveries { conversation, first, last })
    };
    let is_empty = first == 0 && last == 0 && conversation.iter().all(|byte| *byte == 0);
    match (*kind, *deaths) {
        (NOTHING, 0) if is_empty => Some(Record::Nothing),
        (RUNNING, 0) if is_empty => Some(Record::Run(Run::Died)),
        (ENDED, 0) if is_empty => Some(Record::Run(Run::Ended)),
        (MARK, 0) => deliveries().map(Record::Mark),
        (SUSPECT, _) => deliveries().map(|deliveries| Record::Suspect(Suspect { deliveries, deaths: *deaths })),
        _ => None,
    }
}

/// The file of a run that has begun.
pub fn encode(suspects: &[Suspect]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    bytes.extend_from_slice(&running());
    bytes.extend((0..MARKS_MAX).flat_map(|_| nothing()));
    let kept = suspects.iter().take(SUSPECTS_MAX).map(encode_suspect);
    bytes.extend(kept.chain(std::iter::repeat_with(nothing)).take(SUSPECTS_MAX).flatten());
    bytes
}

/// No mark, and no suspect.
pub fn nothing() -> [u8; RECORD_BYTES] {
    record(NOTHING, 0, None)
}

/// These are in hand.
pub fn mark(deliveries: &Deliveries) -> [u8; RECORD_BYTES] {
    record(MARK, 0, Some(deliveries))
}

/// The run has ended as it meant to.
pub fn ended() -> [u8; RECORD_BYTES] {
    record(ENDED, 0, None)
}

fn running() -> [u8; RECORD_BYTES] {
    record(RUNNING, 0, None)
}

fn encode_suspect(suspect: &Suspect) -> [u8; RECORD_BYTES] {
    record(SUSPECT, suspect.deaths, Some(&suspect.deliveries))
}

/// Where the mark of this worker is in the file; `None`: it has none.
pub fn place_of_mark(worker: usize) -> Option<u64> {
    (worker < MARKS_MAX).then(|| place(worker.saturating_add(1)))
}

/// Where this suspect is in the file.
pub fn place_of_suspect(number: usize) -> u64 {
    place(number.saturating_add(1).saturating_add(MARKS_MAX))
}

fn place(record: usize) -> u64 {
    u64::try_from(record.saturating_mul(RECORD_BYTES)).unwrap_or(u64::MAX)
}

fn record(kind: u8, deaths: u8, deliveries: Option<&Deliveries>) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut body = Vec::with_capacity(RECORD_BYTES);
    body.extend_from_slice(&MAGIC);
    body.extend_from_slice(&[kind, deaths]);
    match deliveries {
        Some(Deliveries { conversation, first, last }) => {
            body.extend_from_slice(&first.to_be_bytes());
            body.extend_from_slice(&last.to_be_bytes());
            body.extend_from_slice(conversation.as_bytes());
        }
        None => body.extend_from_slice(&[0; 80]),
    }
    body.extend_from_slice(&[0; SPARE_BYTES]);
    body.extend_from_slice(&checksum(&body).to_be_bytes());
    // the two have the same length: a test encodes and decodes each kind
    bytes.iter_mut().zip(body).for_each(|(byte, value)| *byte = value);
    bytes
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_START, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(FNV_PRIME))
}

#[cfg(test)]
mod tests {
    use retaind_protocol::ids::ConversationKind;

    use super::*;

    fn deliveries(first: u64, last: u64) -> Deliveries {
        Deliveries { conversation: ConversationId::from_random(ConversationKind::Room, [7; 32]), first, last }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let suspects = [
            Suspect { deliveries: deliveries(1, 9), deaths: 1 },
            Suspect { deliveries: deliveries(u64::MAX, u64::MAX), deaths: u8::MAX },
        ];
        let mut file = encode(&suspects);
        let nothing_in_hand = Found { run: Run::Died, in_hand: vec![], suspects: suspects.to_vec(), damaged: 0 };
        assert_eq!(decode(&file), Ok(nothing_in_hand.clone()));
        let at = usize::try_from(place_of_mark(MARKS_MAX - 1).unwrap()).unwrap();
        file[at..at + RECORD_BYTES].copy_from_slice(&mark(&deliveries(3, 4)));
        file[..RECORD_BYTES].copy_from_slice(&ended());
        let found = Found { run: Run::Ended, in_hand: vec![deliveries(3, 4)], ..nothing_in_hand };
        assert_eq!(decode(&file), Ok(found));
        assert_eq!(place_of_mark(MARKS_MAX), None);
        assert_eq!(decode(&encode(&vec![suspects[0]; SUSPECTS_MAX + 1])).unwrap().suspects.len(), SUSPECTS_MAX);
    }

    #[test]
    fn each_flipped_bit_costs_one_record_and_another_size_the_file() {
        let suspect = Suspect { deliveries: deliveries(5, 5), deaths: 2 };
        let file = encode(&[suspect]);
        let at = usize::try_from(place_of_suspect(0)).unwrap();
        for bit in 0..RECORD_BYTES * 8 {
            let mut damaged = file.clone();
            damaged[at + bit / 8] ^= 1 << (bit % 8);
            let found = decode(&damaged).unwrap();
            assert_eq!((found.suspects.len(), found.damaged), (0, 1), "bit {bit}");
        }
        for size in [0, 1, FILE_BYTES - 1, FILE_BYTES + 1, FILE_BYTES + RECORD_BYTES] {
            assert_eq!(decode(&vec![0; size]), Err(WrongSize(size)));
        }
        let zeros = decode(&vec![0; FILE_BYTES]).unwrap();
        assert_eq!((zeros.run, zeros.damaged), (Run::Died, FILE_BYTES / RECORD_BYTES));
    }

    #[test]
    fn a_record_in_another_place_or_with_a_range_that_is_none_counts_for_nothing() {
        let mut file = encode(&[]);
        let at = usize::try_from(place_of_suspect(3)).unwrap();
        file[at..at + RECORD_BYTES].copy_from_slice(&mark(&deliveries(1, 1)));
        let at = usize::try_from(place_of_mark(3).unwrap()).unwrap();
        file[at..at + RECORD_BYTES].copy_from_slice(&mark(&deliveries(2, 1)));
        let at = usize::try_from(place_of_mark(4).unwrap()).unwrap();
        file[at..at + RECORD_BYTES].copy_from_slice(&mark(&deliveries(0, 1)));
        let found = decode(&file).unwrap();
        assert_eq!((found.in_hand.len(), found.suspects.len(), found.damaged), (0, 0, 3));
    }
}
