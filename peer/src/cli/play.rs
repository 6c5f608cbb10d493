//! `matinee-peer play`

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use matinee_engine::Want;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex};
use matinee_protocol::manifest::Manifest;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::context::{Context, FAREWELL_WAIT, interrupted};
use super::failure::Failure;
use super::output::{Output, one_line};
use super::{Joining, figures, lease, lookup};
use crate::gateway::Gateway;
use crate::lease::Kept;
use crate::opened::offline::{OfflineRelease, OneLease};
use crate::opened::{OneRelease, OpenedRelease};
use crate::storage::Cache;

/// How long the first chunks are fetched before a player has asked for them.
const WARM_UP: Duration = Duration::from_secs(30);
/// What play consists of when it is not listed as such.
const PLAYED: [&str; 3] = ["video/", "audio/", "application/x-mpegurl"];

/// Play a title while it arrives.
#[derive(Debug, Args)]
pub(super) struct Play {
    /// Id or name of the title
    title: String,
    /// Which file of the release [default: the first film or song]
    #[arg(long, value_name = "NUMBER")]
    file: Option<u32>,
    /// Player to start; none only prints the URL
    #[arg(long, value_enum, default_value = "auto")]
    player: Player,
    /// Port of the gateway on 127.0.0.1 [default: any]
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Play what was leased, without the server; also done when it cannot be reached
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    joining: Joining,
}

/// A program that plays URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Player {
    /// The first of mpv and VLC that is installed
    Auto,
    /// mpv
    Mpv,
    /// VLC
    Vlc,
    /// Start nothing
    None,
}

impl Play {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        if self.offline {
            let kept = lease::find(&self.title, context)?.ok_or_else(|| lease::missing(&self.title))?;
            return self.offline(kept, context, *output).await;
        }
        let api = context.signed_in()?;
        let program = self.player.find()?;
        let title = match lookup::title(&api, &self.title).await {
            Err(failure) if failure.code == "network" => match lease::find(&self.title, context)? {
                Some(kept) => return self.offline(kept, context, *output).await,
                None => return Err(failure),
            },
            title => title?,
        };
        let options = context.options(&self.joining, false, Want::Nothing)?;
        let opening = lookup::open_view(&api, &title).await?;
        let release = OpenedRelease::start(api, opening, &options).await?;
        let file = self.choose(release.manifest())?;
        let gateway = Gateway::start(Arc::new(OneRelease(Arc::clone(&release))), self.port).await;
        let gateway = gateway.map_err(|error| {
            Failure::other("gateway_port", &format!("cannot listen on 127.0.0.1:{}: {error}", self.port))
        })?;
        let urls: Vec<String> = (0_u32..)
            .zip(&release.manifest().files)
            .map(|(number, about)| gateway.url(release.manifest().release, FileIndex(number), &about.name))
            .collect();
        let url = urls.get(file as usize).cloned().unwrap_or_default();
        let warm_up = tokio::spawn(warm_up(Arc::clone(&release), FileIndex(file)));
        let fields = json!({
            "command": "play", "release": release.manifest().release, "title": release.manifest().title,
            "file": file, "url": url, "urls": urls,
        });
        output.event("ready", fields, &format!("{} plays at\n{url}", one_line(&release.manifest().title)));
        let player = program.map(|program| start(program, &url, *output)).transpose()?;
        let mut over = release.swarm().over();
        let played = tokio::select! {
            () = interrupted() => Ok(()),
            ended = ended(player) => ended,
            end = over.wait_for(Option::is_some) => {
                end.ok().and_then(|end| end.as_ref().and_then(Failure::ended)).map_or(Ok(()), Err)
            }
            never = report(&release, *output) => match never {},
        };
        warm_up.abort();
        gateway.stop();
        // The view stays open, so that play can go on where it was within the same window.
        let _ = timeout(FAREWELL_WAIT, release.swarm().leave()).await;
        played
    }

    /// Plays a lease out of the cache.
    async fn offline(&self, kept: Kept, context: &Context, output: Output) -> Result<(), Failure> {
        let program = self.player.find()?;
        let cache = Cache::open(&context.state.cache(), self.joining.cache_bytes)?;
        let release = OfflineRelease::open(&context.state, Arc::clone(&context.device), &cache, kept)?;
        let manifest = Arc::clone(release.manifest());
        let file = self.choose(&manifest)?;
        let gateway = Gateway::start(Arc::new(OneLease(Arc::clone(&release))), self.port).await;
        let gateway = gateway.map_err(|error| {
            Failure::other("gateway_port", &format!("cannot listen on 127.0.0.1:{}: {error}", self.port))
        })?;
        let name = manifest.files.get(file as usize).map_or("", |about| about.name.as_str());
        let url = gateway.url(manifest.release, FileIndex(file), name);
        let fields = json!({
            "command": "play", "release": manifest.release, "title": manifest.title, "file": file, "url": url,
            "offline": true,
        });
        output.event("ready", fields, &format!("{} plays offline at\n{url}", one_line(&manifest.title)));
        let player = program.map(|program| start(program, &url, output)).transpose()?;
        let played = tokio::select! {
            () = interrupted() => Ok(()),
            ended = ended(player) => ended,
        };
        gateway.stop();
        release.note()?;
        played
    }

    fn choose(&self, manifest: &Manifest) -> Result<u32, Failure> {
        let count = u32::try_from(manifest.files.len()).unwrap_or(u32::MAX);
        match self.file {
            Some(file) if file < count => Ok(file),
            Some(file) => Err(Failure::usage("file_not_found", &format!("the release has no file {file}"))),
            None => {
                let played =
                    |media_type: &str| PLAYED.iter().any(|kind| media_type.to_lowercase().starts_with(kind));
                let first = manifest.files.iter().position(|file| played(&file.media_type));
                Ok(first.and_then(|file| u32::try_from(file).ok()).unwrap_or(0))
            }
        }
    }
}

