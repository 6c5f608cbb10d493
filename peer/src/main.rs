//! `matinee-peer`: play, get and seed titles in their swarms.

use std::process::ExitCode;

fn main() -> ExitCode {
    matinee_peer::cli::main()
}
