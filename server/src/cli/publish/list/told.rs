//! What is told of a list while it is published, and at the end.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;

use super::one::{Done, Outcome};
use super::row::Counted;

/// How the JSON begins, before the first failure or, where there is none, the end.
const BEGINNING: &[u8] = b"{\"failed\":[";

/// The rows so far. JSON is printed as it comes about, so that no failure has to be remembered.
pub(super) struct Told<'a> {
    json: bool,
    bar: &'a ProgressBar,
    rows: u64,
    pub(super) published: u64,
    pub(super) skipped: u64,
    pub(super) failed: u64,
    bytes: u64,
    started: Instant,
}

impl<'a> Told<'a> {
    pub(super) fn new(json: bool, bar: &'a ProgressBar, counted: Counted) -> Self {
        bar.set_length(counted.bytes);
        #[expect(clippy::disallowed_methods, reason = "a stopwatch for the rate that is printed")]
        let started = Instant::now();
        Self { json, bar, rows: counted.rows, published: 0, skipped: 0, failed: 0, bytes: 0, started }
    }

    /// Tells of one more row.
    pub(super) fn row(&mut self, done: &Done) -> io::Result<()> {
        match &done.outcome {
            Ok(Outcome::Published) => {
                self.published += 1;
                self.bytes += done.bytes;
            }
            Ok(Outcome::Skipped) => self.skipped += 1,
            Err(fault) => {
                self.fail(done, &fault.to_string().replace('\n', " "))?;
                self.failed += 1;
            }
        }
        let at = self.published + self.skipped + self.failed;
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        self.bar.set_message(format!("{at} of {} rows{failed}", self.rows));
        Ok(())
    }

    fn fail(&self, Done { line, id, .. }: &Done, error: &str) -> io::Result<()> {
        if !self.json {
            return self.bar.suspend(|| writeln!(io::stderr(), "line {line} (id {id}): {error}"));
        }
        let mut out = io::stdout().lock();
        out.write_all(if self.failed == 0 { BEGINNING } else { b"," })?;
        Ok(serde_json::to_writer(&mut out, &json!({ "line": line, "id": id, "error": error }))?)
    }

    /// Tells what all of it came to.
    pub(super) fn end(&self) -> io::Result<()> {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        let Self { rows, published, skipped, failed, bytes, .. } = self;
        let mut out = io::stdout().lock();
        if self.json {
            out.write_all(if *failed == 0 { BEGINNING } else { b"" })?;
            return writeln!(
                out,
                "],\"rows\":{rows},\"published\":{published},\"skipped\":{skipped},\"bytes\":{bytes},\"seconds\":{seconds:.3}}}"
            );
        }
        let rate = HumanBytes((*bytes as f64 / seconds) as u64);
        let titles = *published as f64 / seconds;
        writeln!(
            out,
            "published {published} of {rows} rows, {skipped} were published before, {failed} failed"
        )?;
        writeln!(out, "{} in {seconds:.1} s, {rate}/s, {titles:.1} titles/s", HumanBytes(*bytes))
    }
}
