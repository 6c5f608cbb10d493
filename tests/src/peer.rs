//! Native peers as real processes.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::deployment::PASSWORD;
use crate::process::{Running, program, run_ok};
use crate::viewer::nonce;

/// A native peer's own folder, signed in to a server.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `--state-dir`.
    pub state: PathBuf,
}

impl Peer {
    /// Signs in, in a new state folder under `folder`.
    pub async fn sign_in(url: &str, email: &str, folder: &Path) -> Self {
        let peer = Self { state: folder.join(format!("peer-{}", nonce())) };
        run_ok(peer.command(&["login", url, "--email", email, "--password-stdin"]), PASSWORD).await;
        peer
    }

    /// `matinee-peer <words>`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("matinee-peer"));
        command.args(words).arg("--state-dir").arg(&self.state).env_remove("RUST_LOG");
        command
    }

    /// Starts seeding and waits until the release is whole here.
    pub async fn seed(&self, release: &str) -> Running {
        let mut running = Running::start(self.command(&["seed", release, "--json"]));
        wait_event(&mut running, "complete").await;
        running
    }

    /// Starts the gateway and gives its address for the file.
    pub async fn play(&self, title: &str) -> (Running, String) {
        let mut running = Running::start(self.command(&["play", title, "--player", "none", "--json"]));
        let ready = wait_event(&mut running, "ready").await;
        let url = ready["url"].as_str().unwrap_or_else(|| panic!("no url in {ready}")).to_owned();
        (running, url)
    }
}

/// Waits for an event in a peer's JSON lines.
pub async fn wait_event(running: &mut Running, name: &str) -> Value {
    running
        .wait_line(&format!("event {name}"), |line| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == name).then_some(event)
        })
        .await
}
