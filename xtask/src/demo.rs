//! `cargo xtask demo`: builds everything, then hands over to the `demo` program of `tests/`, which starts a
//! server, a seeder and a viewer's wallet as real processes on free ports, and ends them again.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::build;
use crate::house;
use crate::progress::Steps;
use crate::run::{Failure, Program};
use crate::setup::{self, Group};
use crate::{wasm, web};

const POLL_MS: u64 = 100;

/// How to show it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Buy and play in a real browser, print where each byte came from, and end
    #[arg(long)]
    check: bool,
    /// Handed on to the demonstration
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// Builds, shows until Ctrl-C; whether all went well.
pub(crate) fn run(options: &Options) -> bool {
    let mut groups = vec![Group::Node, Group::Film];
    if options.check {
        groups.push(Group::Browsers);
    }
    let mut steps = Steps::new(4);
    let built = steps.run("setup", |step| setup::ensure(&groups, step))
        && steps.run("wasm", wasm::build)
        && steps.run("web", web::build)
        && steps.run("build", build::programs);
    built
        && show(options).unwrap_or_else(|failure| {
            crate::progress::print(&format!("demo: {failure}"));
            false
        })
}

fn show(options: &Options) -> Result<bool, Failure> {
    // Ctrl-C reaches the demonstration too, which ends what it started; this program waits for that.
    let asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))?;
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&asked))?;
    let program = house::target().join("debug/demo");
    let check = options.check.then_some(OsString::from("--check"));
    let mut child = Program::new(&program.to_string_lossy()).args(check).args(&options.words).spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if asked.swap(false, Ordering::Relaxed)
            && let Some(id) = rustix::process::Pid::from_raw(child.id().cast_signed())
        {
            // It may have gone in between, which is what is wanted.
            let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
        }
        thread::sleep(Duration::from_millis(POLL_MS));
    }
}