impl Player {
    fn find(self) -> Result<Option<(Self, PathBuf)>, Failure> {
        let installed = |player: Self| Some((player, on_path(player.program()?)?));
        match self {
            Self::None => Ok(None),
            Self::Auto => Ok(installed(Self::Mpv).or_else(|| installed(Self::Vlc))),
            player => installed(player).map(Some).ok_or_else(|| {
                let name = player.program().unwrap_or_default();
                Failure::usage(
                    "player_missing",
                    &format!("{name} is not installed; use --player none for the URL alone"),
                )
            }),
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Mpv => Some("mpv"),
            Self::Vlc => Some("vlc"),
            Self::Auto | Self::None => None,
        }
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn start((player, program): (Player, PathBuf), url: &str, output: Output) -> Result<Child, Failure> {
    let mut command = Command::new(&program);
    if player == Player::Vlc {
        command.arg("--play-and-exit");
    }
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    if output.is_json() {
        command.stderr(Stdio::null());
    }
    command
        .spawn()
        .map_err(|error| Failure::other("player", &format!("cannot start {}: {error}", program.display())))
}

async fn ended(player: Option<Child>) -> Result<(), Failure> {
    let Some(mut player) = player else {
        return std::future::pending().await;
    };
    match player.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::other("player", &format!("the player ended with {status}"))),
        Err(error) => Err(Failure::other("player", &error.to_string())),
    }
}

/// Fetches the start of the file while the player is still starting.
async fn warm_up(release: Arc<OpenedRelease>, file: FileIndex) {
    if let Some(reader) = release.chunk_reader(file) {
        reader.seek(ChunkIndex(0));
        let _ = release.sealed(ChunkAddress { file, chunk: ChunkIndex(0) }, WARM_UP).await;
    }
}

async fn report(release: &OpenedRelease, output: Output) -> std::convert::Infallible {
    let mut tick = tokio::time::interval(figures::STATS_INTERVAL);
    loop {
        tick.tick().await;
        let snapshot = release.swarm().snapshots().borrow().clone();
        output.machine("stats", figures::stats(release, &snapshot));
    }
}
