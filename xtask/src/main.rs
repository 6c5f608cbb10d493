//! The tasks of the repository: `cargo xtask --help`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod build;
mod demo;
mod dependencies;
mod fuzz;
mod house;
mod measure;
mod progress;
mod run;
mod setup;
mod stamp;
mod test;
mod tidy;
mod wasm;
mod web;

use progress::Steps;
use setup::Group;

/// Builds, tests and shows Matinee.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what this machine lacks (apt packages, Node packages, a compiler for WebAssembly)
    Setup {
        /// Only these; all when none is named
        groups: Vec<Group>,
    },
    /// Build the engine for browsers into web/wasm/pkg
    Wasm,
    /// Build the pages into web/dist
    Web,
    /// Build everything and run every check
    Test(test::Options),
    /// Check the order of the house: imports, words, sizes, schemas, decoders
    Tidy,
    /// Check licenses, bans and duplicates of what is depended on
    Dependencies,
    /// Show the whole system on this machine, until Ctrl-C
    Demo(demo::Options),
    /// Measure something on the release build
    Measure(measure::Options),
    /// Feed mutated bytes to every decoder
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let mut steps = Steps::new(1);
    let good = match Arguments::parse().task {
        Task::Setup { groups } => {
            let groups = if groups.is_empty() { Group::ALL.to_vec() } else { groups };
            steps.run("setup", |step| setup::ensure(&groups, step))
        }
        Task::Wasm => steps.run("wasm", wasm::build),
        Task::Web => web(),
        Task::Test(options) => test::run(&options),
        Task::Tidy => steps.run("tidy", |_| tidy::check()),
        Task::Dependencies => steps.run("dependencies", dependencies::check),
        Task::Demo(options) => demo::run(&options),
        Task::Measure(options) => measure::run(&options),
        Task::Fuzz(options) => steps.run("fuzz", |step| fuzz::run(&options, step)),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The pages, with what they stand on.
fn web() -> bool {
    let mut steps = Steps::new(3);
    steps.run("setup", |step| setup::ensure(&[Group::Node], step))
        && steps.run("wasm", wasm::build)
        && steps.run("web", web::build)
}
