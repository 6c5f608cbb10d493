//! `cargo xtask test`: everything that must hold, in the order in which it is quickest to hear of a mistake
//! that the next step stands on.

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
    ("build", |_, step| binaries(step)),
    ("format", |_, step| {
        cargo(&["fmt", "--all", "--check"], "as rustfmt writes it", step)
    }),
    ("clippy", |_, step| clippy(step)),
    ("tidy", |_, _| tidy::check()),
    ("pages", |_, step| web::check(step)),
    ("tests", tests),
    ("docs", |_, step| docs(step)),
    ("dependencies", |_, step| dependencies::check(step)),
    ("fuzz", |_, step| {
        fuzz::run(
            &fuzz::Options {
                seconds: FUZZ_S,
                target: None,
            },
            step,
        )
    }),
];

/// Does the steps up to the first that fails, and prints the sum.
pub(crate) fn run(options: &Options) -> bool {
    let unknown = options
        .only
        .iter()
        .find(|name| !STEPS.iter().any(|(step, _)| step == name));
    if let Some(name) = unknown {
        println!("there is no step {name}; `cargo xtask test --help` names them");
        return false;
    }
    let chosen: Vec<_> = STEPS
        .iter()
        .filter(|(name, _)| {
            if options.only.is_empty() {
                true
            } else {
                options.only.iter().any(|only| only == name)
            }
        })
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

fn cargo(arguments: &[&str], detail: &str, step: &Step) -> Result<Done, Failure> {
    Program::cargo().args(arguments).run(step)?;
    Ok(Done::one(detail))
}

/// What the tests start as real processes.
fn binaries(step: &Step) -> Result<Done, Failure> {
    cargo(
        &["build", "-p", "matinee-server", "-p", "matinee-peer", "--bins"],
        "matinee, matinee-peer",
        step,
    )
}

fn clippy(step: &Step) -> Result<Done, Failure> {
    cargo(
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
        "no warning",
        step,
    )
}

fn tests(options: &Options, step: &Step) -> Result<Done, Failure> {
    let in_browsers =
        house::root().join("tests/tests/e2e.rs").exists() || house::root().join("tests/tests/e2e").exists();
    let leave_out = options.fast && in_browsers;
    if Program::cargo().args(["nextest", "--version"]).succeeds() {
        let mut program = Program::cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        program = program.args([
            "--status-level",
            "slow",
            "--final-status-level",
            "fail",
            "--show-progress",
            "none",
        ]);
        if leave_out {
            program = program.args(["-E", "not binary(=e2e)"]);
        }
        return counted(program.run(step), nextest_counts);
    }
    let mut program = Program::cargo().args(["test", "--workspace", "--all-targets", "--no-fail-fast"]);
    if leave_out {
        program = program.args(["--", "--skip", "e2e::"]);
    }
    counted(program.run(step), libtest_counts)
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
            Err(Failure {
                checks_failed: failed.max(1),
                ..failure
            })
        }
    }
}

/// `Summary [  12.3s] 40 tests run: 38 passed (1 slow), 2 failed, 3 skipped`
fn nextest_counts(lines: &[String]) -> (usize, usize) {
    let summary = lines
        .iter()
        .rev()
        .find(|line| line.contains("Summary ["))
        .map_or("", String::as_str);
    (
        number_before(summary, " passed"),
        number_before(summary, " failed"),
    )
}

/// `test result: ok. 12 passed; 0 failed; …`, one for each binary.
fn libtest_counts(lines: &[String]) -> (usize, usize) {
    let results = lines.iter().filter(|line| line.starts_with("test result:"));
    results.fold((0, 0), |(passed, failed), line| {
        (
            passed + number_before(line, " passed"),
            failed + number_before(line, " failed"),
        )
    })
}

fn number_before(line: &str, word: &str) -> usize {
    let before = line.split_once(word).map_or("", |(before, _)| before);
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

fn docs(step: &Step) -> Result<Done, Failure> {
    let lines = Program::cargo()
        .args(["test", "--doc", "--workspace"])
        .run(step)?;
    let (examples, _) = libtest_counts(&lines);
    Program::cargo()
        .args(["doc", "--no-deps", "--workspace", "--document-private-items"])
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
