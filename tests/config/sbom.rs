//! The bill of materials that goes with the image: CycloneDX takes it, and it is of the program and not of its tests.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{judged, root, script, tool};

#[test]
fn the_bill_of_materials_is_cyclonedx_and_names_what_is_in_the_program() {
    let print = || judged(Command::new(root().join("docker/sbom")).env("CARGO_NET_OFFLINE", "true")).unwrap();
    let text = print();
    assert_eq!(text, print(), "the same sources give the same bytes");
    let directory = tempfile::tempdir().unwrap();
    let judge = |text: &str| {
        let path = directory.path().join("retaind.cdx.json");
        fs::write(&path, text).unwrap();
        judged(Command::new(tool("config", "python")).arg("-B").arg(script("bill.py")).arg(path))
    };
    judge(&text).unwrap();
    judge(&text.replacen("\"CycloneDX\"", "\"Cyclone\"", 1)).unwrap_err();
    judge(&text.replacen("\"alg\": \"SHA-256\"", "\"alg\": \"SHA-257\"", 1)).unwrap_err();

    let bill: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(bill["metadata"]["component"]["name"], "retaind");
    let components = bill["components"].as_array().unwrap();
    let names: Vec<&str> = components.iter().map(|part| part["name"].as_str().unwrap()).collect();
    for name in ["mls-rs", "aws-lc-sys", "rustls", "aws-sdk-s3", "libsqlite3-sys"] {
        assert!(names.contains(&name), "`{name}` is in the program");
    }
    for name in ["openmls", "proptest"] {
        assert!(!names.contains(&name), "`{name}` is only for tests");
    }
    for part in components {
        let checksum = part["hashes"][0]["content"].as_str().unwrap_or_default();
        assert_eq!(checksum.len(), 64, "{part}");
    }
}
