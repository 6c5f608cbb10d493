//! The `matinee` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    matinee_server::cli::main()
}
