//! Passwords: the initial one works once, the bot's own is shown once, and no crash in between locks anybody out.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod prompt;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use retaind::bot::passwords::{Keeper, Maker, NotKept, Passwords, Source};
use retaind::core::fault::Fault;
use retaind::device::account;
use retaind::device::store::{STEPS, Store};
use retaind::protocol::ids::ConversationKind;
use retaind::protocol::wire::{ChangePassword, Request};
use retaind::source_mls::MlsError;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::support::aws::moto::{Moto, allow};
use crate::support::program::{Program, run_on};
use crate::support::{Bot, CHOSEN, Controls, Harness, Options, PASSWORD, bot, of_source, text};

const STARS: &str = "********************************************************************";

/// `retaind run` as the guide has it: nobody has chosen a password.
fn run(harness: &Harness, password: &str) -> Command {
    let mut command = run_on(harness.path(), &harness.endpoint);
    command.env("WICKRIO_BOT_PASSWORD", password).env_remove("WICKRIO_ROTATE_PASSWORD");
    command
}

/// Stops it once it is at work; what it has said.
async fn stops(mut program: Program) -> String {
    program.says("receives from the network").await;
    program.signal("TERM");
    let (code, said) = program.ends().await;
    assert_eq!(code, Some(0), "{said}");
    said
}

/// It is refused; what it has said.
async fn refused(command: &mut Command) -> String {
    let (code, said) = Program::start(command).ends().await;
    assert_eq!(code, Some(78), "{said}");
    said
}

