//! The prompt at a terminal, driven through a pseudo-terminal as somebody would who types.

use std::process::Command;

use super::{banners, run};
use crate::support::terminal::{ENTER_KEY, Terminal};
use crate::support::{Harness, PASSWORD};

const ENTER: &str = "Enter the password:";
const AGAIN: &str = "Re-enter the password:";

fn at_terminal(harness: &Harness) -> Command {
    let mut command = run(harness, "");
    command.env_remove("WICKRIO_BOT_PASSWORD");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_asked_twice_at_the_first_start_once_later_and_shows_nothing_that_is_typed() {
    let harness = Harness::start();
    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    // somebody who has just attached sees nothing, and presses Enter
    terminal.types(ENTER_KEY);
    terminal.shows(ENTER, 2).await;
    terminal.types("a slip of the finger\r");
    terminal.shows(AGAIN, 1).await;
    terminal.types(&format!("{PASSWORD}{ENTER_KEY}"));
    terminal.shows("The passwords differ.", 1).await;
    terminal.shows(ENTER, 3).await;
    terminal.types(&format!("{PASSWORD}{ENTER_KEY}"));
    terminal.shows(AGAIN, 2).await;
    assert!(!terminal.echoes());
    terminal.types(&format!("{PASSWORD}{ENTER_KEY}"));
    terminal.shows("receives from the network", 1).await;
    assert!(terminal.echoes(), "the terminal is as it was");
    terminal.signal("-TERM");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("slip"), "{shown}");
    let made = banners(&shown).pop().unwrap();

    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.types(&format!("{made}{ENTER_KEY}"));
    terminal.shows("receives from the network", 1).await;
    assert!(!terminal.shown().contains(AGAIN) && !terminal.shown().contains(&made), "{}", terminal.shown());
    terminal.signal("-TERM");
    assert_eq!(terminal.ends().await.0, Some(0));

    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.types("not the password\r");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("failedlogin_bad_credentials"), "{shown}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_while_the_terminal_is_asked_ends_the_bot_and_leaves_the_terminal_as_it_was() {
    let harness = Harness::start();
    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.signal("-TERM");
    terminal.shows("Shutting down", 1).await;
    terminal.child.wait().unwrap();
    assert!(terminal.echoes());
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("provisioning_user_ended"), "{shown}");
    // Ctrl-D: the end of what is typed
    let mut terminal = Terminal::start(&mut at_terminal(&harness));
    terminal.shows(ENTER, 1).await;
    terminal.types("\u{4}");
    let (code, shown) = terminal.ends().await;
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("WICKRIO_BOT_PASSWORD"), "{shown}");
    harness.stop().await;
}
