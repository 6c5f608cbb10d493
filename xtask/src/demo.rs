//! `cargo xtask demo`: a server, what it serves, and peers around it, started in order and ended together.
//!
//! Each process writes to a log of its own under `.demo/`, says when it is ready by a line that is waited for,
//! and is ended by its own id: first asked (SIGTERM), then, if it does not go, killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::house;
use crate::progress::{Done, Step, Steps, Stopwatch};
use crate::run::{Failure, Program};
use crate::setup::{self, Group};
use crate::{wasm, web};

const READY_S_MAX: u64 = 60;
const GOODBYE_S_MAX: u64 = 10;
const POLL_MS: u64 = 100;
const LOG_TAIL_LINES: usize = 30;

/// How to show it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Start, look whether everything answers, and end again
    #[arg(long)]
    check: bool,
    /// Port of the server
    #[arg(long, default_value_t = 8080)]
    port: u16,
}

/// Builds, starts, tells where to look, waits for Ctrl-C, ends.
pub(crate) fn run(options: &Options) -> bool {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(cause) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            println!("demo: Ctrl-C cannot be watched for: {cause}");
            return false;
        }
    }
    let mut house = Household {
        folder: house::root().join(".demo"),
        running: Vec::new(),
        stop,
    };
    let mut steps = Steps::new(5);
    let up = steps.run("setup", |step| setup::ensure(&[Group::Node, Group::Film], step))
        && steps.run("wasm", wasm::build)
        && steps.run("web", web::build)
        && steps.run("build", |step| {
            Program::cargo()
                .args(["build", "-p", "matinee-server", "-p", "matinee-peer", "--bins"])
                .run(step)?;
            Ok(Done::one("matinee, matinee-peer"))
        })
        && steps.run("start", |step| start(&mut house, options, step));
    if up && !options.check {
        println!(
            "\nMatinee is at http://127.0.0.1:{}/ and logs to .demo/; Ctrl-C ends it.",
            options.port
        );
        house.watch();
    }
    let ended = house.end();
    up && ended
}

/// The order of things: the server, then what it serves, then peers around it.
fn start(house: &mut Household, options: &Options, step: &Step) -> Result<Done, Failure> {
    std::fs::create_dir_all(&house.folder)?;
    let address = format!("127.0.0.1:{}", options.port);

    step.tell("server");
    let data = house.folder.join("server");
    let mut server = binary("matinee");
    server
        .arg("serve")
        .env("MATINEE_LISTEN", &address)
        .env("MATINEE_DATA", &data);
    house.start("server", server, "listening")?;

    step.tell("the server answers");
    let status = http_status(&address, "/healthz")?;
    if status != 200 {
        return Err(Failure::new(format!(
            "http://{address}/healthz answered {status}"
        )));
    }
    Ok(Done::one(format!("{} processes", house.running.len())))
}

fn binary(name: &str) -> Command {
    Command::new(house::target().join("debug").join(name))
}

/// The processes that were started here.
struct Household {
    folder: PathBuf,
    running: Vec<Process>,
    stop: Arc<AtomicBool>,
}

struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Household {
    /// Starts a program and waits until one of its lines has `ready` in it. That line is returned.
    fn start(&mut self, name: &str, mut command: Command, ready: &str) -> Result<String, Failure> {
        let log = self.folder.join(format!("{name}.log"));
        let file = Arc::new(Mutex::new(File::create(&log)?));
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own: Ctrl-C at the terminal reaches this program alone, which then ends the others in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .spawn()
            .map_err(|cause| Failure::new(format!("{name} cannot be started: {cause}")))?;
        let (sender, receiver) = channel();
        if let Some(stdout) = child.stdout.take() {
            copy(stdout, Arc::clone(&file), sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            copy(stderr, file, sender);
        }
        self.running.push(Process {
            name: name.to_owned(),
            child,
            log,
        });
        self.wait_for_line(name, ready, &receiver)
    }

    fn wait_for_line(&self, name: &str, ready: &str, lines: &Receiver<String>) -> Result<String, Failure> {
        let watch = Stopwatch::start();
        loop {
            match lines.recv_timeout(Duration::from_millis(POLL_MS)) {
                Ok(line) if line.contains(ready) => return Ok(line),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.trouble(name, "ended at once")),
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(Failure::new("stopped"));
            }
            if watch.elapsed() > Duration::from_secs(READY_S_MAX) {
                return Err(self.trouble(name, &format!("did not say `{ready}` within {READY_S_MAX} s")));
            }
        }
    }

    fn trouble(&self, name: &str, what: &str) -> Failure {
        let log = self
            .running
            .iter()
            .find(|process| process.name == name)
            .map(|process| process.log.as_path());
        Failure {
            message: format!("{name} {what}"),
            tail: log.map(last_lines).unwrap_or_default(),
            checks_failed: 1,
        }
    }

    /// Until Ctrl-C, or until a process ends by itself.
    fn watch(&mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            for process in &mut self.running {
                if let Ok(Some(status)) = process.child.try_wait() {
                    println!(
                        "{} ended with {status}; its log is {}",
                        process.name,
                        house::shown(&process.log)
                    );
                    return;
                }
            }
            thread::sleep(Duration::from_millis(POLL_MS));
        }
    }

    /// Ends what runs, the last started first; whether all went when asked.
    fn end(&mut self) -> bool {
        let mut all_went = true;
        while let Some(mut process) = self.running.pop() {
            if let Ok(Some(_)) = process.child.try_wait() {
                continue;
            }
            if let Some(id) = rustix::process::Pid::from_raw(process.child.id().cast_signed()) {
                // It may have gone in between, which is what is wanted.
                let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
            }
            let watch = Stopwatch::start();
            while let Ok(None) = process.child.try_wait() {
                if watch.elapsed() > Duration::from_secs(GOODBYE_S_MAX) {
                    println!("{} did not end when asked and was killed", process.name);
                    all_went = false;
                    let _ = process.child.kill();
                    let _ = process.child.wait();
                    break;
                }
                thread::sleep(Duration::from_millis(POLL_MS));
            }
        }
        all_went
    }
}

impl Drop for Household {
    fn drop(&mut self) {
        self.end();
    }
}

/// Copies a stream to the log, and to whoever waits for a line.
fn copy(stream: impl Read + Send + 'static, log: Arc<Mutex<File>>, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            if let Ok(mut log) = log.lock() {
                // A full disk costs the log, not the demonstration.
                let _ = writeln!(log, "{line}");
            }
            // Nobody waits any more once the process is ready.
            let _ = lines.send(line);
        }
    });
}

fn last_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].to_vec()
}

/// The status of a plain GET.
fn http_status(address: &str, path: &str) -> Result<u16, Failure> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(GOODBYE_S_MAX)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| Failure::new(format!("http://{address}{path} answered no HTTP")))
}
