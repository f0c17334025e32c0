//! What services answer and strangers ask: objects of S3, errors of AWS, registries of images, the health endpoint.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::{Arc, LazyLock};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use hyper::header::{HeaderMap, HeaderValue, LINK};
use retaind::archive::data_key::{DataKey, PlainKey, WRAPPED_BYTES_MAX};
use retaind::archive::encrypt::{Envelope, Format, Opener, Sealer};
use retaind::aws::error::{AwsError, Call};
use retaind::core::fault::Faulty as _;
use retaind::report::counters::Counters;
use retaind::report::health::{Answer, Found, Health, Look, server};
use retaind::report::status::Opinion;
use retaind::report::updates::{Repository, Version, answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::Fate;

/// Lines of `name:value`.
pub fn s3_metadata(bytes: &[u8]) -> Fate {
    let Ok(text) = std::str::from_utf8(bytes) else { return Fate::Refused };
    let envelope = Envelope::parse(text.lines().filter_map(|line| line.split_once(':')));
    if let Ok(envelope) = &envelope {
        assert!((1..=WRAPPED_BYTES_MAX).contains(&envelope.wrapped_key().len()));
        assert_eq!(envelope.encryption_context(), envelope.format().encryption_context());
        assert_eq!(envelope.format().to_string().parse(), Ok(envelope.format()));
    }
    Fate::of(&envelope)
}

fn plain_key() -> PlainKey {
    PlainKey::new(Zeroizing::new(vec![7; 32])).unwrap()
}

pub fn sealed(format: Format) -> (Vec<(&'static str, String)>, Vec<u8>) {
    let key = DataKey::new(plain_key(), vec![9; 184], format.encryption_context()).unwrap();
    let mut body = b"an object of some blocks, and a part of one".repeat(20);
    let mut sealer = Sealer::new(format, key, body.len() as u64).unwrap();
    let metadata = sealer.metadata();
    sealer.update(&mut body).unwrap();
    body.extend_from_slice(&sealer.finish().unwrap());
    (metadata, body)
}

/// First byte: which format, and whether the others are the body, or are laid over a true one. Only the true one is proved.
pub fn s3_body(bytes: &[u8]) -> Fate {
    static SEALED: LazyLock<[(Envelope, Vec<u8>); 2]> = LazyLock::new(|| {
        [Format::V3, Format::V2].map(|format| {
            let (metadata, body) = sealed(format);
            (Envelope::parse(metadata.iter().map(|(name, value)| (*name, value.as_str()))).unwrap(), body)
        })
    });
    let (&first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (envelope, right) = &SEALED[usize::from(first & 1)];
    let body = if first & 2 == 0 {
        rest.to_vec()
    } else {
        right.iter().enumerate().map(|(i, byte)| byte ^ rest.get(i).unwrap_or(&0)).collect()
    };
    let Ok(mut opener) = Opener::new(envelope, plain_key(), body.len() as u64) else { return Fate::Refused };
    let (pieces, tag) = body.split_last_chunk::<16>().unwrap();
    let mut pieces = pieces.to_vec();
    for piece in pieces.chunks_mut(usize::from(first >> 2) + 1) {
        opener.update(piece).unwrap();
    }
    let opened = opener.finish(tag);
    assert_eq!(opened.is_ok(), body == *right, "authentic is what was sealed, and nothing else");
    Fate::of(&opened)
}

#[derive(Debug)]
struct Said(ErrorMetadata);

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Said {}

impl ProvideErrorMetadata for Said {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// Status in two bytes, then code, message and region with zeros between.
pub fn aws_error(bytes: &[u8]) -> Fate {
    let Some((status, rest)) = bytes.split_first_chunk() else { return Fate::Refused };
    let Ok(text) = std::str::from_utf8(rest) else { return Fate::Refused };
    let mut texts = text.split('\0');
    let mut next = || texts.next().unwrap_or_default().to_owned();
    let said = Said(ErrorMetadata::builder().code(next()).message(next()).build());
    let Ok(status) = (100 + u16::from_be_bytes(*status) % 900).try_into() else { return Fate::Refused };
    let mut response = HttpResponse::new(status, SdkBody::empty());
    let _ = response.headers_mut().try_insert("x-amz-bucket-region", next());
    let error = SdkError::service_error(said, response);
    let error = AwsError::of(Call::new("s3:PutObject", "arn:aws:s3:::bucket"), "AWS_S3_BUCKET_REGION", &error);
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "more than a line of a log");
    assert!(text.len() < 4096);
    let _ = (error.fault(), error.is_ambiguous());
    Fate::Taken
}

/// First byte: page of tags, token, link to the next page, challenge.
pub fn registry_answer(bytes: &[u8]) -> Fate {
    let (&first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let text = std::str::from_utf8(rest).unwrap_or_default();
    let taken = match first % 4 {
        0 => answer::tags(rest).is_some(),
        1 => answer::authorization(rest).is_some_and(|value| {
            assert!(value.is_sensitive());
            true
        }),
        2 => {
            let mut headers = HeaderMap::new();
            let Ok(value) = HeaderValue::from_bytes(rest) else { return Fate::Refused };
            headers.append(LINK, value);
            answer::next_page(&headers).is_some_and(|target| {
                assert!(!target.contains('>'));
                true
            })
        }
        _ => answer::challenge_of(text, "library/retaind").is_some_and(|url| {
            assert!(url.contains("scope="));
            true
        }),
    };
    if taken { Fate::Taken } else { Fate::Refused }
}

/// A reference without its tag, or a tag.
pub fn image(bytes: &[u8]) -> Fate {
    let Ok(text) = std::str::from_utf8(bytes) else { return Fate::Refused };
    let (repository, version) = (Repository::of(text), Version::parse(text));
    if let Some(repository) = &repository {
        assert!(repository.name.split('/').all(|part| !["", ".", ".."].contains(&part)));
        assert!(!repository.name.contains(['?', '#', '%', ' ']));
        assert!(repository.authority.starts_with(repository.host()));
    }
    if let Some(version) = &version {
        assert!(!version.is_newer_than(version));
    }
    if repository.is_some() || version.is_some() { Fate::Taken } else { Fate::Refused }
}

struct Nothing;

impl Look for Nothing {
    fn look(&self) -> Found {
        Found::default()
    }
    fn opinion(&self) -> Opinion {
        Opinion::default()
    }
}

/// Bytes of a connection to the health endpoint.
pub fn health_request(bytes: &[u8]) -> Fate {
    static HEALTH: LazyLock<Arc<Health>> =
        LazyLock::new(|| Arc::new(Health::new(Arc::new(Counters::default()), Arc::new(Nothing))));
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    });
    let answer = RUNTIME.block_on(async {
        let (mut client, server) = tokio::io::duplex(128 * 1024);
        let talk = async {
            client.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            // until the server closes: its patience ends at once, as nothing else is to come
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        tokio::join!(server::converse(HEALTH.clone(), server), talk).1
    });
    assert!(answer.len() < 64 * 1024);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "not an answer of HTTP");
    let is_page = answer.get(8..13).is_some_and(|status| [b" 200 ", b" 503 "].iter().any(|page| status == *page));
    if is_page { Fate::Taken } else { Fate::Refused }
}

/// As `retaind status` reads it.
pub fn health_answer(bytes: &[u8]) -> Fate {
    let answer = serde_json::from_slice::<Answer>(bytes);
    if let Ok(answer) = &answer {
        let again = serde_json::to_vec(answer).unwrap();
        assert_eq!(serde_json::from_slice::<Answer>(&again).unwrap(), *answer);
    }
    Fate::of(&answer)
}
