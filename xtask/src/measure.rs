//! Measurements on the release build; `tests` holds them, this starts them.

use std::ffi::OsString;

use crate::progress::Steps;
use crate::run::{Failure, Program};
use crate::setup::{self, Group};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure, and its own options; `list` names what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    words: Vec<OsString>,
}

/// Builds quietly, then measures in front of the person.
pub(crate) fn run(options: &Options) -> bool {
    let mut steps = Steps::new(2);
    let ready = steps.run("setup", |step| {
        setup::ensure(&[Group::Film, Group::Browsers, Group::Postgres], step)
    }) && steps.run("release build", |step| {
        Program::cargo()
            .args(["build", "--release", "-p", "matinee-tests", "--bin", "measure"])
            .run(step)?;
        let servers = [
            "build",
            "--release",
            "-p",
            "matinee-server",
            "-p",
            "matinee-peer",
            "--bins",
        ];
        Program::cargo().args(servers).run(step)?;
        Ok(crate::progress::Done::one("target/release"))
    });
    ready && report(measure(options))
}

fn measure(options: &Options) -> Result<(), Failure> {
    let binary = crate::house::target().join("release/measure");
    Program::new(&binary.to_string_lossy())
        .args(&options.words)
        .run_in_front()
}

fn report(outcome: Result<(), Failure>) -> bool {
    if let Err(failure) = &outcome {
        println!("measure: {failure}");
    }
    outcome.is_ok()
}
