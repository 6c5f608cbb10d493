//! Real browsers, driven from Rust tests.
//!
//! A [`Browser`] is one Node process running `tests/browser/driver.mjs`, which holds one Chromium or Firefox.
//! Requests and answers are JSON lines with an id, so several pages of a browser can be waited for at once.
//! When the value is dropped the driver's stdin closes, and it closes the browser and ends itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), matinee_tests::browser::Error> {
//! use matinee_tests::browser::{Browser, Kind};
//! use serde_json::json;
//! use std::time::Duration;
//!
//! let browser = Browser::launch(Kind::Chromium).await?;
//! let page = browser.page("http://127.0.0.1:8080/").await?;
//! let sum: i64 = page.eval("return args.a + args.b", json!({ "a": 1, "b": 2 })).await?;
//! page.wait_for("return document.querySelector('video')?.readyState >= 3", Duration::from_secs(20)).await?;
//! # Ok(()) }
//! ```

mod page;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

pub use page::Page;

/// How long one operation may take when nothing else is said, in milliseconds.
const OPERATION_MS_MAX: u64 = 30_000;
/// How long a browser may take to start on a busy machine, in milliseconds.
const LAUNCH_MS_MAX: u64 = 90_000;
/// What the driver's own timeout is given before this side stops waiting, in milliseconds.
const ANSWER_SLACK_MS: u64 = 5_000;

/// Why a browser did not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// The driver could not be started: Node or its packages are missing.
    Start(std::io::Error),
    /// The driver ended or closed its pipe.
    Gone,
    /// Nothing was answered in time; the operation is named.
    Late(String),
    /// The browser answered with an error, shown as it came.
    Refused {
        /// The operation that was asked for.
        operation: String,
        /// What the driver said.
        message: String,
    },
    /// The answer had another shape than expected.
    Shape(serde_json::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start(cause) => {
                write!(f, "start the browser driver (run `cargo xtask setup` once): {cause}")
            }
            Self::Gone => write!(f, "the browser driver ended; its own words are on stderr above"),
            Self::Late(operation) => write!(f, "{operation}: no answer from the browser driver"),
            Self::Refused { operation, message } => write!(f, "{operation}: {message}"),
            Self::Shape(cause) => write!(f, "the browser's answer has another shape: {cause}"),
        }
    }
}

impl std::error::Error for Error {}

/// Which browser to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Chromium from the system's packages.
    Chromium,
    /// Firefox ESR from the system's packages.
    Firefox,
}

impl Kind {
    /// Both, for a test that walks them.
    pub const ALL: [Self; 2] = [Self::Chromium, Self::Firefox];

    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }
}

/// One line that a page wrote.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
pub struct LogLine {
    /// `log`, `warning`, `error`, `pageerror`, `requestfailed`, `crash`; from a service worker `worker …`.
    pub kind: String,
    /// What was written.
    pub text: String,
}

type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>>;

#[derive(Debug)]
struct Link {
    stdin: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    id_next: AtomicU64,
    // Held so that the process is reaped; never killed, it ends by itself when stdin closes.
    _child: Child,
}

#[derive(Debug, Deserialize)]
struct Answer {
    id: Option<u64>,
    #[serde(default)]
    value: Value,
    error: Option<String>,
}

impl Link {
    async fn start() -> Result<Arc<Self>, Error> {
        let folder = driver_folder();
        let mut child = Command::new("node")
            .arg(folder.join("driver.mjs"))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(Error::Start)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Gone);
        };
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        tokio::spawn(read_answers(stdout, Arc::clone(&waiting)));
        Ok(Arc::new(Self {
            stdin: tokio::sync::Mutex::new(stdin),
            waiting,
            id_next: AtomicU64::new(1),
            _child: child,
        }))
    }

    /// Sends one request and waits for its answer, `ms_max` as told to the driver and a little more here.
    async fn ask(&self, operation: &str, mut request: Value, ms_max: u64) -> Result<Value, Error> {
        let id = self.id_next.fetch_add(1, Ordering::Relaxed);
        request["id"] = json!(id);
        request["op"] = json!(operation);
        request["timeout"] = json!(ms_max);
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().map_err(|_| Error::Gone)?.as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(Error::Gone),
        };
        let line = format!("{request}\n");
        let mut stdin = self.stdin.lock().await;
        stdin.write_all(line.as_bytes()).await.map_err(|_| Error::Gone)?;
        stdin.flush().await.map_err(|_| Error::Gone)?;
        drop(stdin);
        let patience = Duration::from_millis(ms_max + ANSWER_SLACK_MS);
        match tokio::time::timeout(patience, receiver).await {
            Err(_) => Err(Error::Late(operation.to_owned())),
            Ok(Err(_)) => Err(Error::Gone),
            Ok(Ok(Err(message))) => Err(Error::Refused { operation: operation.to_owned(), message }),
            Ok(Ok(Ok(value))) => Ok(value),
        }
    }
}

