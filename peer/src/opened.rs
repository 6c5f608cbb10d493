//! A release in use: membership, verified manifest, chunks, keys and the swarm, put together.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use matinee_engine::{Config, OriginPolicy, Playhead, Want};
use matinee_protocol::api::Opening;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, ReleaseId};
use matinee_protocol::limit::CHUNK_BYTES;
use matinee_protocol::manifest::{self, Manifest};
use tokio::time::timeout;

use crate::banned::Banned;
use crate::gateway::{FileAbout, Library, ReadError, Reader};
use crate::lease;
use crate::net::api::{self, Api};
use crate::net::keyring::{self, KeyRing};
use crate::net::membership::Membership;
use crate::net::origin::Origin;
use crate::net::swarm::{End, Parts, ReaderNumber, Swarm};
use crate::net::webrtc::{Endpoint, Settings, Turn};
use crate::storage::{self, Cache, Pin, Shelf};

pub mod offline;

/// Consumption speed of a file whose duration is not known.
const BYTES_PER_S_UNKNOWN: u64 = 1_000_000;
/// How much playback is fetched ahead of a reader.
const AHEAD_S: u64 = 60;
/// Chunks ahead of a reader at least.
const AHEAD_CHUNKS_MIN: u64 = 16;
/// Chunks ahead of a reader at most: half of the memory, so that it also works without a disk.
const AHEAD_CHUNKS_MAX: u64 = 128;
/// Longest wait of a reader for one chunk.
const CHUNK_WAIT: Duration = Duration::from_secs(90);

/// Why a release could not be put to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The cache.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The manifest does not stand.
    #[error("the manifest was refused: {0}")]
    Manifest(#[from] manifest::Error),
    /// It is the manifest of another release.
    #[error("the server gave the manifest of another release")]
    OtherRelease,
    /// No UDP socket.
    #[error(transparent)]
    Transport(#[from] crate::net::Error),
    /// The first license.
    #[error(transparent)]
    Keys(#[from] keyring::Error),
    /// A lease that does not play.
    #[error(transparent)]
    Lease(#[from] lease::Error),
    /// A leased release that was not fetched.
    #[error(
        "the leased release is not in the cache; run matinee-peer lease take while the server can be reached"
    )]
    NotHere,
}

/// How to use a release.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where chunks are kept.
    pub cache: Arc<Cache>,
    /// Devices that are refused.
    pub banned: Arc<Banned>,
    /// Local addresses for peers; none stands for every interface except loopback.
    pub bind: Vec<IpAddr>,
    /// Whether its chunks must not be evicted.
    pub pin: bool,
    /// Own upload cap, besides the server's.
    pub upload_bytes_per_s_max: Option<u64>,
    /// Peers at most.
    pub peers_max: Option<usize>,
    /// Use of the origin.
    pub origin: OriginPolicy,
    /// What to get at first, besides what readers need.
    pub want: Want,
}

/// A release in use.
#[derive(Debug)]
pub struct OpenedRelease {
    membership: Arc<Membership>,
    manifest: Arc<Manifest>,
    shelf: Arc<Shelf>,
    keys: Arc<KeyRing>,
    swarm: Swarm,
    _pin: Option<Pin>,
}

