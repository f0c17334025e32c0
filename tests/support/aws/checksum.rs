//! Checksums of requests, which AWS checks and moto does not: those in headers, and those behind an `aws-chunked` body.
//!
//! CRCs are computed here by their definition, and not with the SDK's crate: else both would err alike.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use data_encoding::{BASE64, HEXLOWER};
use hyper::HeaderMap;
use md5::{Digest, Md5};

use super::request::Asked;

/// Longest line between chunks or behind them.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// User metadata of an object: names and values. Moto takes any.
const METADATA_BYTES_MAX: usize = 2 * 1024;

/// Why AWS would not take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// AWS's code.
    pub code: &'static str,
    /// More, for who reads the test.
    pub message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

enum Sum {
    /// Reflected, all ones before and after: polynomial, width in bits, state.
    Crc(Box<[u64; 256]>, u32, u64),
    Hash(Context),
    Md5(Md5),
}

impl Sum {
    /// As headers name it: `sha256` of `x-amz-checksum-sha256`.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "crc32" => Self::crc(0xedb8_8320, 32),
            "crc32c" => Self::crc(0x82f6_3b78, 32),
            "crc64nvme" => Self::crc(0x9a6c_9329_ac4b_c9b5, 64),
            "sha1" => Self::Hash(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            "sha256" => Self::Hash(Context::new(&SHA256)),
            _ => return None,
        })
    }

    fn crc(polynomial: u64, width: u32) -> Self {
        let step = |value: u64| if value & 1 == 1 { value >> 1 ^ polynomial } else { value >> 1 };
        let table = std::array::from_fn(|index| (0..8).fold(index as u64, |value, _| step(value)));
        Self::Crc(Box::new(table), width, u64::MAX >> (64 - width))
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(table, _, state) => {
                *state = bytes
                    .iter()
                    .fold(*state, |state, byte| table[usize::from(state.to_le_bytes()[0] ^ byte)] ^ state >> 8);
            }
            Self::Hash(context) => context.update(bytes),
            Self::Md5(md5) => md5.update(bytes),
        }
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(_, width, state) => {
                let sum = (state ^ u64::MAX >> (64 - width)).to_be_bytes();
                sum[8 - width as usize / 8..].to_vec()
            }
            Self::Hash(context) => context.finish().as_ref().to_vec(),
            Self::Md5(md5) => md5.finalize().to_vec(),
        }
    }
}

/// The checksum of a payload in base64, as headers give it: `crc32`, `crc32c`, `crc64nvme`, `sha1`, `sha256`.
pub fn checksum(algorithm: &str, payload: &[u8]) -> String {
    let mut sum = Sum::named(algorithm).unwrap();
    sum.update(payload);
    BASE64.encode(&sum.finish())
}

struct Check {
    header: String,
    /// `None`: it stands behind the body.
    wanted: Option<String>,
    sum: Sum,
}

/// All checks of one request, fed with its body.
pub struct Checks {
    checks: Vec<Check>,
    /// Of the body as it travels, in hexadecimal.
    travelling: Option<(String, Sum)>,
    chunked: Option<Chunked>,
    payload: u64,
    payload_wanted: Option<u64>,
}

