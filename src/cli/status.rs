//! `retaind status`: asks the bot of this host how it is, over its health endpoint, and says so for people.
//!
//! Exit codes for scripts and containers: 0 ready, 75 not ready (or there is no bot), 78 wrong configuration.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::Failure;
use retaind_config::{self as config, env};
use retaind_report::health::Answer;

/// How long a connection may take.
const CONNECT_TIME: Duration = Duration::from_secs(3);
/// How long the bot may take for each part of its answer; it closes after five seconds itself.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer; one has less than two KiB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Runs it.
pub fn run() -> Result<(), Failure> {
    let address = config::load_health(env::process()).map_err(Failure::configuration)?.ok_or_else(|| {
        Failure::configuration("`RETAIND_HEALTH` is `off`: the bot cannot be asked; set it to an address and a port")
    })?;
    let address = reachable(address);
    let answer = ask(address).map_err(|error| {
        Failure::temporary(format!(
            "no bot answers on `{address}` (RETAIND_HEALTH), does it run there, and with the same setting: {error}"
        ))
    })?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let answer: Answer = serde_json::from_str(body).map_err(|_| {
        Failure::temporary(format!("what answers on `{address}` (RETAIND_HEALTH) is not a bot of this version"))
    })?;
    print(&answer, &mut io::stdout().lock()).map_err(Failure::temporary)?;
    if answer.ready { Ok(()) } else { Err(Failure::temporary("the bot is not ready")) }
}

/// A bot that listens on all addresses is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    address
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME)?;
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    // in one piece: a formatter would send it in several
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn print(answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "retaind {}: {}", answer.version, if answer.ready { "ready" } else { "not ready" })?;
    for reason in &answer.reasons {
        writeln!(out, "  {}: {}", reason.code, reason.text)?;
    }
    let mut line = |name: &str, value: Option<u64>| match value {
        Some(value) => writeln!(out, "{name:<32} {value}"),
        None => writeln!(out, "{name:<32} unknown"),
    };
    line("messages not yet safe", Some(answer.lag_messages))?;
    line("files not yet shipped", answer.unshipped_files)?;
    line("  their bytes", answer.unshipped_bytes)?;
    line("  that need somebody", answer.parked_files)?;
    line("  age of the oldest, in seconds", answer.oldest_unshipped_age_seconds)?;
    for free in &answer.disk_free_bytes {
        line(&format!("free bytes for {}", free.directory), free.bytes)?;
    }
    line("log lines dropped", Some(answer.log_lines_dropped))?;
    out.flush()
}
