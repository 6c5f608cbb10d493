//! Building the programs. Cargo unites the features of what is selected together, so everything but the tasks
//! themselves is always selected together: each dependency is then compiled once.

use crate::progress::{Done, Step};
use crate::run::{Failure, Program};

/// Selects all packages but this one, whose own dependencies are large and no business of the others.
pub(crate) const HOUSE: [&str; 3] = ["--workspace", "--exclude", "xtask"];
/// Selects this one.
pub(crate) const TASKS: [&str; 2] = ["-p", "xtask"];

/// The server, the native peer, and the programs that show and measure them.
pub(crate) fn programs(step: &Step) -> Result<Done, Failure> {
    Program::cargo().args(["build", "--bins"]).args(HOUSE).run(step)?;
    Ok(Done::one("matinee, matinee-peer"))
}

/// The same as they are shipped.
pub(crate) fn programs_released(step: &Step) -> Result<Done, Failure> {
    let chosen = ["build", "--release", "--bins", "--example", "datachannel_bench"];
    Program::cargo().args(chosen).args(HOUSE).run(step)?;
    Ok(Done::one("in target/release"))
}
