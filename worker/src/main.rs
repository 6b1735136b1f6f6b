//! The program `logmill`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // In the library, so that what the commands call is compiled once, and not also here.
    logmill::program::main()
}
