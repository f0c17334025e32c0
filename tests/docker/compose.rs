//! `docker/compose.yaml` as it stands there, with Debian's Compose. Only the stand-in's image cannot be fetched by a test: its
//! containers run the moto that `tests/setup` has installed, on this host's files, which they see and cannot change.

use std::fs;

use super::guide::BOT;
use crate::support::aws::{ACCOUNT, Access, REGION};
use crate::support::docker::{Engine, IMAGE, world};
use crate::support::traffic::Traffic;

#[test]
fn compose_starts_a_stand_in_and_a_bot_that_archives_into_it() {
    world(async |engine: &Engine| {
        let home = env!("CARGO_MANIFEST_DIR");
        let python = format!("{home}/target/aws/moto/bin/python");
        let host = "image: debian:bookworm-slim\n    volumes: [\"/:/host:ro\"]";
        // on this host's files the name `aws` is nobody's: it is looked up before
        let named = "AWS_ENDPOINT_URL=http://$$(getent hosts aws | cut -d ' ' -f 1):5000";
        let stand_in = format!(
            "services:\n  aws:\n    {host}\n    command: [\"chroot\", \"/host\", \"{python}\", \"-m\", \"moto.server\", \"-H\", \"0.0.0.0\", \"-p\", \"5000\"]\n  setup:\n    {host}\n    entrypoint: [\"sh\", \"-c\", \"{named} exec chroot /host {python} {home}/docker/setup.py\"]\n"
        );
        let overriding = engine.scratch().join("stand-in.yaml");
        fs::write(&overriding, stand_in).unwrap();
        let compose = |arguments: &[&str]| {
            let mut command = engine.command("docker-compose");
            command.env("RETAIND_COMPOSE_IMAGE", IMAGE).args(["-p", "try", "-f", "docker/compose.yaml", "-f"]);
            let output = command.arg(&overriding).args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}");
            said
        };
        compose(&["up", "--detach", "--no-build"]);
        assert!(
            compose(&["logs", "setup"]).contains(&format!("topic arn:aws:sns:{REGION}:{ACCOUNT}:retaind are there"))
        );
        let bot = engine.container("try_retaind_1", BOT);
        bot.says("receives").await;
        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 9, engine.scratch()).await;
        traffic.texts(20).await;
        compose(&["stop", "retaind"]);
        assert_eq!(bot.ended().code, 0, "{}", bot.log());

        let address = engine.container("try_aws_1", BOT).ip();
        let access = Access {
            endpoint: format!("http://{address}:5000"),
            key_id: "trying".to_owned(),
            secret: "out".to_owned(),
            region: REGION.to_owned(),
        };
        let config = aws_sdk_s3::config::Builder::from(&access.config()).force_path_style(true).build();
        let objects =
            aws_sdk_s3::Client::from_conf(config).list_objects_v2().bucket("bot-compliance").send().await.unwrap();
        let keys: Vec<&str> = objects.contents().iter().filter_map(|object| object.key()).collect();
        let (evidence, keys): (Vec<&str>, Vec<&str>) = keys.into_iter().partition(|key| key.contains("/_evidence/"));
        assert!(!keys.is_empty() && !evidence.is_empty(), "{}", bot.log());
        assert!(keys.iter().all(|key| key.starts_with("network1234567890/receivedMessages_")), "{keys:?}");
        compose(&["down", "--volumes"]);
    });
}
