//! Running other programs: quietly, with their last line shown, their whole output kept in a file.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::house;
use crate::progress::{Step, Stopwatch};

/// Lines of a failed program's output that are shown.
const TAIL_LINES_MAX: usize = 80;
const HEAD_LINES_MAX: usize = 10;
const POLL_MS: u64 = 100;

/// Why a step could not be done: one line, and the end of what the program said.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line that says what to do.
    pub(crate) message: String,
    /// The last lines of the output.
    pub(crate) tail: Vec<String>,
    /// How many checks failed, at least one.
    pub(crate) checks_failed: usize,
}

impl Failure {
    /// A failure without output.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), tail: Vec::new(), checks_failed: 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Self {
        Self::new(cause.to_string())
    }
}

/// A program about to be run.
pub(crate) struct Program {
    command: Command,
    name: String,
    timeout: Option<Duration>,
}

impl Program {
    /// A program found on the path, run in the repository's root unless told otherwise.
    pub(crate) fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command.current_dir(house::root());
        forget_outer_cargo(&mut command);
        Self { command, name: name.to_owned(), timeout: None }
    }

    /// The `cargo` that runs this.
    pub(crate) fn cargo() -> Self {
        let mut program = Self::new("cargo");
        program.command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
        program
    }

    /// Adds arguments.
    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs in another folder.
    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Gives up, and ends the program, after that long.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs to the end and returns what was written, or what went wrong.
    pub(crate) fn run(mut self, step: &Step) -> Result<Vec<String>, Failure> {
        let watch = Stopwatch::start();
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(|cause| {
            Failure::new(format!("{} cannot be started ({cause}): run `cargo xtask setup`", self.name))
        })?;
        let (sender, receiver) = channel();
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, sender);
        }
        let mut lines = Vec::new();
        if let Err(late) = self.collect(&receiver, &watch, step, &mut lines) {
            child.kill()?;
            child.wait()?;
            return Err(Failure { tail: tail(&lines), ..late });
        }
        let status = child.wait()?;
        keep_log(step, &self.command, &lines);
        if status.success() {
            return Ok(lines);
        }
        let message = format!("{} ended with {status}", shown(&self.command));
        Err(Failure { message, tail: tail(&lines), checks_failed: 1 })
    }

    fn collect(
        &self,
        receiver: &Receiver<String>,
        watch: &Stopwatch,
        step: &Step,
        lines: &mut Vec<String>,
    ) -> Result<(), Failure> {
        loop {
            match receiver.recv_timeout(Duration::from_millis(POLL_MS)) {
                Ok(line) => {
                    step.say(&line);
                    lines.push(line);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => step.beat(),
            }
            if let Some(timeout) = self.timeout
                && watch.elapsed() > timeout
            {
                let message = format!("{} took longer than {} s", shown(&self.command), timeout.as_secs());
                return Err(Failure::new(message));
            }
        }
    }

    /// Starts it with this process's own terminal.
    pub(crate) fn spawn(mut self) -> Result<std::process::Child, Failure> {
        let name = self.name;
        self.command.spawn().map_err(|cause| Failure::new(format!("{name} cannot be started: {cause}")))
    }

    /// Runs with this process's own terminal, for what a person watches.
    pub(crate) fn run_in_front(mut self) -> Result<(), Failure> {
        let status = self.command.status()?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new(format!("{} ended with {status}", self.name)))
        }
    }

    /// Whether the program exists and ends well, without a word.
    pub(crate) fn succeeds(mut self) -> bool {
        let status = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// The first line the program writes to stdout, if it ends well.
    pub(crate) fn first_line(mut self) -> Option<String> {
        let output = self.command.stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
    }
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
}

/// `cargo run` describes this package to us in variables that the programs below must not see: build scripts
/// that watch them would be run again, and another toolchain would load this one's libraries.
fn forget_outer_cargo(command: &mut Command) {
    for (key, _) in std::env::vars_os() {
        let Some(name) = key.to_str() else { continue };
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME" {
            command.env_remove(name);
        }
    }
    command.env_remove("LD_LIBRARY_PATH");
}

/// The end of an output, and its beginning, which is where npm says what is wrong.
fn tail(lines: &[String]) -> Vec<String> {
    if lines.len() <= HEAD_LINES_MAX + TAIL_LINES_MAX {
        return lines.to_vec();
    }
    let mut shown = lines[..HEAD_LINES_MAX].to_vec();
    shown.push("…".to_owned());
    shown.extend_from_slice(&lines[lines.len() - TAIL_LINES_MAX..]);
    shown
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Keeps the whole output in `target/xtask/log/`; a log that cannot be written is no reason to fail.
fn keep_log(step: &Step, command: &Command, lines: &[String]) {
    let folder = house::state().join("log");
    let path = folder.join(format!("{}.log", step.name().replace(|c: char| !c.is_alphanumeric(), "-")));
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        writeln!(file, "$ {}\n{}", shown(command), lines.join("\n"))
    });
    drop(written);
}
