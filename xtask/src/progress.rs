//! Telling a person what is done, how far it is and how long it took: a spinner on a terminal, plain lines
//! everywhere else.

use std::cell::Cell;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::Failure;

/// Without a terminal, a step that runs this long says that it is alive, in seconds.
const BEAT_S: u64 = 30;
const LINE_CHARS_MAX: usize = 90;

/// Measures how long something takes.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the one stopwatch of the tasks")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What a step achieved.
pub(crate) struct Done {
    /// Shown behind the step's name.
    pub(crate) detail: String,
    /// Lines shown below it.
    pub(crate) remarks: Vec<String>,
    /// How many checks passed in it.
    pub(crate) checks: usize,
}

impl Done {
    /// One check.
    pub(crate) fn one(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), remarks: Vec::new(), checks: 1 }
    }

    /// As many checks as a test runner counted.
    pub(crate) fn many(checks: usize, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), remarks: Vec::new(), checks }
    }
}

/// Prints a line. Whoever reads no further (`| head`) does not end the work; its outcome is the exit code.
pub(crate) fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A run of numbered steps, which ends at the first that fails.
pub(crate) struct Steps {
    total: usize,
    number: usize,
    passed: usize,
    failed: usize,
    watch: Stopwatch,
}

impl Steps {
    /// Announces nothing yet.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, number: 0, passed: 0, failed: 0, watch: Stopwatch::start() }
    }

    /// Does one step and reports it; whether to go on.
    pub(crate) fn run(&mut self, name: &str, work: impl FnOnce(&Step) -> Result<Done, Failure>) -> bool {
        self.number += 1;
        let step = Step::begin(format!("[{:>2}/{}] {name}", self.number, self.total), name);
        let outcome = work(&step);
        match outcome {
            Ok(done) => {
                self.passed += done.checks;
                step.finish("ok", &done.detail);
                for remark in &done.remarks {
                    print(&format!("        {remark}"));
                }
                true
            }
            Err(failure) => {
                self.failed += failure.checks_failed;
                step.finish("FAILED", "");
                for line in &failure.tail {
                    print(&format!("    {line}"));
                }
                print(&format!("{name}: {}", failure.message));
                false
            }
        }
    }

    /// Whether nothing failed.
    pub(crate) fn good(&self) -> bool {
        self.failed == 0
    }

    /// Prints the last line, `N passed, N failed`.
    pub(crate) fn sum(&self) {
        let seconds = self.watch.elapsed().as_secs();
        let left = self.total - self.number;
        if left > 0 {
            print(&format!("{left} steps were not reached"));
        }
        print(&format!("{} min {:02} s", seconds / 60, seconds % 60));
        print(&format!("{} passed, {} failed", self.passed, self.failed));
    }
}

/// One step under way.
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    label: String,
    name: String,
    watch: Stopwatch,
    beats: Cell<u64>,
}

impl Step {
    fn begin(label: String, name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}");
            let bar = ProgressBar::new_spinner().with_prefix(label.clone());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            print(&format!("{label} …"));
        }
        Self { bar, label, name: name.to_owned(), watch: Stopwatch::start(), beats: Cell::new(0) }
    }

    /// The step's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Shows the last line of a program's output, on a terminal.
    pub(crate) fn say(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.trim().chars().take(LINE_CHARS_MAX).collect::<String>());
        }
        self.beat();
    }

    /// Tells something worth a line of its own.
    pub(crate) fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(format!("        {line}")),
            None => print(&format!("        {line}")),
        }
    }

    /// Without a terminal, says now and then that the step is alive.
    pub(crate) fn beat(&self) {
        let beats = self.watch.elapsed().as_secs() / BEAT_S;
        if self.bar.is_none() && beats > self.beats.get() {
            self.beats.set(beats);
            print(&format!("{} … {} s", self.label, beats * BEAT_S));
        }
    }

    fn finish(self, word: &str, detail: &str) {
        let seconds = self.watch.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let separator = if detail.is_empty() { "" } else { ": " };
        print(&format!("{} {word}, {seconds:.1} s{separator}{detail}", self.label));
    }
}
