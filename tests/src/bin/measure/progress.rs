//! Bars on standard error, so that standard output stays the table and its last line.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many steps; hidden where standard error is no terminal.
pub(crate) fn bar(what: &'static str, steps: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:<38} {bar:30} {human_pos}/{human_len} {per_sec:>12} {eta}")
            .expect("the template is right");
    ProgressBar::new(steps as u64).with_style(style).with_message(what)
}
