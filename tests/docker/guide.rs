//! The guide's start lines, word for word but for the image's name.

use serde_json::json;

use crate::provision::banners;
use crate::support::aws::moto::Moto;
use crate::support::docker::{Container, Engine, IMAGE, world};
use crate::support::terminal::{ENTER_KEY, Terminal};
use crate::support::traffic::{Traffic, is_sealed};

/// Of the guide, and what Docker gives the volume.
pub const BOT: &str = "compliance_1234567890_bot";

/// "Password by environment variable"
pub const BY_VARIABLE: &str = "
docker run -v /opt/compliance_1234567890_bot:/tmp/compliance_1234567890_bot \\
-d --restart on-failure:5 --name=\"compliance_1234567890_bot\" -ti \\
-e WICKRIO_BOT_NAME='compliance_1234567890_bot' \\
-e WICKRIO_BOT_PASSWORD='password' \\
wickr/bot-compliance-cloud:latest
";

/// "15 minutes message file rotation"
const WITH_ROTATION: &str = "
docker run -v /opt/compliance_1234567890_bot:/tmp/compliance_1234567890_bot \\
-d --restart on-failure:5 --name=\"compliance_1234567890_bot\" -ti \\
-e WICKRIO_BOT_NAME='compliance_1234567890_bot' \\
-e WICKRIO_BOT_PASSWORD='password' \\
-e WICKRIO_COMP_TIMEROTATE=15 \\
wickr/bot-compliance-cloud:latest
";

/// "Initial password in Secrets Manager", and the same line for the bucket and the key.
const BY_SECRET: &str = "
docker run -v /opt/compliance_1234567890_bot:/tmp/compliance_1234567890_bot \\
-d --restart on-failure:5 --name=\"compliance_1234567890_bot\" -ti \\
-e WICKRIO_BOT_NAME='compliance_1234567890_bot' \\
-e AWS_SECRET_NAME='wickr/data/retention/bot' \\
wickr/bot-compliance-cloud:latest
";

/// "Password by prompt"
const BY_PROMPT: &str = "
docker run -v /opt/compliance_1234567890_bot:/tmp/compliance_1234567890_bot \\
-d --restart on-failure:5 --name=\"compliance_1234567890_bot\" -ti \\
-e WICKRIO_BOT_NAME='compliance_1234567890_bot' \\
wickr/bot-compliance-cloud:latest
";

/// A bot that was started by `lines` archives what devices send it, says so in its log, and stops as it should.
async fn archives<'a>(engine: &'a Engine, lines: &str, look: impl FnOnce(&Container<'a>)) {
    engine.volume(BOT);
    engine.shell(lines, IMAGE);
    let bot = engine.container(BOT, BOT);
    bot.says("receives").await;
    let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
    let mut traffic = Traffic::begin(bot.device("alice").await, 1, engine.scratch()).await;
    traffic.say(40).await;
    bot.archives(traffic.places()).await;
    look(&bot);
    bot.docker("stop");
    assert_eq!(bot.ended().code, 0, "{}", bot.log());
    for line in ["Logged in", "Shutting down"] {
        assert_eq!(bot.log().matches(line).count(), 1, "{}", bot.log());
    }
    traffic.is_archived(&bot.messages(), &bot.files());
    is_sealed(&bot.messages(), u64::MAX);
}

#[test]
fn a_bot_starts_by_the_guides_line_with_a_password_in_a_variable() {
    world(async |engine: &Engine| archives(engine, BY_VARIABLE, |_| ()).await);
}

#[test]
fn a_bot_starts_by_the_guides_line_with_a_password_that_is_typed_after_docker_attach() {
    const PROMPT: &str = "Enter the password:";
    world(async |engine: &Engine| {
        engine.volume(BOT);
        engine.shell(BY_PROMPT, IMAGE);
        let bot = engine.container(BOT, BOT);
        let mut attached = Terminal::start(engine.command("docker").args(["attach", BOT]));
        // who attaches later sees nothing, and presses Enter
        attached.types(ENTER_KEY);
        attached.shows(PROMPT, 1).await;
        attached.types("password\r");
        attached.shows("Re-enter the password:", 1).await;
        attached.types("password\r");
        attached.shows("receives from the network", 1).await;
        let log = bot.log().replace('\r', "");
        let [made] = &banners(&log)[..] else { panic!("{log}") };

        let (_bob, _carol) = (bot.device("bob").await, bot.device("carol").await);
        let mut traffic = Traffic::begin(bot.device("alice").await, 3, engine.scratch()).await;
        traffic.texts(20).await;
        bot.archives(traffic.places()).await;
        bot.docker("kill");
        bot.docker("start");
        // each start asks, once, for the password that was generated
        let mut attached = Terminal::start(engine.command("docker").args(["attach", BOT]));
        attached.types(ENTER_KEY);
        attached.shows(PROMPT, 1).await;
        attached.types(&format!("{made}{ENTER_KEY}"));
        attached.shows("receives from the network", 1).await;
        traffic.texts(20).await;
        bot.archives(traffic.places()).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        traffic.is_archived(&bot.messages(), &bot.files());
    });
}

#[test]
fn a_bot_starts_by_the_guides_line_with_rotation_every_15_minutes() {
    world(async |engine: &Engine| {
        let is_set = |bot: &Container<'_>| {
            let checked = bot.retaind(&["check"]);
            let line = checked.lines().find(|line| line.contains("TIMEROTATE")).unwrap();
            assert!(line.contains("15"), "{line}");
        };
        archives(engine, WITH_ROTATION, is_set).await;
    });
}

#[test]
fn a_bot_starts_by_the_guides_line_with_password_bucket_and_key_in_a_secret() {
    world(async |engine: &Engine| {
        engine.volume(BOT);
        let moto = Moto::start_on(&engine.gateway());
        moto.bucket("bucket-name").await;
        let key = moto.key().await;
        let secret = json!({
            "password": "password",
            "s3_bucket_name": "bucket-name",
            "s3_region": "us-east-1",
            "s3_folder_name": "folder-name",
            "kms_master_key_arn": key,
            "kms_region": "us-east-1",
        });
        moto.secret("wickr/data/retention/bot", &secret.to_string()).await;
        // on EC2 the role of the instance says so; here the image does
        let access: Vec<String> =
            moto.operator().variables().iter().map(|(name, value)| format!("ENV {name}={value}")).collect();
        engine.derive("retaind:aws", &access.join("\n"), engine.scratch());
        engine.shell(BY_SECRET, "retaind:aws");
        let bot = engine.container(BOT, BOT);
        bot.says("receives").await;
        let _bob = bot.device("bob").await;
        let _carol = bot.device("carol").await;
        let mut traffic = Traffic::begin(bot.device("alice").await, 2, engine.scratch()).await;
        traffic.texts(20).await;
        bot.archives(traffic.places()).await;
        bot.docker("stop");
        assert_eq!(bot.ended().code, 0, "{}", bot.log());
        assert_eq!(std::fs::read_dir(bot.messages()).unwrap().count(), 0, "files stay only until the bucket has them");
        let objects = moto.s3().list_objects_v2().bucket("bucket-name").send().await.unwrap();
        let keys: Vec<&str> = objects.contents().iter().filter_map(|object| object.key()).collect();
        let (evidence, keys): (Vec<&str>, Vec<&str>) = keys.into_iter().partition(|key| key.contains("/_evidence/"));
        // a key, two entries and the head of the stop
        assert_eq!(evidence.len(), 4, "{evidence:?}");
        assert!(keys.len() == 1 && keys[0].starts_with("folder-name/receivedMessages_"), "{keys:?}");
    });
}
