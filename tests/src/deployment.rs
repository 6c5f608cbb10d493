//! A licensing server of one's own: data folder, accounts, titles, started as the real program.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::peer::Peer;
use crate::process::{Running, program, run_ok};
use crate::viewer::Viewer;

/// The password of every account in tests.
pub const PASSWORD: &str = "correct horse battery staple";
/// Price of a rental in tests.
pub const PRICE: &str = "0.50USD";
/// The same in cents.
pub const PRICE_MINOR: i64 = 50;

/// What `matinee publish` made.
#[derive(Clone, Debug)]
pub struct Published {
    /// Title id.
    pub title: String,
    /// Release id.
    pub release: String,
    /// Rental plan id.
    pub plan: String,
}

/// A server with a folder of its own.
#[derive(Debug)]
pub struct Deployment {
    folder: TempDir,
    store: Option<String>,
    environment: Vec<(String, String)>,
    process: Option<Running>,
    address: Option<String>,
}

impl Deployment {
    /// A new, started server on SQLite.
    pub async fn start() -> Self {
        Self::start_on(None).await
    }

    /// A new, started server on the store at this URL (`None`: SQLite in its folder).
    pub async fn start_on(store: Option<String>) -> Self {
        Self::start_with(store, Vec::new()).await
    }

    /// The same with these variables in its environment.
    pub async fn start_with(store: Option<String>, environment: Vec<(String, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut deployment = Self { folder, store, environment, process: None, address: None };
        run_ok(deployment.command(&["init"]), "").await;
        deployment.serve().await;
        deployment
    }

    /// The same under a name, `http://localhost:port`, as passkeys and cookies over providers want it.
    pub async fn start_named(store: Option<String>, mut environment: Vec<(String, String)>) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = free.local_addr().expect("a listener has an address");
        drop(free);
        let name = format!("http://localhost:{}", address.port());
        environment.push(("MATINEE_SERVER__PUBLIC_URL".to_owned(), name));
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let address = Some(address.to_string());
        let mut deployment = Self { folder, store, environment, process: None, address };
        run_ok(deployment.command(&["init"]), "").await;
        deployment.serve().await;
        deployment
    }

    /// How browsers reach a server that was started under a name.
    pub fn named_url(&self) -> String {
        self.url().replace("127.0.0.1", "localhost")
    }

    /// The server's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of the server's store.
    pub fn store_address(&self) -> String {
        let own = || format!("sqlite:{}", self.data().join("matinee.db").display());
        self.store.clone().unwrap_or_else(own)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address.as_deref().expect("the server was started"))
    }

    /// `matinee <words>` on this server's data folder and store.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("matinee"));
        command.args(words).arg("--data-dir").arg(self.data());
        if let Some(store) = &self.store {
            command.arg("--store").arg(store);
        }
        command.env_remove("RUST_LOG");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the server; again on the address it had.
    pub async fn serve(&mut self) {
        let listen = self.address.clone().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let (process, address) = self.listen_on(&listen).await;
        self.address = Some(address);
        self.process = Some(process);
    }

    /// The running server, for a test that kills it and starts it again beside its other work.
    pub fn take_process(&mut self) -> Running {
        self.process.take().expect("the server runs")
    }

    /// Starts the server again on the address it had.
    pub async fn start_process(&self) -> Running {
        let listen = self.address.clone().expect("the server was started before");
        self.listen_on(&listen).await.0
    }

    async fn listen_on(&self, listen: &str) -> (Running, String) {
        let mut command = self.command(&["serve"]);
        command.args(["--listen", listen]).env("RUST_LOG", "warn");
        let mut process = Running::start(command);
        let address = process
            .wait_line("readiness line", |line| {
                line.strip_prefix("matinee listening on http://").map(|address| address.trim().to_owned())
            })
            .await;
        (process, address)
    }

    /// Kills the server as a power cut would.
    pub async fn kill(&mut self) {
        self.process.take().expect("the server runs").kill().await;
    }

    /// The server's process.
    pub fn process(&mut self) -> &mut Running {
        self.process.as_mut().expect("the server runs")
    }

    /// Adds an account with a role.
    pub async fn add_account(&self, email: &str, role: &str) {
        let words = ["account", "add", "--email", email, "--role", role, "--password-stdin"];
        run_ok(self.command(&words), PASSWORD).await;
    }

    /// Publishes files under a rental plan with so many views.
    pub async fn publish(&self, title: &str, files: &[&Path], views: u32) -> Published {
        let views = views.to_string();
        let mut command = self.command(&["publish"]);
        command.args(files);
        command.args(["--title", title, "--publisher", "Blender Foundation", "--rental", PRICE]);
        command.args(["--views", &views, "--json"]);
        let printed = run_ok(command, "").await;
        let last = printed.lines().last().expect("publish prints a line");
        let ids: Value = serde_json::from_str(last).expect("publish prints JSON");
        let id = |name: &str| ids[name].as_str().unwrap_or_else(|| panic!("no {name} in {last}")).to_owned();
        Published { title: id("title"), release: id("release"), plan: id("plan") }
    }

    /// A viewer with ten dollars in the wallet, on a device of its own.
    pub async fn viewer(&self, email: &str) -> Viewer {
        let viewer = Viewer::sign_up(&self.url(), email).await;
        viewer.top_up(1_000).await;
        viewer
    }

    /// A native peer signed in as this account, not yet doing anything.
    pub async fn peer(&self, email: &str) -> Peer {
        Peer::sign_in(&self.url(), email, self.folder.path()).await
    }

    /// Every account of the ledger, and that they sum to zero.
    pub async fn check_ledger(&self) -> Value {
        let printed = run_ok(self.command(&["ledger", "check", "--json"]), "").await;
        let balance: Value = serde_json::from_str(printed.trim()).expect("ledger check prints JSON");
        assert_eq!(balance["sum_minor"], 0, "{balance}");
        balance
    }
}

/// Waits until `check` gives something, asking ten times a second.
pub async fn wait_until<T, F: Future<Output = Option<T>>>(
    what: &str,
    patience: Duration,
    mut check: impl FnMut() -> F,
) -> T {
    let waited = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}: not within {patience:?}"))
}
