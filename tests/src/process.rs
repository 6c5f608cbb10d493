//! The project's own programs as child processes: found, started, read line by line, ended by their id.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// How long a program may take to say a line that is waited for.
pub const LINE_WAIT: Duration = Duration::from_secs(60);

/// Where `cargo build` put a program of this workspace: beside the test that runs.
pub fn program(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("a test knows its own path");
    while folder.pop() {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return candidate;
        }
    }
    panic!("{name} is not built; run `cargo build -p matinee-server -p matinee-peer` first");
}

/// A program that was started, with the lines it wrote. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Starts a command and begins to read its output.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let (to, lines) = mpsc::unbounded_channel();
        tokio::spawn(read_lines(child.stdout.take().expect("stdout is piped"), to.clone()));
        tokio::spawn(read_lines(child.stderr.take().expect("stderr is piped"), to));
        Self { child, lines, seen: Vec::new() }
    }

    /// Waits for a line for which `take` gives something.
    pub async fn wait_line<T>(&mut self, what: &str, take: impl FnMut(&str) -> Option<T>) -> T {
        self.wait_line_within(LINE_WAIT, what, take).await
    }

    /// The same with a time of the caller's own, for what moves gigabytes.
    pub async fn wait_line_within<T>(
        &mut self,
        wait: Duration,
        what: &str,
        mut take: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let waited = tokio::time::timeout(wait, async {
            while let Some(line) = self.lines.recv().await {
                let taken = take(&line);
                self.seen.push(line);
                if taken.is_some() {
                    return taken;
                }
            }
            None
        });
        match waited.await {
            Ok(Some(taken)) => taken,
            _ => panic!("no {what} in the program's output:\n{}", self.seen.join("\n")),
        }
    }

    /// Every line so far.
    pub fn output(&mut self) -> String {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push(line);
        }
        self.seen.join("\n")
    }

    /// Kills the program as a power cut would, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the program can be killed");
    }

    /// Asks it to end, as Ctrl-C does, and waits for its exit code.
    pub async fn interrupt(&mut self) -> Option<i32> {
        if let Some(id) = self.child.id() {
            let sent = Command::new("kill").args(["-INT", &id.to_string()]).status().await;
            sent.expect("kill runs");
        }
        self.wait().await
    }

    /// Waits for its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let waited = tokio::time::timeout(LINE_WAIT * 3, self.child.wait()).await;
        waited
            .unwrap_or_else(|_| panic!("the program did not end:\n{}", self.output()))
            .expect("it is our child")
            .code()
    }

    /// Waits for its exit code, however long it works.
    pub async fn finish(&mut self) -> Option<i32> {
        self.child.wait().await.expect("it is our child").code()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the program runs")
    }
}

async fn read_lines(from: impl AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if to.send(line).is_err() {
            return;
        }
    }
}

/// What a command that ended gave.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end with `input` on its standard input.
pub async fn run(mut command: Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that does not read its input closes the pipe; that is its right.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("the program can be waited for");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a command that must end well, and gives its standard output.
pub async fn run_ok(command: Command, input: &str) -> String {
    let shown = format!("{command:?}");
    let ended = run(command, input).await;
    assert_eq!(ended.code, Some(0), "{shown}\n{}\n{}", ended.stdout, ended.stderr);
    ended.stdout
}