/// The passwords of all banners, each of which must be exactly the guide's.
pub fn banners(said: &str) -> Vec<String> {
    let lines: Vec<&str> = said.lines().collect();
    let begins = (0..lines.len()).filter(|line| lines[*line] == "**** GENERATED PASSWORD");
    let banner = |line: usize| {
        let password = lines[line + 3].strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let before = ["**** DO NOT LOSE THIS PASSWORD, YOU WILL NEED TO ENTER IT EVERY TIME", "**** TO START THE BOT"];
        assert_eq!((lines[line - 1], &lines[line + 1..line + 3], lines[line + 4]), (STARS, &before[..], STARS));
        assert!(password.len() >= 22 && password.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{password}");
        password.to_owned()
    };
    begins.map(banner).collect()
}

/// All that stands in the log files.
fn log_files(home: &Path) -> String {
    fs::read_dir(home.join("logs")).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_initial_password_works_once_and_the_one_shown_once_from_then_on() {
    let harness = Harness::start();
    let said = stops(Program::start(&mut run(&harness, PASSWORD))).await;
    let [made] = &banners(&said)[..] else { panic!("{said}") };
    let state = fs::read(harness.path().join("state/bot.db")).unwrap();
    for wrong in [PASSWORD, "not the password"] {
        let said = refused(&mut run(&harness, wrong)).await;
        assert!(said.contains("failedlogin_bad_credentials") && !said.contains(wrong), "{said}");
    }
    assert_eq!(fs::read(harness.path().join("state/bot.db")).unwrap(), state, "a wrong password changes nothing");
    let said = stops(Program::start(&mut run(&harness, made))).await;
    assert!(banners(&said).is_empty() && !said.contains(made.as_str()), "{said}");
    let logs = log_files(harness.path());
    assert!(logs.contains("password was changed"), "{logs}");
    assert!(!logs.contains(made.as_str()) && !logs.contains(PASSWORD) && !logs.contains("GENERATED"), "{logs}");

    // the network takes the initial one no more, so that a copy of it makes no second device
    let said = refused(run(&harness, PASSWORD).env("RETAIND_STATE", harness.path().join("other"))).await;
    assert!(said.contains("provisioning_bad_password"), "{said}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_initial_password_locks_nobody_out_who_corrects_it() {
    let harness = Harness::start();
    for wrong in ["a slip of the finger", "another slip"] {
        let said = refused(&mut run(&harness, wrong)).await;
        assert!(said.contains("provisioning_bad_password"), "{said}");
    }
    let said = stops(Program::start(&mut run(&harness, PASSWORD))).await;
    let made = banners(&said).pop().unwrap();
    stops(Program::start(&mut run(&harness, &made))).await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_whose_state_is_lost_is_a_new_device_with_the_password_that_it_has() {
    let harness = Harness::start();
    let said = stops(Program::start(&mut run(&harness, PASSWORD))).await;
    let made = banners(&said).pop().unwrap();
    fs::remove_dir_all(harness.path().join("state")).unwrap();
    let mut again = run(&harness, &made);
    for start in 0..2 {
        let said = stops(Program::start(&mut again)).await;
        assert!(banners(&said).is_empty(), "the password stays: {said}");
        assert_eq!(said.contains("A device has been added to this account!"), start == 0, "{said}");
    }
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_password_takes_over_and_the_same_settings_start_the_bot_again() {
    let harness = Harness::start();
    let said = stops(Program::start(&mut run(&harness, PASSWORD))).await;
    let made = banners(&said).pop().unwrap();
    let mut rotating = run(&harness, &made);
    rotating.env("WICKRIO_ROTATE_PASSWORD", CHOSEN);
    for _ in 0..2 {
        let said = stops(Program::start(&mut rotating)).await;
        assert!(banners(&said).is_empty() && !said.contains(CHOSEN) && !said.contains(&made), "{said}");
    }
    refused(&mut run(&harness, &made)).await;
    stops(Program::start(&mut run(&harness, CHOSEN))).await;
    // also when the state is lost: the account has the chosen one
    fs::remove_dir_all(harness.path().join("state")).unwrap();
    stops(Program::start(&mut rotating)).await;
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_goes_to_the_secret_is_printed_nowhere_and_starts_the_bot_again() {
    const SECRET: &str = "wickr/data/retention/bot";
    let (moto, harness) = (Moto::start(), Harness::start());
    moto.secret(SECRET, &json!({ "password": PASSWORD, "note": "stays" }).to_string()).await;
    let access = moto.user("bot", &allow(&["secretsmanager:GetSecretValue"])).await;
    let mut command = run_on(harness.path(), &harness.endpoint);
    command.env_remove("WICKRIO_BOT_PASSWORD").env_remove("WICKRIO_ROTATE_PASSWORD").envs(access.variables());
    command.envs([("AWS_SECRET_NAME", SECRET), ("RETAIND_STORE_PASSWORD", "secret")]);
    // without the permission the initial one stays in force
    for _ in 0..2 {
        let (code, said) = Program::start(&mut command).ends().await;
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains("secretsmanager:PutSecretValue"), "{said}");
    }
    let both = allow(&["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]);
    command.envs(moto.user("bot-that-stores", &both).await.variables());
    let secrets = aws_sdk_secretsmanager::Client::new(&moto.operator().config());
    let mut stored = Vec::new();
    for _ in 0..2 {
        let said = stops(Program::start(&mut command)).await;
        let secret = secrets.get_secret_value().secret_id(SECRET).send().await.unwrap().secret_string.unwrap();
        let secret: serde_json::Value = serde_json::from_str(&secret).unwrap();
        let password = secret["password"].as_str().unwrap().to_owned();
        assert!(banners(&said).is_empty() && !said.contains(&password) && password != PASSWORD, "{said}");
        assert_eq!(secret["note"], "stays");
        stored.push(password);
    }
    assert_eq!(stored[0], stored[1]);
    let said = refused(command.env("WICKRIO_BOT_PASSWORD", PASSWORD)).await;
    assert!(said.contains("put the initial one into its `password`"), "{said}");
    harness.stop().await;
}

/// What a keeper was given, and whether it takes it.
struct Watched {
    given: Arc<Mutex<Vec<String>>>,
    answer: Option<bool>,
    reached: Mutex<Option<oneshot::Sender<()>>>,
}

impl Keeper for Watched {
    fn keep<'a>(&'a self, password: &'a str, maker: Maker) -> BoxFuture<'a, Result<(), NotKept>> {
        assert_eq!(maker, Maker::Bot);
        self.given.lock().unwrap().push(password.to_owned());
        if let Some(reached) = self.reached.lock().unwrap().take() {
            reached.send(()).unwrap();
        }
        match self.answer {
            Some(true) => Box::pin(std::future::ready(Ok(()))),
            Some(false) => {
                Box::pin(std::future::ready(Err(NotKept { why: "there is no room".into(), fault: Fault::Temporary })))
            }
            None => Box::pin(std::future::pending()),
        }
    }
}

fn passwords(given: &str, keeper: Watched) -> Arc<Passwords> {
    let given = Zeroizing::new(given.to_owned());
    Arc::new(Passwords { given, source: Source::Configured, chosen: None, keeper: Arc::new(keeper) })
}

fn controls() -> Controls {
    Controls { stop: CancellationToken::new(), rotate: mpsc::channel(1).1, ready: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_cut_at_any_step_goes_on_with_the_same_password() {
    let harness = Harness::start();
    let given = Arc::new(Mutex::new(Vec::new()));
    let watched = |answer| Watched { given: given.clone(), answer, reached: Mutex::new(None) };
    let options = |password: &str, keeper| Options { passwords: passwords(password, keeper), ..harness.options() };

    // nobody took it: the initial one is in force
    let refused = bot::run(options(PASSWORD, watched(Some(false))), controls()).await.unwrap_err();
    assert!(matches!(of_source(&refused), Some(MlsError::NotKept(_))), "{refused}");
    assert!(refused.to_string().contains("there is no room"));

    // cut off while it is handed over: both open the state, and the one who has it is not told again
    let (reached, told) = oneshot::channel();
    let hangs = Watched { reached: Mutex::new(Some(reached)), ..watched(None) };
    let cut = tokio::spawn(bot::run(options(PASSWORD, hangs), controls()));
    told.await.unwrap();
    cut.abort();
    assert!(cut.await.unwrap_err().is_cancelled());
    let made = given.lock().unwrap()[0].clone();
    assert_eq!(*given.lock().unwrap(), [made.clone(), made.clone()]);
    let state = harness.options().state;
    for both in [PASSWORD, &made] {
        Store::open(&state, both.as_bytes(), STEPS).unwrap();
    }

    // cut off when the network has it and the state does not know
    let store = Store::open(&state, PASSWORD.as_bytes(), STEPS).unwrap();
    let account = account::login(Arc::new(Mutex::new(store)), None, 16).await.unwrap();
    let change = Request::ChangePassword(ChangePassword { password: made.clone() });
    account.connection.call_done(change).await.unwrap();
    drop(account);
    Store::open(&state, PASSWORD.as_bytes(), STEPS).unwrap();

    let bot = Bot::start(options(&made, watched(Some(true)))).await;
    let mut alice = harness.device("alice").await;
    let room = alice.create(ConversationKind::Room, &[]).await.unwrap();
    alice.send(&room, &text("archived")).await.unwrap();
    bot.saved(2).await;
    bot.stop().await.unwrap();
    assert_eq!(given.lock().unwrap().len(), 2, "who starts the bot with it need not be told");
    Store::open(&state, made.as_bytes(), STEPS).unwrap();
    assert!(Store::open(&state, PASSWORD.as_bytes(), STEPS).err().unwrap().is_wrong_password());
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_thirty_instants_of_the_first_start_somebody_always_has_a_password_that_works() {
    for instant in 0..30u64 {
        let harness = Harness::start();
        let program = Program::start(&mut run(&harness, PASSWORD));
        // the time that Argon2 takes is the clock here: each pass lets the program go a little further
        for _ in 0..instant {
            harness
                .network
                .admin(|admin| admin.ensure_bot(&crate::support::user("clock_bot"), &format!("password {instant}")))
                .unwrap();
        }
        program.signal("KILL");
        // all of it, also what it said in its last moment
        let (code, said) = program.ends().await;
        assert_eq!(code, None, "it was at work when it was killed: {said}");
        let shown = banners_if_whole(&said);
        let (code, said) = until_it_works_or_ends(&mut run(&harness, PASSWORD)).await;
        match code {
            // the initial one is in force still, and what is shown now is what was shown before
            Some(0) => {
                let now = banners(&said);
                assert!(shown.iter().all(|shown| now.contains(shown)), "{instant}: {shown:?} then {now:?}");
            }
            Some(78) => {
                let shown = shown.last().unwrap_or_else(|| panic!("{instant}: nobody was shown the password: {said}"));
                stops(Program::start(&mut run(&harness, shown))).await;
            }
            _ => panic!("{instant}: {code:?} {said}"),
        }
        harness.stop().await;
    }
}

fn banners_if_whole(said: &str) -> Vec<String> {
    if said.matches(STARS).count() == 2 { banners(said) } else { Vec::new() }
}

async fn until_it_works_or_ends(command: &mut Command) -> (Option<i32>, String) {
    let program = Program::start(command);
    let pid = program.pid();
    program.works_or_ends("receives from the network").await;
    // it may have ended by itself
    let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    program.ends().await
}
