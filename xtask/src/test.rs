//! `cargo xtask test`: everything that must hold, in the order in which it is quickest to hear of a mistake
//! that the next step stands on.

use crate::build::{self, HOUSE, TASKS};
use crate::dependencies;
use crate::fuzz;
use crate::house;
use crate::progress::{Done, Step, Steps};
use crate::run::{Failure, Program};
use crate::setup::{self, Group};
use crate::tidy;
use crate::wasm;
use crate::web;

/// Seconds for all fuzz targets together.
const FUZZ_S: u32 = 60;

/// Which of the steps to do.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out what takes minutes: tests in real browsers, fuzzing
    #[arg(long)]
    fast: bool,
    /// Only these steps: setup, wasm, web, build, format, clippy, tidy, pages, tests, docs, dependencies, fuzz
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
}

type Work = fn(&Options, &Step) -> Result<Done, Failure>;

const STEPS: [(&str, Work); 12] = [
    ("setup", |_, step| setup::ensure(&Group::ALL, step)),
    ("wasm", |_, step| wasm::build(step)),
    ("web", |_, step| web::build(step)),
    ("build", |_, step| build::programs(step)),
    ("format", |_, step| format(step)),
    ("tidy", |_, _| tidy::check()),
    ("pages", |_, step| web::check(step)),
    ("clippy", |_, step| clippy(step)),
    ("tests", tests),
    ("docs", |_, step| docs(step)),
    ("dependencies", |_, step| dependencies::check(step)),
    ("fuzz", |_, step| fuzz::run(&fuzz::Options { seconds: FUZZ_S, target: None }, step)),
];

/// Does the steps up to the first that fails, and prints the sum.
pub(crate) fn run(options: &Options) -> bool {
    let unknown = options.only.iter().find(|name| !STEPS.iter().any(|(step, _)| step == name));
    if let Some(name) = unknown {
        crate::progress::print(&format!("there is no step {name}; `cargo xtask test --help` names them"));
        return false;
    }
    let chosen: Vec<_> = STEPS
        .iter()
        .filter(
            |(name, _)| {
                if options.only.is_empty() { true } else { options.only.iter().any(|only| only == name) }
            },
        )
        .filter(|(name, _)| !(options.fast && *name == "fuzz"))
        .collect();
    // The logs hold the last run only.
    let _ = std::fs::remove_dir_all(house::state().join("log"));
    let mut steps = Steps::new(chosen.len());
    for (name, work) in chosen {
        if !steps.run(name, |step| work(options, step)) {
            break;
        }
    }
    steps.sum();
    steps.good()
}

fn format(step: &Step) -> Result<Done, Failure> {
    Program::cargo().args(["fmt", "--all", "--check"]).run(step)?;
    Program::cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]).run(step)?;
    Ok(Done::one("as rustfmt writes it"))
}

fn clippy(step: &Step) -> Result<Done, Failure> {
    let strict = ["--all-targets", "--quiet", "--", "-D", "warnings"];
    Program::cargo().args(["clippy"]).args(HOUSE).args(strict).run(step)?;
    Program::cargo().args(["clippy"]).args(TASKS).args(strict).run(step)?;
    Ok(Done::one("no warning"))
}

fn tests(options: &Options, step: &Step) -> Result<Done, Failure> {
    let has_nextest = Program::cargo().args(["nextest", "--version"]).succeeds();
    let run = |selected: &[&str], leave_out: bool| {
        if has_nextest {
            let quiet = ["--status-level", "slow", "--final-status-level", "fail", "--show-progress", "none"];
            let filter: &[&str] = if leave_out { &["-E", "not binary(=e2e)"] } else { &[] };
            let program = Program::cargo().args(["nextest", "run", "--no-fail-fast"]).args(selected);
            return counted(program.args(quiet).args(filter).run(step), nextest_counts);
        }
        // Cargo's own runner cannot leave out one binary: the package of whole systems goes as a whole.
        let filter: &[&str] = if leave_out { &["--exclude", "matinee-tests"] } else { &[] };
        let program = Program::cargo().args(["test", "--no-fail-fast", "--all-targets"]).args(selected);
        // One at a time: whole systems fill a small machine by themselves.
        counted(program.args(filter).args(["--", "--test-threads=1"]).run(step), libtest_counts)
    };
    let house = run(&HOUSE, options.fast)?;
    let tasks = run(&TASKS, false)?;
    let sum = house.checks + tasks.checks;
    Ok(Done::many(sum, format!("{sum} tests")))
}

/// Turns a test runner's output into a number of checks, whether it passed or failed.
fn counted(
    outcome: Result<Vec<String>, Failure>,
    counts: fn(&[String]) -> (usize, usize),
) -> Result<Done, Failure> {
    match outcome {
        Ok(lines) => {
            let (passed, _) = counts(&lines);
            Ok(Done::many(passed, format!("{passed} tests")))
        }
        Err(failure) => {
            let (_, failed) = counts(&failure.tail);
            Err(Failure { checks_failed: failed.max(1), ..failure })
        }
    }
}

/// `Summary [  12.3s] 40 tests run: 38 passed (1 slow), 2 failed, 3 skipped`
fn nextest_counts(lines: &[String]) -> (usize, usize) {
    let summary = lines.iter().rev().find(|line| line.contains("Summary [")).map_or("", String::as_str);
    (number_before(summary, " passed"), number_before(summary, " failed"))
}

/// `test result: ok. 12 passed; 0 failed; …`, one for each binary.
fn libtest_counts(lines: &[String]) -> (usize, usize) {
    let results = lines.iter().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, failed), line| {
        (passed + number_before(line, " passed"), failed + number_before(line, " failed"))
    })
}

fn number_before(line: &str, word: &str) -> usize {
    let before = line.split_once(word).map_or("", |(before, _)| before);
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn docs(step: &Step) -> Result<Done, Failure> {
    let lines = Program::cargo().args(["test", "--doc"]).args(HOUSE).run(step)?;
    let (examples, _) = libtest_counts(&lines);
    Program::cargo()
        .args(["doc", "--no-deps", "--document-private-items"])
        .args(HOUSE)
        .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links")
        .run(step)?;
    Ok(Done::many(examples + 1, format!("{examples} examples")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_sums_are_read() {
        let nextest =
            ["     Summary [  12.3s] 40 tests run: 38 passed (1 slow), 2 failed, 3 skipped".to_owned()];
        assert_eq!(nextest_counts(&nextest), (38, 2));
        let line = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out".to_owned();
        assert_eq!(libtest_counts(&[line.clone(), line]), (24, 0));
    }
}
