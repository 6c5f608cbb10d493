//! A private PostgreSQL cluster for one test run: its own folder, a Unix socket, no port, no waiting for the disk.
//!
//! Tests that run at the same time share one; it is stopped and removed when the last of them lets go.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use tempfile::TempDir;

/// Where Debian keeps the server's programs, one folder a version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The system account that runs the server where we are root, which PostgreSQL refuses to be.
const SYSTEM_ACCOUNT: &str = "postgres";
/// Settings of a cluster that loses nothing worth keeping: no waiting for the disk, room for many tests at once.
const HASTY: [&str; 4] = ["-c", "fsync=off", "-c", "max_connections=300"];
/// How often a starting server is asked.
const STARTS_MAX: u32 = 200;

/// The server's log in the cluster's folder.
const LOG: &str = "log";
/// Lines at its end that are shown where a test fails.
const LOG_LINES_SHOWN: usize = 60;

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    settings: Vec<String>,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
}

impl Cluster {
    /// The cluster of this test run, started if need be.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start(&HASTY));
        *shared = Arc::downgrade(&started);
        started
    }

    /// Starts one with these settings beside the installed version's own.
    pub fn start(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("matinee-pg-").tempdir().expect("a folder can be made");
        if is_root() {
            run(Command::new("chown").arg(format!("{SYSTEM_ACCOUNT}:")).arg(folder.path()));
        }
        let programs = programs();
        let data = folder.path().join("data");
        run(as_account(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "--pgdata",
            ])
            .arg(&data));
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let cluster = Self { folder, settings, server: Mutex::new(None), databases: AtomicU32::new(0) };
        cluster.serve();
        cluster
    }

    /// Starts the server and waits until it answers.
    fn serve(&self) {
        let programs = programs();
        let server = as_account(&programs.join("postgres"))
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses="])
            .args(&self.settings)
            .stdout(Stdio::null())
            .stderr(self.log().expect("a log can be written"))
            .spawn()
            .expect("postgres starts");
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        for _ in 0..STARTS_MAX {
            let ready = Command::new(programs.join("pg_isready")).arg("-qh").arg(self.folder.path()).status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("postgres does not answer");
    }

    /// Where the server writes what it has to say.
    fn log(&self) -> std::io::Result<std::fs::File> {
        std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join(LOG))
    }

    /// Cuts every connection off, loses nothing that was committed, and is there again.
    #[allow(dead_code, reason = "not every test that has a cluster restarts it")]
    pub fn restart(&self) {
        self.stop();
        self.serve();
    }

    /// An immediate stop, by the id of our own child: without a checkpoint, as if it had crashed.
    fn stop(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut server) = server {
            drop(Command::new("kill").args(["-QUIT", &server.id().to_string()]).status());
            drop(server.wait());
        }
    }

    /// The address of a new, empty database.
    pub async fn database(&self) -> String {
        let name = format!("matinee_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let options: PgConnectOptions = self.address("postgres").parse().expect("an address");
        let mut connection = options.connect().await.expect("postgres takes connections");
        let create = sqlx::AssertSqlSafe(format!("create database {name}"));
        connection.execute(sqlx::raw_sql(create)).await.expect("a database can be made");
        self.address(&name)
    }

    fn address(&self, database: &str) -> String {
        let folder = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}/{database}")
    }
}

impl Drop for Cluster {
    /// Whoever fails is shown what the server has to say to it.
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking()
            && let Ok(log) = std::fs::read_to_string(self.folder.path().join(LOG))
        {
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            eprintln!("PostgreSQL's log ends with:\n{}", last.join("\n"));
        }
    }
}

/// The newest installed version's programs.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).expect("PostgreSQL is installed in /usr/lib/postgresql");
    let mut found: Vec<PathBuf> = versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").is_file());
    found.sort();
    found.pop().expect("PostgreSQL's server programs are installed")
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    id.stdout.starts_with(b"0\n")
}

/// A program, run as the system account where we are root. The process id stays the program's own.
fn as_account(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={SYSTEM_ACCOUNT}"));
    command.arg(format!("--regid={SYSTEM_ACCOUNT}")).args(["--init-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a program starts");
    let status = child.wait().expect("our child ends");
    let mut said = String::new();
    drop(child.stderr.take().expect("stderr is piped").read_to_string(&mut said));
    assert!(status.success(), "{command:?}: {said}");
}
