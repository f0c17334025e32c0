//! Bad input of the world: what editors, shells and downloads make of a value or a file, and the words for it.

use super::*;

/// A certificate, and the same one with a line missing.
fn whole_and_torn() -> (String, String) {
    let whole = certificate_pem();
    let lines: Vec<&str> = whole.lines().collect();
    let torn = lines.iter().enumerate().filter(|(at, _)| *at != 3).map(|(_, line)| format!("{line}\n")).collect();
    (whole, torn)
}

#[test]
fn a_certificate_that_cannot_be_parsed_is_told_with_its_number_before_anything_trusts_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bundle.pem");
    let path = file.to_str().unwrap();
    let (whole, torn) = whole_and_torn();
    let random =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "qQvgDeDDIzcgozoIh6w7Qc5g".repeat(8));
    let open = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    for (bundle, words) in [
        (format!("{whole}{torn}"), "certificate 2 of 2 in it cannot be parsed: "),
        (format!("{whole}{random}{whole}"), "certificate 2 of 3 in it cannot be parsed: "),
        (format!("{whole}{open}"), "certificate 2 of 2 in it cannot be parsed: "),
    ] {
        fs::write(&file, bundle).unwrap();
        let text = mistakes(&[("AWS_CA_BUNDLE", path)]);
        assert!(text.contains(&format!("`AWS_CA_BUNDLE` = `{path}`: {words}")), "{text}");
        assert!(text.ends_with("; fetch the file again, or take that one out"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    fs::write(&file, torn).unwrap();
    let text = mistakes(&[("RETAIND_NETWORK", "chat.example.org:7443"), ("RETAIND_NETWORK_CA", path)]);
    assert!(
        text.contains(&format!("`RETAIND_NETWORK_CA` = `{path}`: certificate 1 of 1 in it cannot be parsed")),
        "{text}"
    );
}

#[test]
fn what_does_not_show_in_a_password_is_told_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    let path = file.to_str().unwrap();
    for (bytes, password, what) in [
        ("\u{feff}initial-password", "\u{feff}initial-password", "a byte order mark (U+FEFF) at its start"),
        ("initial-password\n\n", "initial-password\n", "a line break (U+000A) at its end"),
        ("initial-password\r", "initial-password\r", "a line break (U+000D) at its end"),
        ("initial\u{a0}password\n", "initial\u{a0}password", "a no-break space (U+00A0) inside"),
        (
            "initial-password\u{200b}\r\n",
            "initial-password\u{200b}",
            "a character that does not show (U+200B) at its end",
        ),
    ] {
        fs::write(&file, bytes).unwrap();
        let (config, warnings) = load(vars(&[BOT, ("WICKRIO_BOT_PASSWORD_FILE", path)])).unwrap();
        assert_eq!(config.account.password.unwrap().expose(), password);
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        let text = warning.to_string();
        assert!(
            text.starts_with(&format!("`WICKRIO_BOT_PASSWORD_FILE` (file `{path}`): {what} is part of the password")),
            "{text}"
        );
        assert!(!text.contains("initial"), "{text}");
    }
    fs::write(&file, "initial-password\r\n").unwrap();
    assert!(
        warnings(&[BOT, ("WICKRIO_BOT_PASSWORD_FILE", path)]).is_empty(),
        "one line end is taken off, as documented"
    );
    let text = warnings(&[BOT, ("WICKRIO_BOT_PASSWORD", "\"initial-password\"")]).concat();
    assert!(
        text.contains("the quotation marks around the password are part of it") && !text.contains("initial"),
        "{text}"
    );
    let secret = text_of_secret("{\"password\": \"initial\\u00a0password\"}");
    assert!(secret.contains("secret `bot` key `password`: a no-break space (U+00A0) inside"), "{secret}");
}

fn text_of_secret(json: &str) -> String {
    let loaded = super::super::load(vars(&[BOT, ("AWS_SECRET_NAME", "bot")]), |_| text(json));
    match loaded {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn what_nobody_means_in_a_value_that_shows_is_a_mistake() {
    for (name, value, why) in [
        ("WICKRIO_BOT_NAME", "\"compliance_1234567890_bot\"", "the quotation marks `\"` around it are part of it"),
        (
            "WICKRIO_BOT_NAME",
            "\u{feff}compliance_1234567890_bot",
            "a byte order mark (U+FEFF) at its start is part of it",
        ),
        ("WICKRIO_COMP_MESGDEST", "'/srv/messages'", "the quotation marks `'` around it are part of it"),
        ("WICKRIO_COMP_MESGDEST", "/srv/messages\u{a0}", "a no-break space (U+00A0) at its end is part of it"),
        ("WICKRIO_COMP_MESGDEST", "/srv/messages ", "a blank (U+0020) at its end is part of it"),
    ] {
        let text =
            load(vars(&[BOT, (name, value)].map(|(name, value)| (name, value)))).map_err(|error| error.to_string());
        let text = if name == BOT.0 { load(vars(&[(name, value)])).map_err(|error| error.to_string()) } else { text };
        let text = text.unwrap_err();
        assert!(text.contains(why), "{text}");
    }
    assert_eq!(
        loaded(&[BOT, ("WICKRIO_COMP_MESGDEST", "/srv/my messages")]).files.messages,
        PathBuf::from("/srv/my messages")
    );
    let text = text_of_secret("\u{feff}{\"password\": \"initial\"}");
    assert!(text.contains("secret `bot` starts with a byte order mark (U+FEFF), which is not JSON"), "{text}");
    for (name, value) in [("WICKRIO_COMP_BASENAME", "a\u{ffff}"), ("WICKRIO_S3_FOLDER_NAME", "a/\u{fffe}b")] {
        assert!(load(vars(&[BOT, (name, value)])).is_err(), "XML cannot carry it");
    }
}

#[test]
fn a_password_that_is_to_be_stored_in_the_secret_comes_from_there_and_needs_one() {
    let text = mistakes(&[BOT, ("WICKRIO_BOT_PASSWORD", "first-password"), ("RETAIND_STORE_PASSWORD", "secret")]);
    assert_eq!(
        text,
        "the configuration has 2 mistakes:
  `RETAIND_STORE_PASSWORD` needs `AWS_SECRET_NAME` as well: it is the secret that the password is stored in
  `WICKRIO_BOT_PASSWORD`: with `RETAIND_STORE_PASSWORD=secret` the password is read from the secret: put the initial one into its `password` and take this out
"
        .trim_end()
    );
    let text = mistakes(&[BOT, ("RETAIND_STORE_PASSWORD", "file")]);
    assert!(text.contains("`RETAIND_STORE_PASSWORD` = `file`: must be `terminal` or `secret`"), "{text}");
    let text = mistakes(&[BOT, ("WICKRIO_ROTATE_PASSWORD", &"x".repeat(1025))]);
    assert!(text.contains("a password has at most 1024 bytes"), "{text}");
}

#[test]
fn both_limits_given_is_a_warning_that_says_what_happens() {
    let both = [BOT, ("WICKRIO_COMP_FILESIZE", "10"), ("WICKRIO_COMP_TIMEROTATE", "15")];
    assert_eq!(
        warnings(&both),
        [
            "`WICKRIO_COMP_FILESIZE` and `WICKRIO_COMP_TIMEROTATE` are both set: a new message file starts at whichever limit comes first"
        ]
    );
    assert!(warnings(&[BOT, ("WICKRIO_COMP_TIMEROTATE", "15")]).is_empty());
    assert!(warnings(&[BOT, ("WICKRIO_COMP_FILESIZE", "10"), ("WICKRIO_COMP_TIMEROTATE", "0")]).is_empty());
}
