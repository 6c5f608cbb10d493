//! What commands stand on: state folder, device, server.

use std::sync::Arc;
use std::time::Duration;

use matinee_engine::Want;

use super::failure::Failure;
use super::{Global, Joining};
use crate::banned::Banned;
use crate::device::Device;
use crate::net::api::{Api, normalize_server};
use crate::net::proof::Prover;
use crate::opened::Options;
use crate::state::StateDir;
use crate::storage::Cache;

/// Time for the last word to a server when a command ends.
pub(super) const FAREWELL_WAIT: Duration = Duration::from_secs(4);

/// State folder, device, and the server that was named.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) state: StateDir,
    pub(super) device: Arc<Device>,
    server: Option<String>,
}

impl Context {
    pub(super) fn open(global: Global) -> Result<Self, Failure> {
        let state = StateDir::open(global.state_dir)?;
        let device = Arc::new(Device::load_or_create(&state)?);
        let server = global.server.map(|url| normalize_server(&url)).transpose()?;
        Ok(Self { state, device, server })
    }

    /// A client of the server at `url`.
    pub(super) fn api_at(&self, url: &str, session: Option<String>) -> Result<Api, Failure> {
        Ok(Api::new(url, session, Prover::new(Arc::clone(&self.device)))?)
    }

    /// The server that commands use.
    pub(super) fn server(&self) -> Result<String, Failure> {
        let servers = self.state.servers()?;
        self.server.clone().or(servers.current).ok_or_else(|| {
            Failure::usage(
                "server_missing",
                "no server is known; run matinee-peer login URL, or name one with --server",
            )
        })
    }

    /// A client of that server, signed in if there is a sign-in.
    pub(super) fn api(&self) -> Result<Api, Failure> {
        let server = self.server()?;
        let session = self.state.servers()?.servers.get(&server).map(|kept| kept.session_token.clone());
        self.api_at(&server, session)
    }

    /// A client of that server with a sign-in.
    pub(super) fn signed_in(&self) -> Result<Api, Failure> {
        self.signed_in_at(&self.server()?)
    }

    /// A client of the server at `url` with a sign-in.
    pub(super) fn signed_in_at(&self, server: &str) -> Result<Api, Failure> {
        let kept = self.state.servers()?.servers.get(server).map(|kept| kept.session_token.clone());
        let session = kept.ok_or_else(|| {
            Failure::other(
                "sign_in_missing",
                &format!("not signed in at {server}; run matinee-peer login {server}"),
            )
        })?;
        self.api_at(server, Some(session))
    }

    /// How to use releases, with the cache taken for this process.
    pub(super) fn options(&self, joining: &Joining, pin: bool, want: Want) -> Result<Options, Failure> {
        Ok(Options {
            cache: Cache::open(&self.state.cache(), joining.cache_bytes)?,
            banned: Banned::load(&self.state)?,
            bind: joining.bind.clone(),
            pin,
            upload_bytes_per_s_max: joining.upload_bytes_per_s,
            peers_max: joining.peers_max,
            origin: joining.origin.into(),
            want,
        })
    }
}

/// Waits for Ctrl-C, or SIGTERM.
pub(super) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
