//! The swarm driver: sockets, disk and clock around [`matinee_engine::Swarm`].
//!
//! One task owns the engine. Receivers of all peers feed one bounded queue, which is not read while too many chunks
//! wait for the disk, so that the transports slow their peers down. Everything that takes time (dialling, the origin,
//! reading) runs beside it and reports by a queue of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use matinee_engine::{Config, Playhead, Stats, Want};
use matinee_protocol::id::Thumbprint;
use matinee_protocol::jws::KeySet;
use matinee_protocol::manifest::Manifest;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::api;
use super::membership::Membership;
use super::webrtc::Endpoint;
use crate::storage::Shelf;

mod dial;
mod driver;
mod housekeeping;
mod link;
mod outputs;
mod peers;
mod receipts;
mod resume;

/// Readers that may have a playhead at once.
pub const READERS_MAX: u32 = 16;

/// Keeps a device that sent bad data.
pub type Remember = Box<dyn Fn(Thumbprint) + Send>;

/// What a swarm is made of.
pub struct Parts {
    /// The view or carry.
    pub membership: Arc<Membership>,
    /// The verified manifest.
    pub manifest: Arc<Manifest>,
    /// The server's keys.
    pub keys: KeySet,
    /// Where chunks go.
    pub shelf: Arc<Shelf>,
    /// Makes connections.
    pub endpoint: Endpoint,
    /// Limits and policy.
    pub config: Config,
    /// What to get at first, besides what readers need.
    pub want: Want,
    /// Devices that sent bad data in earlier runs.
    pub banned: Vec<Thumbprint>,
    /// Keeps one more of them.
    pub remember: Remember,
}

/// Why a swarm is over.
#[derive(Debug, Clone)]
pub enum End {
    /// [`Swarm::leave`] was called.
    Left,
    /// The server ended the view and said so.
    Revoked(String),
    /// The server no longer renews the view.
    Refused(Arc<api::Error>),
}

/// Figures of the moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The engine's.
    pub engine: Stats,
    /// Whether signaling is joined at the moment.
    pub joined: bool,
    /// Channels that are open.
    pub channels: usize,
    /// Bytes that the server has credited for uploads in this run.
    pub credited_bytes: u64,
    /// Time from joining signaling to the first verified chunk from a peer.
    pub first_peer_chunk: Option<std::time::Duration>,
}

/// A running swarm. Dropping it stops everything at once; [`Swarm::leave`] says goodbye first.
#[derive(Debug)]
pub struct Swarm {
    wishes: Arc<Wishes>,
    snapshots: watch::Receiver<Snapshot>,
    over: watch::Receiver<Option<End>>,
    task: JoinHandle<()>,
}

impl Swarm {
    /// Starts the driver.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let wishes = Arc::new(Wishes::default());
        let (snapshot, snapshots) = watch::channel(Snapshot::default());
        let (ending, over) = watch::channel(None);
        let driver = driver::Driver::new(parts, Arc::clone(&wishes), snapshot);
        let task = tokio::spawn(async move {
            let end = driver.run().await;
            ending.send_replace(Some(end));
        });
        Self { wishes, snapshots, over, task }
    }

    /// Where readers say what they need.
    #[must_use]
    pub fn wishes(&self) -> &Arc<Wishes> {
        &self.wishes
    }

    /// Figures, renewed twice a second.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.clone()
    }

    /// Turns to `Some` when the swarm is over.
    #[must_use]
    pub fn over(&self) -> watch::Receiver<Option<End>> {
        self.over.clone()
    }

    /// Says goodbye, hands in receipts, and waits for the end, which comes within seconds.
    pub async fn leave(&self) {
        self.wishes.change(|wished| wished.leave = true);
        let mut over = self.over.clone();
        let _ = over.wait_for(Option::is_some).await;
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What readers and commands want. The latest wish counts, so this never grows.
#[derive(Debug, Default)]
pub struct Wishes {
    wished: Mutex<Wished>,
    changed: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Wished {
    playheads: BTreeMap<u32, Option<Playhead>>,
    want: Option<Want>,
    leave: bool,
    readers: u32,
}

impl Wishes {
    /// Replaces what to get apart from playheads.
    pub fn want(&self, want: Want) {
        self.change(|wished| wished.want = Some(want));
    }

    /// A number for one more reader; `None` when [`READERS_MAX`] read already.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Option<ReaderNumber> {
        let mut wished = self.wished();
        let number = (0..READERS_MAX).find(|number| wished.readers >> number & 1 == 0)?;
        wished.readers |= 1 << number;
        Some(ReaderNumber { wishes: Arc::clone(self), number })
    }

    fn change(&self, change: impl FnOnce(&mut Wished)) {
        change(&mut self.wished());
        self.changed.notify_one();
    }

    fn take(&self) -> Wished {
        let mut wished = self.wished();
        let (readers, leave) = (wished.readers, wished.leave);
        std::mem::replace(&mut *wished, Wished { readers, leave, ..Wished::default() })
    }

    fn wished(&self) -> MutexGuard<'_, Wished> {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader's number; its playhead ends when this is dropped.
#[derive(Debug)]
pub struct ReaderNumber {
    wishes: Arc<Wishes>,
    number: u32,
}

impl ReaderNumber {
    /// Says where the reader is.
    pub fn set(&self, playhead: Playhead) {
        self.wishes.change(|wished| {
            wished.playheads.insert(self.number, Some(playhead));
        });
    }
}

impl Drop for ReaderNumber {
    fn drop(&mut self) {
        self.wishes.change(|wished| {
            wished.playheads.insert(self.number, None);
            wished.readers &= !(1 << self.number);
        });
    }
}
