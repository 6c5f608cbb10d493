//! Swarms in virtual time. Every scenario prints its seed; the laboratory checks its invariants at every step.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a laboratory fails loudly and tells what it saw"
)]

mod lab;
mod scenario;

use std::rc::Rc;

use lab::{Lab, Release, Spec};
use matinee_engine::{Config, OriginPolicy};

const SEEDS: [u64; 3] = [1, 20_061, 0xfeed_beef];
const MB: u64 = 1_000_000;

fn film(seed: u64, chunks: u32) -> Lab {
    Lab::new(seed, Rc::new(Release::film(seed, chunks)))
}

fn seeder() -> Spec {
    Spec { seeder: true, ..Spec::default() }
}

fn with(config: Config) -> Spec {
    Spec { config, ..Spec::default() }
}

fn policy(origin: OriginPolicy) -> Config {
    Config { origin, ..Config::default() }
}
