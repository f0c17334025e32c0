//! What the program says and exits with when its settings or arguments are wrong.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::fs;
use std::process::Command;

/// Exit code, standard output, standard error of `retaind ARGUMENTS` with no environment but `variables`.
fn retaind(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_retaind"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_shows_the_configuration_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (state, messages, files) = (at("state"), at("messages"), at("attachments"));
    let (code, out, err) = retaind(
        &["check"],
        &[
            ("WICKRIO_BOT_NAME", "compliance_1_bot"),
            ("WICKRIO_BOT_PASSWORD", "correct horse"),
            ("WICKRIO_COMP_MESGDEST", &messages),
            ("WICKRIO_COMP_FILEDEST", &files),
            ("RETAIND_STATE", &state),
            ("WICKRIO_COMP_FILESIZE", "10"),
            ("WICKRIO_COMP_TIMEROTATE", "15"),
        ],
    );
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains(&format!("RETAIND_STATE                  {state}\n")), "{out}");
    assert!(!out.contains("horse") && !err.contains("horse"));
    assert!(err.starts_with("warning: `WICKRIO_COMP_FILESIZE` and `WICKRIO_COMP_TIMEROTATE` are both set"), "{err}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_configuration_is_78_and_all_mistakes() {
    let (code, out, err) = retaind(&["check"], &[("WICKRIO_COMP_FILESIZE", "0"), ("RETAIND_STAT", "/srv")]);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert_eq!(
        err,
        "\
error: the configuration has 3 mistakes:
  `RETAIND_STAT` is not a setting of this bot: is `RETAIND_STATE` meant?
  `WICKRIO_BOT_NAME` is not set: the bot needs its user name, such as `compliance_1234567890_bot`
  `WICKRIO_COMP_FILESIZE` = `0`: not a whole number of KiB from 1 to 18014398509481983
"
    );
}

#[test]
fn a_wrong_command_line_is_78_and_help_is_0() {
    let (code, out, err) = retaind(&["chekc"], &[]);
    assert_eq!((code, out.as_str()), (Some(78), ""));
    assert!(err.contains("unrecognized subcommand 'chekc'"), "{err}");
    let (code, out, err) = retaind(&["--help"], &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("Usage: retaind"), "{out}");
}
