//! Records of files that are not what their messages say.

use retaind::archive::record::{Ciphertext, FileOutcome, KeptFile, RecordBody, Unreadable};
use retaind::protocol::content::{AttachmentKind, Body};

use super::cases::{BLOB, DIRECT, Scene, attachment, direct, newer_file};

/// Who says all of it.
pub(super) fn sender() -> Scene {
    direct("4f8d3b6032fb11ee9a74053bb1017859", 1_691_176_544, DIRECT)
}

pub(super) fn lies() -> Vec<(&'static str, String)> {
    let report = || attachment("quarterly-report.pdf", AttachmentKind::File);
    let local_name = || "attachment_20230804191544000_quarterly-report.pdf".to_owned();
    let saved = |sha256: [u8; 32], size: u64| FileOutcome::Saved { local_name: local_name(), sha256, size };
    let ciphertext = || {
        let name = format!("ciphertext_20230804191544250_{DIRECT}_17.blob");
        Some(KeptFile { name, sha256: [0xc7; 32], size: 123_488 })
    };
    let wrong_key = FileOutcome::Undecryptable {
        reason: "block 0 of the attachment is not authentic: damaged on the way, altered, or under another key".into(),
        ciphertext: ciphertext(),
        decrypted: None,
    };
    let part = || {
        let name = "partial_20230804191544000_quarterly-report.pdf".into();
        Some(KeptFile { name, sha256: [0x77; 32], size: 262_144 })
    };
    let in_part = FileOutcome::Undecryptable {
        reason: "attachment ends after 1 of 2 blocks: the rest is missing".into(),
        ciphertext: ciphertext(),
        decrypted: part(),
    };
    let reason = "network does not have the attachment".into();
    let lost = FileOutcome::Undecryptable { reason, ciphertext: None, decrypted: part() };
    let mut newer = newer_file();
    let at = newer.windows(BLOB.len()).position(|window| window == BLOB).unwrap();
    newer[at..at + BLOB.len()].fill(0xb1);
    let unknown = Body::Unknown { kind: 6000, version: 1, bytes: newer };
    let honest = saved([0x5a; 32], 123_456);
    let message = Unreadable {
        reason: "content cannot be parsed: content of kind `6000` has a field `size` that is larger than the largest attachment",
        ciphertext: Ciphertext {
            size: 742,
            sha256: [0xc7; 32],
            file: Some("ciphertext_20230804191544250_7ad65d17_17.mls"),
        },
        plaintext: Some(b"\x10\xf0\x2e\x1a\x02\x18\x01"),
    };
    vec![
        ("6000-hash-mismatch", sender().filed(report(), &saved([0x11; 32], 123_456))),
        ("6000-size-mismatch", sender().filed(report(), &saved([0x11; 32], 1))),
        ("6000-undecryptable", sender().filed(report(), &wrong_key)),
        ("6000-decrypted-in-part", sender().filed(report(), &in_part)),
        ("6000-lost-meanwhile", sender().filed(report(), &lost)),
        (
            "0-unknown-file-saved",
            sender().record(RecordBody::Content { content: &sender().content(unknown), file: Some(&honest) }),
        ),
        ("0-refused-file-saved", sender().record(RecordBody::UnreadableFile { message, file: &honest })),
        ("0-refused-file-undecryptable", sender().record(RecordBody::UnreadableFile { message, file: &wrong_key })),
    ]
}
