//! Measurements on the release build; `tests` holds them, this starts them.

use std::ffi::OsString;

use crate::build;
use crate::house;
use crate::progress::Steps;
use crate::run::{Failure, Program};
use crate::setup::{self, Group};
use crate::{wasm, web};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to measure, and its own options; without any, what there is
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Builds, then measures in front of the person.
pub(crate) fn run(options: &Options) -> bool {
    let mut steps = Steps::new(4);
    let ready = steps.run("setup", |step| setup::ensure(&[Group::Node, Group::Film, Group::Browsers], step))
        && steps.run("wasm", wasm::build)
        && steps.run("web", web::build)
        && steps.run("release build", build::programs_released);
    ready && report(measure(options))
}

fn measure(options: &Options) -> Result<(), Failure> {
    let binary = house::target().join("release/measure");
    Program::new(&binary.to_string_lossy()).args(&options.words).run_in_front()
}

fn report(outcome: Result<(), Failure>) -> bool {
    if let Err(failure) = &outcome {
        crate::progress::print(&format!("measure: {failure}"));
    }
    outcome.is_ok()
}
