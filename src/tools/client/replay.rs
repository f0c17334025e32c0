//! `retaind client replay`: a logged conversation through real devices, with a bar that shows how far it is.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use futures_util::future::BoxFuture;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::show::Screen;
use crate::replay::{Corpus, Grouping, Invites, Options, Pace, ReplayError, Timestamps, replay};
use retaind_device::patience::Patience;
use retaind_network::Admin;
use retaind_process::Failure;
use retaind_protocol::credential::Role;
use retaind_protocol::endpoint::Invite;
use retaind_protocol::ids::UserName;

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// JSON Lines, plain or gzipped: `at`, `room`, `sender`, `kind` (text, join, leave, rename), `text`
    pub file: PathBuf,
    /// File with a user name and an invite on each line, one for each nickname
    #[arg(long, value_name = "FILE", required_unless_present = "network_state")]
    pub invites: Option<PathBuf>,
    /// Directory of a network on this host: the invites are made there
    #[arg(long, value_name = "DIR", conflicts_with = "invites")]
    pub network_state: Option<PathBuf>,
    /// Rooms at a time
    #[arg(long, default_value = "4")]
    pub parallel: NonZeroUsize,
    /// So many times faster than it was logged; as fast as possible if not given
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub speed: Option<f64>,
    /// Membership changes without a text in between share a commit
    #[arg(long)]
    pub consecutive: bool,
    /// Messages say that they are sent now, not when they were logged
    #[arg(long)]
    pub now: bool,
    /// Users who are made members of every room; they must have registered
    #[arg(long, value_name = "USER")]
    pub audience: Vec<UserName>,
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(factor),
        Ok(_) | Err(_) => Err("a speed is a number above 0, such as 10 or 0.5".to_owned()),
    }
}

/// Runs it.
pub(crate) async fn run(arguments: Arguments, patience: Duration, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let corpus = Corpus::File(arguments.file.clone());
    let invites = match (&arguments.invites, &arguments.network_state) {
        (Some(file), _) => Source::File(Mutex::new(read_invites(file)?)),
        (None, Some(folder)) => Source::Network(Mutex::new(Admin::open(folder).map_err(Failure::configuration)?)),
        (None, None) => return Err(Failure::configuration("`--invites` or `--network-state` is needed")),
    };
    let options = Options {
        parallel: arguments.parallel,
        grouping: if arguments.consecutive { Grouping::Consecutive } else { Grouping::Exact },
        pace: arguments.speed.map_or(Pace::Unlimited, Pace::Times),
        timestamps: if arguments.now { Timestamps::Now } else { Timestamps::Logged },
        audience: arguments.audience,
        patience: Patience::lasting(patience),
    };
    let bar = ProgressBar::new(corpus.events().map_err(|error| Failure::of(ReplayError::from(error)))?);
    // a bar that cannot be styled is a plain bar
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta}") {
        bar.set_style(style);
    }
    let ticks = bar.clone();
    let report = replay(&corpus, options, invites, Arc::new(move |_| ticks.inc(1))).await.map_err(Failure::of);
    bar.finish_and_clear();
    let report = report?;
    for room in &report.rooms {
        let fields = json!({
            "room": room.room, "conversation": room.conversation.as_str(), "initial": room.initial,
            "texts": room.texts, "text_bytes": room.text_bytes, "commits": room.commits, "added": room.added,
            "removed": room.removed, "last_seq": room.last_seq,
        });
        screen.line("room", fields).map_err(Failure::temporary)?;
    }
    let redundant = report.redundant();
    let fields = json!({
        "rooms": report.rooms.len(), "devices": report.devices, "texts": report.texts(),
        "text_bytes": report.text_bytes(), "commits": report.commits(), "seconds": report.elapsed.as_secs_f64(),
        "joins_of_members": redundant.joins_of_members, "leaves_of_absent": redundant.leaves_of_absent,
        "renames_of_absent": redundant.renames_of_absent, "renames_to_members": redundant.renames_to_members,
        "texts_of_absent": redundant.texts_of_absent, "leaves_of_last": redundant.leaves_of_last,
    });
    screen.line("replayed", fields).map_err(Failure::temporary)
}

enum Source {
    File(Mutex<HashMap<UserName, Invite>>),
    Network(Mutex<Admin>),
}

impl Invites for Source {
    fn invite(&self, user: UserName) -> BoxFuture<'_, Result<Invite, String>> {
        let invite = match self {
            Self::File(invites) => invites
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&user)
                .ok_or_else(|| "the file of `--invites` has no line for this user".to_owned()),
            Self::Network(admin) => admin
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .invite(&user, Role::Normal, None)
                .map_err(|error| error.to_string()),
        };
        Box::pin(std::future::ready(invite))
    }
}

fn read_invites(path: &Path) -> Result<HashMap<UserName, Invite>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::configuration(format!("file of invites `{}`: {error}", path.display())))?;
    let mut invites = HashMap::new();
    for (number, line) in (1u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let parsed = line
            .split_once(char::is_whitespace)
            .and_then(|(user, invite)| Some((user.parse::<UserName>().ok()?, invite.parse::<Invite>().ok()?)));
        let Some((user, invite)) = parsed else {
            let path = path.display();
            return Err(Failure::configuration(format!("line {number} of `{path}` is not a user name and an invite")));
        };
        invites.insert(user, invite);
    }
    Ok(invites)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_a_positive_number() {
        assert_eq!(factor("10"), Ok(10.0));
        for wrong in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(factor(wrong).is_err(), "{wrong}");
        }
    }
}
