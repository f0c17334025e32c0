//! `retaind`: arguments → configuration → run → exit code. All of it is in the library's `cli` room.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    retaind::cli::main()
}
