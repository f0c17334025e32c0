//! `retaind network`: the network on its own, and its operator's hands.
//!
//! `serve` holds the directory's lock; everything else works beside it, and beside a bot whose process embeds the
//! network (then the directory is `network` below the bot's state directory).

use std::io::{self, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use zeroize::Zeroizing;

use super::Failure;
use retaind_config::invisible::Invisible;
use retaind_core::text;
use retaind_network::{Admin, Network, Options, Rotation, Seal, Standing};
use retaind_process::lifecycle;
use retaind_protocol::credential::Role;
use retaind_protocol::ids::{DeviceId, UserName};
use retaind_report::logs::{self, Format, Stream};

mod audit;

/// What a network logs.
const LOG_FILTER: &str = "info";
/// Shortest initial password that is taken here. What a bot is started with may be as short as in the guide's start lines.
const INITIAL_PASSWORD_CHARS_MIN: usize = 12;
/// Longest password that is read from standard input.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Arguments of `retaind network`.
#[derive(Debug, Args)]
pub struct NetworkArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a network until SIGTERM; makes it if there is none in the directory
    Serve {
        #[command(flatten)]
        at: At,
        /// Address to listen on
        #[arg(long, default_value = "127.0.0.1:7443")]
        listen: String,
        /// `host:port` that devices are told, when it is not the listening address
        #[arg(long)]
        advertise: Option<String>,
        /// Name of a new network; 8 random digits if not given
        #[arg(long)]
        id: Option<String>,
        /// Certificate chain (PEM) instead of the network's own
        #[arg(long, requires = "key")]
        certificate: Option<PathBuf>,
        /// Private key (PEM) of the certificate
        #[arg(long, requires = "certificate")]
        key: Option<PathBuf>,
        /// File with the key that the network's own keys are sealed with, made if there is none; best on another volume
        /// [default: `network.key` in the directory]
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        #[command(flatten)]
        room: Room,
    },
    /// Print an invite for one device of a user; makes the user if there is none
    Invite {
        #[command(flatten)]
        at: At,
        /// Name of the user
        user: String,
        /// What the user may be
        #[arg(long, value_enum, default_value_t = InviteRole::User)]
        role: InviteRole,
        /// Hours until the invite expires; without, it is valid until used
        #[arg(long)]
        hours: Option<u32>,
    },
    /// Make a bot account, or give it a new password (read from standard input)
    Bot {
        #[command(flatten)]
        at: At,
        /// Name of the bot
        user: String,
    },
    /// Suspend a user with all devices, or one device
    Suspend {
        #[command(flatten)]
        at: At,
        /// Name of the user
        user: String,
        /// Only this device (32 hex digits)
        #[arg(long)]
        device: Option<String>,
    },
    /// Take a suspension back
    Resume {
        #[command(flatten)]
        at: At,
        /// Name of the user
        user: String,
        /// Only this device (32 hex digits)
        #[arg(long)]
        device: Option<String>,
    },
    /// Switch data retention on or off
    Retention {
        #[command(flatten)]
        at: At,
        /// On, strict (after a change of keys nobody is heard before the bot has them) or off
        #[arg(value_enum)]
        switch: Switch,
        /// Bots that must be in every conversation (with `on`)
        bots: Vec<String>,
    },
    /// List users and their devices
    Users {
        #[command(flatten)]
        at: At,
    },
    /// List failed log-ins, summed up by address, account and ten minutes, the newest first
    Audit {
        #[command(flatten)]
        at: At,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Change the key and certificate of the network's own TLS, at its next start; in two steps, a while apart
    RotateKeys {
        #[command(flatten)]
        at: At,
        /// The second step: what the first one has made takes over. Devices that have not logged in since need a new invite
        #[arg(long)]
        finish: bool,
    },
    /// Stop keeping messages for a device that is gone for good
    Retire {
        #[command(flatten)]
        at: At,
        /// The device (32 hex digits)
        device: String,
    },
}

#[derive(Debug, Args)]
struct At {
    /// Where the network is kept
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// What attachments and messages may take up.
#[derive(Debug, Clone, Copy, Args)]
struct Room {
    /// Days after which an attachment is deleted that not every member has fetched; never one that a bot has still to read
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3650))]
    blob_days: u64,
    /// GiB of attachments that a user may have here, and each device half of it
    #[arg(long, value_name = "GIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    blob_quota: u64,
    /// MiB of free disk space below which no attachments are taken, and below a 64th of which no messages; 0 = no limit
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(..=1 << 40))]
    disk_low: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum InviteRole {
    User,
    Guest,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Strict,
    Off,
}