impl OpenedRelease {
    /// Verifies the manifest and joins the swarm of an opening.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(api: Api, opening: Opening, options: &Options) -> Result<Arc<Self>, Error> {
        let release = opening.release;
        let endpoint = Endpoint::new(transport(&opening, &options.bind))?;
        let upload_caps = [options.upload_bytes_per_s_max, opening.delivery.upload_bytes_per_s_max];
        let mut config = Config {
            upload_bytes_per_s_max: upload_caps.into_iter().flatten().min(),
            origin: if opening.delivery.peers { options.origin } else { OriginPolicy::Only },
            ..Config::default()
        };
        config.peers_max = options.peers_max.unwrap_or(config.peers_max);
        let membership = Membership::new(api, opening);
        let keys = membership.api().keys().await?;
        let kept = options.cache.kept_manifest(release).and_then(|jws| {
            let manifest = Manifest::from_jws(&jws, &keys).ok()?;
            (manifest.release == release).then_some((jws, manifest))
        });
        let (jws, manifest) = match kept {
            Some(kept) => kept,
            None => {
                let jws = Origin::new(Arc::clone(&membership)).manifest().await?;
                let manifest = Manifest::from_jws(&jws, &keys)?;
                (jws, manifest)
            }
        };
        if manifest.release != release {
            return Err(Error::OtherRelease);
        }
        let manifest = Arc::new(manifest);
        let store = options.cache.release(release, &jws, Arc::clone(&manifest))?;
        let pin = options.pin.then(|| store.pin());
        let shelf = Shelf::new(store);
        let ring = KeyRing::new(Arc::clone(&membership), Arc::clone(&manifest))?;
        let banned = Arc::clone(&options.banned);
        let swarm = Swarm::start(Parts {
            membership: Arc::clone(&membership),
            manifest: Arc::clone(&manifest),
            keys,
            shelf: Arc::clone(&shelf),
            endpoint,
            config,
            want: options.want.clone(),
            banned: options.banned.thumbprints(),
            remember: Box::new(move |thumbprint| banned.add(thumbprint)),
        });
        Ok(Arc::new(Self { membership, manifest, shelf, keys: ring, swarm, _pin: pin }))
    }

    /// The view or carry.
    #[must_use]
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// The release's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Arc<Manifest> {
        &self.manifest
    }

    /// The swarm.
    #[must_use]
    pub fn swarm(&self) -> &Swarm {
        &self.swarm
    }

    /// The chunks.
    #[must_use]
    pub fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Waits for a verified chunk as it travels.
    ///
    /// # Errors
    /// No such chunk, the swarm is over, or `wait` has passed.
    pub async fn sealed(&self, at: ChunkAddress, wait: Duration) -> Result<Bytes, ReadError> {
        if self.manifest.travel_chunk_bytes(at).is_none() {
            return Err(read_error(StatusCode::NOT_FOUND, "chunk_not_found", "the file has no such chunk"));
        }
        let mut arrivals = self.shelf.arrivals();
        let mut over = self.swarm.over();
        let arrived = async {
            loop {
                arrivals.borrow_and_update();
                if let Some(bytes) = self.shelf.read(at).await {
                    return Ok(bytes);
                }
                tokio::select! {
                    _ = arrivals.changed() => {}
                    ended = over.wait_for(Option::is_some) => {
                        return Err(ended.map_or_else(|_| ended_error(None), |end| ended_error(end.as_ref())));
                    }
                }
            }
        };
        let late =
            || read_error(StatusCode::GATEWAY_TIMEOUT, "chunk_late", "no peer and no origin gave the chunk");
        timeout(wait, arrived).await.unwrap_or_else(|_| Err(late()))
    }

    /// Waits for a verified chunk and its key, and opens it.
    ///
    /// # Errors
    /// As [`OpenedRelease::sealed`], or the key is not to be had.
    pub async fn plaintext(&self, at: ChunkAddress, wait: Duration) -> Result<Bytes, ReadError> {
        let keyed = async {
            // Asked for while the chunk is still on its way.
            if let Some(file) = self.manifest.file(at.file).filter(|_| self.manifest.sealed) {
                self.keys.key(at.file, file.epoch_of(at.chunk)).await.map_err(|error| key_error(&error))?;
            }
            Ok(())
        };
        let (sealed, ()) = tokio::try_join!(self.sealed(at, wait), keyed)?;
        self.keys.open(at, sealed).await.map_err(|error| key_error(&error))
    }

    /// A reader of one file; `None` when there is no such file or too many read already.
    #[must_use]
    pub fn chunk_reader(self: &Arc<Self>, file: FileIndex) -> Option<ChunkReader> {
        let about = self.manifest.file(file)?;
        let bytes_per_s = match about.duration_ms {
            Some(duration_ms) if duration_ms > 0 => about.size_bytes.saturating_mul(1000) / duration_ms,
            _ => BYTES_PER_S_UNKNOWN,
        };
        let ahead = bytes_per_s.saturating_mul(AHEAD_S) / u64::from(CHUNK_BYTES);
        let ahead_chunks = u32::try_from(ahead.clamp(AHEAD_CHUNKS_MIN, AHEAD_CHUNKS_MAX)).unwrap_or(u32::MAX);
        let number = self.swarm.wishes().reader()?;
        Some(ChunkReader {
            release: Arc::clone(self),
            number,
            file,
            bytes_per_s: bytes_per_s.max(1),
            ahead_chunks,
        })
    }
}