async fn read_answers(stdout: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(answer) = serde_json::from_str::<Answer>(&line) else {
            eprintln!("browser driver: {line}");
            continue;
        };
        let sender = match (waiting.lock(), answer.id) {
            (Ok(mut waiting), Some(id)) => waiting.as_mut().and_then(|waiting| waiting.remove(&id)),
            _ => None,
        };
        if let Some(sender) = sender {
            // Nobody listens any more when the asker timed out.
            let _ = sender.send(answer.error.map_or(Ok(answer.value), Err));
        }
    }
    if let Ok(mut waiting) = waiting.lock() {
        // Dropping the senders tells everybody who still waits.
        waiting.take();
    }
}

fn driver_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

fn named(value: &Value, key: &str) -> Result<String, Error> {
    String::deserialize(&value[key]).map_err(Error::Shape)
}

/// A running browser with one profile of its own open.
#[derive(Debug, Clone)]
pub struct Browser {
    link: Arc<Link>,
    name: Option<String>,
    profile: Profile,
    /// The version the browser reports.
    pub version: String,
}

impl Browser {
    /// Starts a browser, invisible, with a fresh profile that is gone afterwards.
    pub async fn launch(kind: Kind) -> Result<Self, Error> {
        let link = Link::start().await?;
        let launched = link.ask("launch", json!({ "browser": kind.name() }), LAUNCH_MS_MAX).await?;
        let name = named(&launched, "browser")?;
        let profile = Profile::open(&link, &name, json!({})).await?;
        Ok(Self { link, name: Some(name), profile, version: named(&launched, "version")? })
    }

    /// Starts a browser whose profile lives in `folder`, so that what it keeps outlasts the process.
    pub async fn launch_in(kind: Kind, folder: &Path) -> Result<Self, Error> {
        let link = Link::start().await?;
        let request = json!({ "browser": kind.name(), "userDataDir": folder });
        let launched = link.ask("launch", request, LAUNCH_MS_MAX).await?;
        let profile = Profile { link: Arc::clone(&link), name: named(&launched, "profile")? };
        Ok(Self { link, name: None, profile, version: named(&launched, "version")? })
    }

    /// The profile that [`Browser::page`] opens pages in.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Opens another, isolated profile: another viewer on another device.
    /// Not possible in a browser started by [`Browser::launch_in`].
    pub async fn new_profile(&self) -> Result<Profile, Error> {
        let Some(name) = &self.name else {
            return Err(Error::Refused {
                operation: "profile".to_owned(),
                message: "a browser with a kept profile has only that one".to_owned(),
            });
        };
        Profile::open(&self.link, name, json!({})).await
    }

    /// Opens `url` in the browser's own profile.
    pub async fn page(&self, url: &str) -> Result<Page, Error> {
        self.profile.page(url).await
    }

    /// Closes the browser and waits until it is gone.
    pub async fn close(self) -> Result<(), Error> {
        let name = self.name.unwrap_or(self.profile.name);
        self.link.ask("close", json!({ "name": name }), OPERATION_MS_MAX).await.map(drop)
    }
}

/// An isolated set of cookies, storage and service workers.
#[derive(Debug, Clone)]
pub struct Profile {
    link: Arc<Link>,
    name: String,
}

impl Profile {
    async fn open(link: &Arc<Link>, browser: &str, options: Value) -> Result<Self, Error> {
        let request = json!({ "browser": browser, "options": options });
        let opened = link.ask("profile", request, OPERATION_MS_MAX).await?;
        Ok(Self { link: Arc::clone(link), name: named(&opened, "profile")? })
    }

    /// Opens `url` in a new page and waits for its load event.
    pub async fn page(&self, url: &str) -> Result<Page, Error> {
        let request = json!({ "profile": self.name, "url": url });
        let opened = self.link.ask("page", request, OPERATION_MS_MAX).await?;
        Ok(Page::new(Arc::clone(&self.link), named(&opened, "page")?))
    }

    /// Cuts the network off, or brings it back.
    pub async fn set_offline(&self, offline: bool) -> Result<(), Error> {
        let request = json!({ "profile": self.name, "offline": offline });
        self.link.ask("offline", request, OPERATION_MS_MAX).await.map(drop)
    }

    /// What the profile's service workers wrote.
    pub async fn logs(&self) -> Result<Vec<LogLine>, Error> {
        let lines = self.link.ask("logs", json!({ "profile": self.name }), OPERATION_MS_MAX).await?;
        serde_json::from_value(lines).map_err(Error::Shape)
    }

    /// Closes every page of the profile and forgets it.
    pub async fn close(self) -> Result<(), Error> {
        self.link.ask("close", json!({ "name": self.name }), OPERATION_MS_MAX).await.map(drop)
    }
}

fn millis(patience: Duration) -> u64 {
    u64::try_from(patience.as_millis()).unwrap_or(u64::MAX / 2)
}