/// Runs it.
pub fn run(arguments: NetworkArguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Serve { at, listen, advertise, id, certificate, key, key_file, room } => {
            let mut options = Options::new(at.directory);
            options.network_id = id;
            options.advertise = advertise;
            options.certificate = certificate.zip(key);
            if let Some(file) = key_file {
                options.seal = Seal::KeyFile(file);
            }
            options.allowances.blob_age = Duration::from_secs(room.blob_days.saturating_mul(24 * 60 * 60));
            options.allowances.blob_quota_bytes = room.blob_quota << 30;
            options.allowances.disk_low_bytes = room.disk_low << 20;
            serve(options, &listen)
        }
        Command::Invite { at, user, role, hours } => {
            let role = match role {
                InviteRole::User => Role::Normal,
                InviteRole::Guest => Role::Guest,
            };
            let valid_for = hours.map(|hours| Duration::from_secs(u64::from(hours) * 3600));
            let invite = open(&at)?.invite(&name(&user)?, role, valid_for).map_err(Failure::of)?;
            say(&invite.to_string())
        }
        Command::Bot { at, user } => {
            let password = read_password()?;
            if password.chars().count() < INITIAL_PASSWORD_CHARS_MIN {
                return Err(Failure::configuration(format!(
                    "the initial password of `{user}` has fewer than {INITIAL_PASSWORD_CHARS_MIN} characters: whoever reaches the network may guess it, choose a longer one"
                )));
            }
            open(&at)?.ensure_bot(&name(&user)?, &password).map_err(Failure::of)
        }
        Command::Suspend { at, user, device } => set_standing(&at, &user, device, Standing::Suspended),
        Command::Resume { at, user, device } => set_standing(&at, &user, device, Standing::Active),
        Command::Retention { at, switch, bots } => {
            let bots = match (switch, bots.is_empty()) {
                (Switch::On | Switch::Strict, true) => {
                    return Err(Failure::configuration("retention needs to know whose: name the bot after `on`"));
                }
                (Switch::Off, false) => {
                    return Err(Failure::configuration("retention off is off for all: name no bot after `off`"));
                }
                (Switch::On | Switch::Strict | Switch::Off, _) => {
                    bots.iter().map(|bot| name(bot)).collect::<Result<Vec<_>, _>>()?
                }
            };
            let mut admin = open(&at)?;
            let strict = matches!(switch, Switch::Strict);
            admin.set_strict(strict).and_then(|()| admin.set_retention(&bots)).map_err(Failure::of)
        }
        Command::Users { at } => users(&at),
        Command::Audit { at, json } => audit::print(&open(&at)?.failed_log_ins().map_err(Failure::of)?, json.into()),
        Command::RotateKeys { at, finish } => {
            let rotation = if finish { Rotation::Finish } else { Rotation::Begin };
            open(&at)?.rotate(rotation).map_err(Failure::of)?;
            say("the network does it at its next start: restart it")
        }
        Command::Retire { at, device } => open(&at)?.retire_device(&device_id(&device)?).map_err(Failure::of),
    }
}

fn serve(options: Options, listen: &str) -> Result<(), Failure> {
    // a program that embeds this has a log already
    let _already = logs::start(Stream::Error, LOG_FILTER, Format::Text, None);
    let signals = lifecycle::listen().map_err(Failure::internal)?;
    let listener = TcpListener::bind(listen).map_err(|error| {
        Failure::temporary(format!("network cannot listen on `{listen}`, is another one running there: {error}"))
    })?;
    let network = Network::open(options).map_err(Failure::of)?;
    let address = listener.local_addr().map_err(Failure::internal)?;
    tracing::info!(network = network.network_id(), %address, "network listens");
    retaind_process::runtime()?.block_on(network.serve(listener, signals.stop)).map_err(Failure::of)
}

fn users(at: &At) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let word = |standing| match standing {
        Standing::Active => "active",
        Standing::Suspended => "suspended",
    };
    for user in open(at)?.users().map_err(Failure::of)? {
        let retention = if user.retention { " retention" } else { "" };
        let name = text::shown(&user.user);
        writeln!(out, "{name} {} {}{retention}", user.role, word(user.standing)).map_err(Failure::temporary)?;
        for (device, standing) in user.devices {
            writeln!(out, "  {device} {}", word(standing)).map_err(Failure::temporary)?;
        }
    }
    out.flush().map_err(Failure::temporary)
}

fn set_standing(at: &At, user: &str, device: Option<String>, standing: Standing) -> Result<(), Failure> {
    let user = name(user)?;
    let mut admin = open(at)?;
    let Some(device) = device else {
        return admin.set_user_standing(&user, standing).map_err(Failure::of);
    };
    let device = device_id(&device)?;
    let owned = admin
        .users()
        .map_err(Failure::of)?
        .into_iter()
        .any(|summary| summary.user == user.as_str() && summary.devices.iter().any(|(owned, _)| *owned == device));
    if !owned {
        return Err(Failure::configuration(format!("device `{device}` is not one of user `{user}`")));
    }
    admin.set_device_standing(&device, standing).map_err(Failure::of)
}

fn open(at: &At) -> Result<Admin, Failure> {
    Admin::open(&at.directory).map_err(Failure::of)
}

fn name(user: &str) -> Result<UserName, Failure> {
    UserName::new(user).map_err(|error| Failure::configuration(format!("`{user}`: {error}")))
}

fn device_id(device: &str) -> Result<DeviceId, Failure> {
    device.parse().map_err(|error| Failure::configuration(format!("`{device}`: {error}")))
}

/// One line of standard input: a password on the command line is everybody's.
fn read_password() -> Result<Zeroizing<String>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let mut input = io::Read::take(io::stdin().lock(), PASSWORD_BYTES_MAX);
    io::BufRead::read_line(&mut input, &mut line).map_err(Failure::temporary)?;
    let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    if let Some(what) = Invisible::find(&password) {
        let warning = "is part of the password as it is given; if that is not meant, give it again without";
        writeln!(io::stderr(), "warning: {what} {warning}").map_err(Failure::temporary)?;
    }
    Ok(password)
}

fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::temporary)
}
