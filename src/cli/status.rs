//! `retaind status`: asks the bot of this host how it is, over its health endpoint, and says so for people.
//!
//! Exit codes for scripts and containers: 0 ready, 75 not ready (or there is no bot), 78 wrong configuration.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::Failure;
use retaind_config::{self as config, env};
use retaind_http::client::{Client, ClientError, HeaderMap, Limits, Rules, Uri};
use retaind_report::HEALTH_ANSWER_SECONDS;
use retaind_report::health::Answer;

/// The bot closes after five seconds itself, and its answer has less than two KiB.
const LIMITS: Limits = Limits {
    head_bytes_max: 16 * 1024,
    headers_max: 32,
    request_time: Duration::from_secs(HEALTH_ANSWER_SECONDS.value),
    redirects_max: 0,
};
/// Bytes of an answer's body.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Runs it.
pub fn run() -> Result<(), Failure> {
    let address = config::load_health(env::process()).map_err(Failure::configuration)?.ok_or_else(|| {
        Failure::configuration("`RETAIND_HEALTH` is `off`: the bot cannot be asked; set it to an address and a port")
    })?;
    let address = reachable(address);
    let answer: Answer = serde_json::from_slice(&ask(address)?).map_err(|_| no_bot(address))?;
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

/// The bot's own address, whether it is loopback or not, and nothing that it leads to.
struct Own(IpAddr);

impl Rules for Own {
    fn permits(&self, _: &Uri) -> bool {
        true
    }

    fn headers(&self, _: &Uri) -> HeaderMap {
        HeaderMap::new()
    }

    fn permits_plain(&self, address: IpAddr) -> bool {
        address == self.0
    }
}

fn ask(address: SocketAddr) -> Result<Vec<u8>, Failure> {
    let uri = format!("http://{address}/readyz").parse().map_err(Failure::internal)?;
    let mut client = Client::new(LIMITS, "application/json");
    let asked = retaind_process::runtime()?.block_on(client.get(&uri, &Own(address.ip()), ANSWER_BYTES_MAX));
    asked.map(|answer| answer.body).map_err(|error| match error {
        ClientError::Answer(_) | ClientError::Astray => no_bot(address),
        ClientError::Unreachable(_) | ClientError::Slow => Failure::temporary(format!(
            "no bot answers on `{address}` (RETAIND_HEALTH), does it run there, and with the same setting: {error}"
        )),
    })
}

fn no_bot(address: SocketAddr) -> Failure {
    Failure::temporary(format!("what answers on `{address}` (RETAIND_HEALTH) is not a bot of this version"))
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
