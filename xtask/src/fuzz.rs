//! Fuzzing on the stable toolchain: libFuzzer linked into each target of `fuzz/`, the coverage it needs asked
//! for by compiler flags. Findings are kept under `fuzz/artifacts/`, what is new to the corpus under
//! `target/fuzz-corpus/`, so that a run leaves the committed seeds as they are.

use std::path::PathBuf;

use serde::Deserialize;

use crate::house;
use crate::progress::{Done, Step};
use crate::run::{Failure, Program};

const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Bytes of one input: a little more than a whole frame.
const INPUT_BYTES_MAX: usize = 80 * 1024;
const INPUT_S_MAX: u32 = 10;
const MEMORY_MB_MAX: u32 = 2048;
const FLAGS: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
    "-Cdebug-assertions=on",
];

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for all targets together
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
    /// Only this target
    pub(crate) target: Option<String>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    bin: Vec<Binary>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
}

/// The names of the targets, from `fuzz/Cargo.toml`.
pub(crate) fn targets() -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(house::root().join("fuzz/Cargo.toml"))?;
    let manifest: Manifest =
        toml::from_str(&text).map_err(|cause| Failure::new(format!("fuzz/Cargo.toml: {cause}")))?;
    Ok(manifest.bin.into_iter().map(|binary| binary.name).collect())
}

/// Builds the targets and gives each its share of the seconds.
pub(crate) fn run(options: &Options, step: &Step) -> Result<Done, Failure> {
    let mut targets = targets()?;
    if let Some(wanted) = &options.target {
        targets.retain(|target| target == wanted);
        if targets.is_empty() {
            return Err(Failure::new(format!("fuzz/Cargo.toml has no target {wanted}")));
        }
    }
    build(step)?;
    let count = u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
    let seconds = (options.seconds / count).max(1);
    for target in &targets {
        step.tell(&format!("{target}, {seconds} s"));
        one(target, seconds, step)?;
    }
    Ok(Done::many(targets.len(), format!("{} targets, {seconds} s each, nothing found", targets.len())))
}

fn build(step: &Step) -> Result<(), Failure> {
    Program::cargo()
        .args(["build", "--manifest-path", "fuzz/Cargo.toml", "--release", "--bins", "--target", TRIPLE])
        .args(["--target-dir".into(), house::target().join("fuzz")])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .run(step)
        .map(drop)
}

fn one(target: &str, seconds: u32, step: &Step) -> Result<(), Failure> {
    let root = house::root();
    let grown = house::target().join("fuzz-corpus").join(target);
    let seeds = root.join("fuzz/corpus").join(target);
    let artifacts = root.join("fuzz/artifacts").join(target);
    for folder in [&grown, &artifacts] {
        std::fs::create_dir_all(folder)?;
    }
    let binary = house::target().join("fuzz").join(TRIPLE).join("release").join(target);
    // The first corpus folder is the one libFuzzer writes to.
    let folders: Vec<PathBuf> = [grown, seeds].into_iter().filter(|folder| folder.is_dir()).collect();
    let outcome = Program::new(&binary.to_string_lossy())
        .args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-timeout={INPUT_S_MAX}"),
            format!("-rss_limit_mb={MEMORY_MB_MAX}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
        ])
        .args(&folders)
        .run(step);
    outcome.map(drop).map_err(|failure| Failure {
        message: format!("{target}: the input that failed is in {}; {failure}", house::shown(&artifacts)),
        ..failure
    })
}