/// Reads one file of a release; what it needs next is what the swarm gets first.
#[derive(Debug)]
pub struct ChunkReader {
    release: Arc<OpenedRelease>,
    number: ReaderNumber,
    file: FileIndex,
    bytes_per_s: u64,
    ahead_chunks: u32,
}

impl ChunkReader {
    /// Moves the playhead without reading.
    pub fn seek(&self, chunk: ChunkIndex) {
        let (file, bytes_per_s, ahead_chunks) = (self.file, self.bytes_per_s, self.ahead_chunks);
        self.number.set(Playhead { file, chunk, bytes_per_s, ahead_chunks });
    }
}

impl Reader for ChunkReader {
    fn read(&mut self, chunk: ChunkIndex) -> impl Future<Output = Result<Bytes, ReadError>> + Send {
        self.seek(chunk);
        let at = ChunkAddress { file: self.file, chunk };
        async move { self.release.plaintext(at, CHUNK_WAIT).await }
    }
}

/// The files of one release, as the gateway serves them.
#[derive(Debug, Clone)]
pub struct OneRelease(pub Arc<OpenedRelease>);

impl Library for OneRelease {
    type Reader = ChunkReader;

    fn about(&self, release: ReleaseId, file: FileIndex) -> Option<FileAbout> {
        let about = self.0.manifest.file(file).filter(|_| self.0.manifest.release == release)?;
        Some(FileAbout { size_bytes: about.size_bytes, media_type: about.media_type.clone() })
    }

    fn reader(&self, release: ReleaseId, file: FileIndex) -> Option<ChunkReader> {
        (self.0.manifest.release == release).then(|| self.0.chunk_reader(file))?
    }
}

fn transport(opening: &Opening, bind: &[IpAddr]) -> Settings {
    let mut settings = Settings { relay_only: opening.delivery.relay_only, ..Settings::default() };
    if !bind.is_empty() {
        settings.bind = bind.iter().map(|address| SocketAddr::new(*address, 0)).collect();
    }
    for server in &opening.ice_servers {
        let (turn, stun): (Vec<String>, Vec<String>) =
            server.urls.iter().cloned().partition(|url| url.starts_with("turn"));
        settings.stun_urls.extend(stun);
        if let (false, Some(username), Some(credential)) =
            (turn.is_empty(), &server.username, &server.credential)
        {
            settings.turn =
                Some(Turn { urls: turn, username: username.clone(), credential: credential.clone() });
        }
    }
    settings
}

fn read_error(status: StatusCode, code: &str, detail: &str) -> ReadError {
    ReadError { status, code: code.to_owned(), detail: detail.to_owned() }
}

fn key_error(error: &keyring::Error) -> ReadError {
    let status = match error {
        keyring::Error::Api(api::Error::Refused { status, .. }) => StatusCode::from_u16(*status).ok(),
        keyring::Error::Api(_) => Some(StatusCode::BAD_GATEWAY),
        _ => None,
    };
    ReadError {
        status: status.unwrap_or(StatusCode::FORBIDDEN),
        code: error.code().to_owned(),
        detail: error.to_string(),
    }
}

/// What a reader is told when the swarm is over.
fn ended_error(end: Option<&End>) -> ReadError {
    match end {
        Some(End::Revoked(reason)) => {
            let detail = format!("the server ended the view: {reason}");
            ReadError { status: StatusCode::FORBIDDEN, code: "view_revoked".to_owned(), detail }
        }
        Some(End::Refused(error)) => ReadError {
            status: StatusCode::FORBIDDEN,
            code: error.code().to_owned(),
            detail: error.to_string(),
        },
        Some(End::Left) | None => read_error(StatusCode::GONE, "view_left", "open the title again"),
    }
}
