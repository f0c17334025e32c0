//! How many files the process may have open: too few are told at the start, in words that name the limit. Later, whichever
//! part of the bot met it first would tell, in words about its file.
//!
//! Not here: a limit that many devices reach. Then the network accepts no more of them for a while, and says so.

use std::fs;

use super::Failure;

/// Databases, message files, logs, uploads and the first devices: a bot has about 40 open when nothing happens.
const OPEN_FILES_MIN: u64 = 256;

/// The system's word about this process; its columns: limit, soft, hard, unit.
const LIMITS: &str = "/proc/self/limits";

/// Refuses to start with too few.
pub(super) fn check() -> Result<(), Failure> {
    // where the system does not tell, the bot starts
    let soft = fs::read_to_string(LIMITS).ok().and_then(|limits| soft(&limits));
    match soft {
        Some(soft) if soft < OPEN_FILES_MIN => Err(Failure::configuration(format!(
            "this process may have only `{soft}` files open, and the bot needs `{OPEN_FILES_MIN}`: raise the limit (`ulimit -n`, `docker run --ulimit nofile=…`, `LimitNOFILE=` of systemd)"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// `None`: unlimited, or not said.
fn soft(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_limit_is_read_as_the_system_writes_it() {
        let head = "Limit                     Soft Limit           Hard Limit           Units     \n";
        let line = |soft| format!("{head}Max open files            {soft:<21}524288               files     \n");
        assert_eq!(soft(&line("1024")), Some(1024));
        assert_eq!(soft(&line("unlimited")), None);
        assert_eq!(soft(head), None);
        assert!(soft(&fs::read_to_string(LIMITS).unwrap()).is_none_or(|files| files > 0));
    }
}
