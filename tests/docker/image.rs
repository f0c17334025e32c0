//! What is in the image, and that it runs where everything is taken away from it.

use crate::support::docker::{Engine, IMAGE, UID, password, world};
use crate::support::program::ALLOCATOR;
use crate::support::traffic::Traffic;

const BOT: &str = "compliance_1234567890_bot";
/// What users pull.
const IMAGE_BYTES_MAX: u64 = 40_000_000;

#[test]
fn the_image_is_small_has_one_layer_and_no_shell_and_is_the_same_when_built_again() {
    world(async |engine: &Engine| {
        let inspect = |format: &str| engine.docker(&["image", "inspect", "--format", format, IMAGE]);
        let bytes: u64 = inspect("{{.Size}}").parse().unwrap();
        println!("the image has {bytes} bytes");
        assert!(bytes <= IMAGE_BYTES_MAX, "{bytes}");
        let layers = inspect("{{json .RootFS.Layers}}");
        assert_eq!(layers.matches("sha256:").count(), 1, "{layers}");
        assert_eq!(inspect("{{.Config.User}} {{.Config.StopSignal}} {{.Config.Volumes}}"), "10001:10001 SIGTERM map[]");
        let labels = inspect("{{json .Config.Labels}}");
        assert!(
            labels.contains(&format!("\"org.opencontainers.image.version\":\"{}\"", env!("CARGO_PKG_VERSION"))),
            "{labels}"
        );
        let shell = engine.try_docker(&["run", "--rm", "--entrypoint", "/bin/sh", IMAGE]);
        assert_eq!(shell.status.code(), Some(127), "{shell:?}");
        engine.build(&["--no-cache"]);
        assert_eq!(inspect("{{json .RootFS.Layers}}"), layers);
    });
}

#[test]
fn image_and_unit_have_the_allocator_give_memory_back() {
    let dockerfile = include_str!("../../docker/Dockerfile");
    let unit = include_str!("../../config/systemd/retaind.service");
    let line = dockerfile.lines().find(|line| line.starts_with("ENV MALLOC_")).unwrap();
    assert_eq!(line, format!("ENV {}", ALLOCATOR.map(|(name, value)| format!("{name}={value}")).join(" ")));
    for (name, value) in ALLOCATOR {
        assert!(unit.lines().any(|line| line == format!("Environment={name}={value}")), "{name}");
    }
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let dockerfile = include_str!("../../docker/Dockerfile");
    let toolchain = include_str!("../../rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"')).unwrap();
    assert!(dockerfile.contains(&format!("ARG RUST=rust:{channel}-bookworm\n")), "{channel}");
    assert!(dockerfile.contains(&format!("ARG VERSION={}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_bot_works_with_nothing_but_its_volume_as_any_user() {
    const ANY: u32 = 54_321;
    world(async |engine: &Engine| {
        engine.volume_of(BOT, ANY);
        let user = format!("{ANY}:{ANY}");
        let hard = ["--user", &user, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
        let bot = engine.run(BOT, &[&hard[..], &password()].concat());
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 3, engine.scratch()).await;
        traffic.say(30).await;
        bot.archives(traffic.places()).await;
        assert!(bot.retaind(&["status"]).contains(": ready"));
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
    });
}

#[test]
fn a_bot_without_a_volume_works_in_its_own_tmp_and_without_that_too_says_what_is_missing() {
    world(async |engine: &Engine| {
        let name = format!("WICKRIO_BOT_NAME={BOT}");
        let usual = ["--env", &name, "--env", "WICKRIO_BOT_PASSWORD=password", "--env", "RETAIND_LOGS=off"];
        engine.docker(&[&["run", "--detach", "--name", BOT], &usual[..], &[IMAGE]].concat());
        let bot = engine.container(BOT, BOT);
        bot.says("receives").await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0);

        let output = engine.try_docker(&[&["run", "--rm", "--read-only"], &usual[..], &[IMAGE]].concat());
        assert_eq!(output.status.code(), Some(78));
        let said = String::from_utf8(output.stderr).unwrap();
        let expected = format!(
            "error: the state directory `/tmp/{BOT}/state` is on a read-only file system: mount a volume there that can be written, or set `RETAIND_STATE` to another path\n  caused by: Read-only file system (os error 30)\n"
        );
        assert_eq!(said, expected);
    });
}

#[test]
fn the_manuals_lines_start_a_bot() {
    world(async |engine: &Engine| {
        let secret = engine.scratch().join("password");
        std::fs::write(&secret, "password\n").unwrap();
        // the scratch directory is its owner's alone, and the user of the image reads what is mounted by itself
        std::os::unix::fs::chown(&secret, Some(UID), None).unwrap();
        let manual = include_str!("../../docs/container.md");
        let blocks = manual.split("```sh\n").filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
        let lines: Vec<&str> = blocks.filter(|block| block.contains("docker run -v")).collect();
        assert_eq!(lines.len(), 2);
        for lines in lines {
            let lines = lines.replace("/etc/retaind/password", secret.to_str().unwrap());
            if !lines.contains("install -d") {
                engine.volume(BOT);
            }
            engine.shell(&lines.replace("\n  retaind\n", &format!("\n  {IMAGE}\n")), IMAGE);
            let bot = engine.container(BOT, BOT);
            bot.says("receives").await;
            bot.docker("stop");
            assert_eq!(bot.ended().code, 0, "{}", bot.log());
            bot.docker("rm");
            // each line is for a first start, with the initial password
            std::fs::remove_dir_all(bot.volume()).unwrap();
        }
    });
}
