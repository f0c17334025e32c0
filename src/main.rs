//! `retaind`: arguments → configuration → run → exit code. All of it is in the library's `cli` room.

use std::process::ExitCode;

fn main() -> ExitCode {
    retaind::cli::main()
}