impl Checks {
    /// What the head promises. `demanded`: also of parts; objects that are locked always need a checksum.
    pub fn of(asked: &Asked, headers: &HeaderMap, demanded: Demand) -> Result<Self, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut checks = Vec::new();
        // there the header speaks of the object, not of the request
        let speaks_of_body = asked.operation != "CompleteMultipartUpload";
        for (name, value) in headers.iter().filter(|_| speaks_of_body) {
            if let Some(sum) = name.as_str().strip_prefix("x-amz-checksum-").and_then(Sum::named) {
                let wanted = Some(value.to_str().unwrap_or_default().to_owned());
                checks.push(Check { header: name.as_str().to_owned(), wanted, sum });
            }
        }
        for trailer in text("x-amz-trailer").iter().flat_map(|names| names.split(',')).map(str::trim) {
            let sum = trailer.strip_prefix("x-amz-checksum-").and_then(Sum::named);
            let sum = sum.ok_or_else(|| Refusal::new("InvalidRequest", format!("trailer {trailer}")))?;
            checks.push(Check { header: trailer.to_owned(), wanted: None, sum });
        }
        if let Some(wanted) = text("content-md5") {
            checks.push(Check { header: "content-md5".to_owned(), wanted: Some(wanted), sum: Sum::Md5(Md5::new()) });
        }
        let stores = matches!(asked.operation.as_str(), "PutObject" | "UploadPart");
        let locks = asked.operation == "PutObject" && headers.keys().any(|name| name.as_str().contains("object-lock"));
        if checks.is_empty() && (locks || stores && demanded == Demand::Always) {
            return Err(Refusal::new("InvalidRequest", format!("{} needs a checksum", asked.operation)));
        }
        let metadata = headers
            .iter()
            .filter_map(|(name, value)| Some(name.as_str().strip_prefix("x-amz-meta-")?.len() + value.len()));
        let metadata: usize = metadata.sum();
        if metadata > METADATA_BYTES_MAX {
            return Err(Refusal::new("MetadataTooLarge", format!("{metadata} bytes")));
        }
        let content_sha256 = text("x-amz-content-sha256").unwrap_or_default();
        let travelling =
            (content_sha256.len() == 64).then(|| (content_sha256.clone(), Sum::Hash(Context::new(&SHA256))));
        let chunked = content_sha256.starts_with("STREAMING-").then(Chunked::default);
        let payload_wanted = text("x-amz-decoded-content-length").and_then(|length| length.parse().ok());
        Ok(Self { checks, travelling, chunked, payload: 0, payload_wanted })
    }

    /// The next bytes of the body as they travel.
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Self { checks, travelling, chunked, payload, .. } = self;
        if let Some((_, sum)) = travelling {
            sum.update(bytes);
        }
        let mut take = |bytes: &[u8]| {
            *payload += bytes.len() as u64;
            checks.iter_mut().for_each(|check| check.sum.update(bytes));
        };
        match chunked {
            Some(chunked) => chunked.decode(bytes, &mut take),
            None => {
                take(bytes);
                Ok(())
            }
        }
    }

    /// Is it what was promised?
    pub fn finish(self) -> Result<(), Refusal> {
        if let Some((wanted, sum)) = self.travelling
            && HEXLOWER.encode(&sum.finish()) != wanted
        {
            return Err(Refusal::new("XAmzContentSHA256Mismatch", "x-amz-content-sha256"));
        }
        let trailers = match self.chunked {
            Some(Chunked { place: Place::Done, trailers, .. }) => trailers,
            Some(_) => return Err(Refusal::new("IncompleteBody", "the last chunk is missing")),
            None => Vec::new(),
        };
        if self.payload_wanted.is_some_and(|wanted| wanted != self.payload) {
            return Err(Refusal::new("IncompleteBody", "x-amz-decoded-content-length"));
        }
        for Check { header, wanted, sum } in self.checks {
            let behind = trailers.iter().find(|(name, _)| *name == header).map(|(_, value)| value.clone());
            let is = BASE64.encode(&sum.finish());
            if wanted.or(behind).as_deref() != Some(&is) {
                return Err(Refusal::new("BadDigest", format!("{header} should be {is}")));
            }
        }
        Ok(())
    }
}

/// Who has to send a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// As S3 has it: objects with a lock.
    Locks,
    /// Every object and every part.
    Always,
}

/// `SIZE[;extension]\r\n BYTES \r\n … 0\r\n name:value\r\n … \r\n`
#[derive(Default)]
struct Chunked {
    place: Place,
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
}

#[derive(Default)]
enum Place {
    #[default]
    Size,
    Data(u64),
    /// The empty line behind a chunk.
    Behind,
    Trailer,
    Done,
}

impl Chunked {
    fn decode(&mut self, mut bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<(), Refusal> {
        let bad = |what: &str| Refusal::new("IncompleteBody", format!("aws-chunked: {what}"));
        while let Some(&first) = bytes.first() {
            if let Place::Data(left) = &mut self.place {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                let (data, rest) = bytes.split_at(length);
                take(data);
                *left -= length as u64;
                bytes = rest;
                if *left == 0 {
                    self.place = Place::Behind;
                }
                continue;
            }
            bytes = &bytes[1..];
            if first != b'\n' {
                self.line.push(first);
                if self.line.len() > LINE_BYTES_MAX {
                    return Err(bad("a line is too long"));
                }
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| bad("a line is no text"))?;
            let line = line.strip_suffix('\r').ok_or_else(|| bad("a line without CR"))?;
            self.place = match self.place {
                Place::Size => {
                    let size = line.split(';').next().unwrap_or_default();
                    match u64::from_str_radix(size, 16).map_err(|_| bad("no size"))? {
                        0 => Place::Trailer,
                        size => Place::Data(size),
                    }
                }
                Place::Behind if line.is_empty() => Place::Size,
                Place::Trailer if line.is_empty() => Place::Done,
                Place::Trailer => {
                    let (name, value) = line.split_once(':').ok_or_else(|| bad("a trailer without colon"))?;
                    self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                    Place::Trailer
                }
                Place::Behind => return Err(bad("a chunk is longer than it says")),
                Place::Done | Place::Data(_) => return Err(bad("bytes behind the end")),
            };
        }
        Ok(())
    }
}
