//! Where the network is, and what it may take up.

use std::fs;

use super::*;

#[test]
fn an_outside_network_needs_its_certificate_and_makes_the_embedded_settings_idle() {
    assert_eq!(
        mistakes(&[("RETAIND_NETWORK", "chat.example.org:7443")]),
        "the configuration has a mistake: `RETAIND_NETWORK` needs `RETAIND_NETWORK_CA` as well: the network's certificate is made by itself, so that nobody else vouches for it"
    );
    for wrong in [
        "chat.example.org",
        "chat.example.org:",
        "chat.example.org:0",
        "chat:70000",
        ":7443",
        "a b:1",
        "::1:7443",
        "[x]:1",
    ] {
        let text = mistakes(&[("RETAIND_NETWORK", wrong), ("RETAIND_NETWORK_CA", "/nowhere/ca.pem")]);
        assert!(text.contains(&format!("`RETAIND_NETWORK` = `{wrong}`: not `host:port`")), "{text}");
        assert!(
            text.contains("`RETAIND_NETWORK_CA` = `/nowhere/ca.pem`: the certificate cannot be read from it"),
            "{text}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, format!("{}{}", certificate_pem(), certificate_pem())).unwrap();
    let ca = ca.to_str().unwrap();
    let text = mistakes(&[("RETAIND_NETWORK", "chat.example.org:7443"), ("RETAIND_NETWORK_CA", ca)]);
    assert!(text.contains("holds 2 PEM certificates instead of one"), "{text}");
    fs::write(ca, certificate_pem()).unwrap();
    for right in ["chat.example.org:7443", "127.0.0.1:1", "[::1]:7443"] {
        let given = [BOT, ("RETAIND_NETWORK", right), ("RETAIND_NETWORK_CA", ca), ("RETAIND_RETENTION", "off")];
        assert_eq!(
            warnings(&given),
            [
                "`RETAIND_RETENTION` has no effect: it is for the embedded network, and `RETAIND_NETWORK` names an outside one"
            ]
        );
    }
}

#[test]
fn attachments_have_an_age_and_a_quota() {
    for (name, wrong, unit) in [
        ("RETAIND_BLOB_DAYS", "0", "days from 1 to 3650"),
        ("RETAIND_BLOB_DAYS", "3651", "days from 1 to 3650"),
        ("RETAIND_BLOB_QUOTA", "0", "GiB from 1 to 1048576"),
        ("RETAIND_BLOB_QUOTA", "1.5", "GiB from 1 to 1048576"),
    ] {
        let text = mistakes(&[(name, wrong)]);
        assert!(text.contains(&format!("`{name}` = `{wrong}`: not a whole number of {unit}")), "{text}");
    }
}
