//! What a command prints: lines for people, or one JSON object a line.

use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::Failure;

/// Standard output in one of two forms. Standard error carries progress, warnings and failures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// Prints `event` with its fields, or `line` for people; an empty line is not printed.
    pub(super) fn event(self, event: &str, fields: Value, line: &str) {
        if self.json {
            let mut object = json!({"event": event});
            if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
                object.extend(fields);
            }
            self.print(&object.to_string());
        } else if !line.is_empty() {
            self.print(line);
        }
    }

    /// Prints an event in JSON only.
    pub(super) fn machine(self, event: &str, fields: Value) {
        self.event(event, fields, "");
    }

    /// Says why the command failed and gives the exit status.
    pub(super) fn failed(self, failure: &Failure) -> ExitCode {
        self.machine("error", json!({"code": failure.code, "detail": failure.detail}));
        let _ = writeln!(std::io::stderr(), "matinee-peer: {} [{}]", one_line(&failure.detail), failure.code);
        failure.exit()
    }

    fn print(self, line: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe ends the reader's interest, not the seeding.
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}

/// Text that came from elsewhere, fit for a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
