//! Changes inputs as fuzzers do, the same way each time.

/// Numbers that look random: xorshift64*.
pub struct Dice(u64);

impl Dice {
    /// The same numbers for the same `name`.
    pub fn named(name: &str) -> Self {
        // FNV-1a; never 0
        Self(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
                | 1,
        )
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() >> 16) as usize % end.max(1)
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let (a, b) = (self.below(length + 1), self.below(length + 1));
        a.min(b)..a.max(b)
    }
}

/// Bytes that mean something to some decoder.
const TELLING: [&[u8]; 16] = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x01\x00\x00\x00",
    b"\"",
    b"{",
    b"[",
    b"\r\n",
    b"=",
    "\u{202e}".as_bytes(),
    b"\\u0000",
];

/// Some changes to `input`, with parts of `other`; at most `bytes_max` long.
pub fn mutated(dice: &mut Dice, input: &[u8], other: &[u8], bytes_max: usize) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(10) {
            // a bit, a byte
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = dice.next() as u8;
                }
            }
            // a length that is a little wrong
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = byte.wrapping_add(dice.below(5) as u8).wrapping_sub(2);
                }
            }
            // cut off, cut out
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(dice.range(bytes.len()))),
            // something that means something, put in or laid over
            6 => {
                let telling = TELLING[dice.below(TELLING.len())];
                drop(bytes.splice(at..at, telling.iter().copied()));
            }
            7 => {
                let telling = TELLING[dice.below(TELLING.len())];
                let end = (at + telling.len()).min(bytes.len());
                drop(bytes.splice(at..end, telling.iter().copied()));
            }
            // a part again, some times
            8 => {
                let part = bytes[dice.range(bytes.len())].repeat(1 + dice.below(8));
                drop(bytes.splice(at..at, part));
            }
            // a part of another
            _ => {
                let part = other[dice.range(other.len())].to_vec();
                let end = at + dice.below(bytes.len() - at + 1);
                drop(bytes.splice(at..end, part));
            }
        }
    }
    bytes.truncate(bytes_max);
    bytes
}
