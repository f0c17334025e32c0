//! The checksums of whole objects that come in parts, which AWS checks when an upload is completed and moto does not.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};

use data_encoding::BASE64;
use hyper::HeaderMap;

use super::checksum::{Refusal, Verified, checksum, joined};
use super::http::element;
use super::request::Asked;

/// As headers and elements name them: `x-amz-checksum-sha256`, `ChecksumSHA256`.
const ALGORITHMS: [(&str, &str); 5] = [
    ("crc32", "ChecksumCRC32"),
    ("crc32c", "ChecksumCRC32C"),
    ("crc64nvme", "ChecksumCRC64NVME"),
    ("sha1", "ChecksumSHA1"),
    ("sha256", "ChecksumSHA256"),
];

/// What is known of uploads that are under way: the last checksums of each part.
#[derive(Default)]
pub struct Uploads(HashMap<String, BTreeMap<u32, Verified>>);

impl Uploads {
    /// A request was carried out.
    pub fn done(&mut self, asked: &Asked, verified: Verified) {
        let Some(upload) = &asked.upload else { return };
        match (asked.operation.as_str(), asked.part) {
            ("UploadPart", Some(part)) => {
                self.0.entry(upload.clone()).or_default().insert(part, verified);
            }
            ("CompleteMultipartUpload" | "AbortMultipartUpload", _) => {
                self.0.remove(upload);
            }
            _ => {}
        }
    }

    /// Do the checksums that an upload is completed with fit what was sent? `list`: the parts, in XML.
    pub fn check(&self, asked: &Asked, headers: &HeaderMap, list: &str) -> Result<(), Refusal> {
        // of an upload that has ended the stand-in knows what to say
        let Some(sent) = asked.upload.as_ref().and_then(|upload| self.0.get(upload)) else { return Ok(()) };
        let mut parts = Vec::new();
        for listed in list.split("<Part>").skip(1) {
            let number = element(listed, "PartNumber").and_then(|number| number.parse().ok());
            let part = number.and_then(|number| sent.get(&number));
            let part = part.ok_or_else(|| Refusal::new("InvalidPart", format!("{number:?} was not sent")))?;
            for (algorithm, tag) in ALGORITHMS {
                let (given, known) = (element(listed, tag), part.sum(algorithm));
                if given.is_some() && given != known.map(|sum| BASE64.encode(sum)).as_deref() {
                    return Err(Refusal::new("InvalidPart", format!("{tag} of {number:?}")));
                }
            }
            parts.push(part);
        }
        for (algorithm, _) in ALGORITHMS {
            let header = format!("x-amz-checksum-{algorithm}");
            let Some(given) = headers.get(&header).map(|value| value.to_str().unwrap_or_default()) else { continue };
            let sums = parts.iter().map(|part| Some((part.sum(algorithm)?, part.length)));
            let sums: Option<Vec<(&[u8], u64)>> = sums.collect();
            let sums = sums.ok_or_else(|| Refusal::new("InvalidRequest", format!("{header}: a part has none")))?;
            let is = if given.contains('-') {
                let all: Vec<u8> = sums.iter().flat_map(|(sum, _)| sum.iter().copied()).collect();
                Some(format!("{}-{}", checksum(algorithm, &all), sums.len()))
            } else {
                joined(algorithm, &sums).map(|sum| BASE64.encode(&sum))
            };
            let is = is.ok_or_else(|| Refusal::new("InvalidRequest", format!("{header} of a whole object")))?;
            if is != given {
                return Err(Refusal::new("BadDigest", format!("{header} should be {is}")));
            }
        }
        let size: u64 = parts.iter().map(|part| part.length).sum();
        let wanted = headers.get("x-amz-mp-object-size").map(|value| value.to_str().unwrap_or_default());
        if wanted.is_some_and(|wanted| wanted != size.to_string()) {
            return Err(Refusal::new("InvalidRequest", format!("x-amz-mp-object-size should be {size}")));
        }
        Ok(())
    }
}
