//! The pages: `web/` built by Vite into `web/dist/`, which the server carries inside itself.

use crate::house;
use crate::progress::{Done, Step};
use crate::run::{Failure, Program};
use crate::stamp::Stamp;

/// Builds the pages, unless nothing has changed since the last time.
pub(crate) fn build(step: &Step) -> Result<Done, Failure> {
    let web = house::root().join("web");
    if !web.join("vite.config.ts").exists() {
        return Err(Failure::new("web/vite.config.ts is missing: there are no pages to build yet"));
    }
    let bound = web.join("wasm/pkg/matinee_web.js");
    if !bound.exists() {
        return Err(Failure::new("the engine is not built for browsers yet: run `cargo xtask wasm` first"));
    }
    // The bound engine is made, hence not among the files of the folder.
    let stamp = Stamp::of("web", &[web.clone(), bound, web.join("wasm/pkg/matinee_web_bg.wasm")], &[])?;
    let output = web.join("dist/index.html");
    if stamp.is_fresh(&output) {
        return Ok(Done::one("nothing has changed"));
    }
    Program::new("npm").args(["run", "--silent", "build"]).within(&web).run(step)?;
    stamp.keep()?;
    Ok(Done::one("built"))
}

/// Type check, lint and unit tests of the pages.
pub(crate) fn check(step: &Step) -> Result<Done, Failure> {
    let web = house::root().join("web");
    for script in ["typecheck", "lint"] {
        Program::new("npm").args(["run", "--silent", script]).within(&web).run(step)?;
    }
    let lines =
        Program::new("npm").args(["run", "--silent", "test"]).env("NO_COLOR", "1").within(&web).run(step)?;
    let tests = lines.iter().find_map(|line| passed(line)).unwrap_or(0);
    Ok(Done::many(tests + 2, format!("types, lint and {tests} tests")))
}

/// Vitest ends with `Tests  12 passed (12)`.
fn passed(line: &str) -> Option<usize> {
    let rest = line.trim().strip_prefix("Tests")?;
    let (before, _) = rest.split_once(" passed")?;
    before.split_whitespace().last()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn counts_what_vitest_says() {
        assert_eq!(passed("      Tests  12 passed (12)"), Some(12));
        assert_eq!(passed("      Tests  1 failed | 11 passed (12)"), Some(11));
        assert_eq!(passed(" Test Files  3 passed (3)"), None);
    }
}
