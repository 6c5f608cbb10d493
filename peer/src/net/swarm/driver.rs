//! The task that owns the engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use matinee_engine::{Input, OriginError, Swarm};
use matinee_protocol::device::DevicePublicKey;
use matinee_protocol::id::{ChunkAddress, FileIndex, PageIndex, PeerId, Thumbprint};
use matinee_protocol::jws::KeySet;
use matinee_protocol::manifest::Manifest;
use matinee_protocol::receipt::Receipt;
use matinee_protocol::signaling::ToServer;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::dial::{Attempt, Dialer};
use super::link::Link;
use super::peers::Known;
use super::receipts::ReceiptBook;
use super::{End, Parts, Remember, Snapshot, Wishes};
use crate::clock;
use crate::net::membership::{Membership, Token};
use crate::net::origin::Origin;
use crate::net::signaling::{self, Signaling};
use crate::net::webrtc::Connection;
use crate::storage::Shelf;

/// Frames and origin chunks between the transports and the engine: at most 16 MiB of frames.
const ARRIVALS_MAX: usize = 256;
/// Arrivals taken at one wakeup.
const ARRIVALS_AT_ONCE: usize = 64;
/// Reports of side tasks waiting.
const REPORTS_MAX: usize = 1024;
/// Chunks waiting for the disk at which arrivals are no longer taken (16 MiB).
const WRITES_PENDING_MAX: usize = 64;
/// How often figures are renewed and losses collected.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(500);
/// How often receipts are handed in, and more peers asked for when there are few.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(20);
/// Time for goodbyes.
const LEAVE_WAIT: Duration = Duration::from_millis(1_500);

/// What the transports and the origin bring. Not taken while the disk is behind.
#[derive(Debug)]
pub(super) enum Arrival {
    Frame { peer: PeerId, link: u64, bytes: Bytes },
    Closed { peer: PeerId, link: u64 },
    OriginChunk { request: u64, at: ChunkAddress, bytes: Bytes },
    OriginEnded { request: u64, error: Option<OriginError> },
}

/// What side tasks report.
#[derive(Debug)]
pub(super) enum Report {
    Drained(PeerId),
    Connected { peer: PeerId, attempt: u64, connection: Box<Connection> },
    NotConnected { peer: PeerId, attempt: u64, reason: String },
    Read { peer: PeerId, at: ChunkAddress, bytes: Option<Bytes> },
    Page { file: FileIndex, page: PageIndex, bytes: Option<Bytes> },
    Written,
    Keys(KeySet),
    Credited { bytes: u64 },
    NotCredited(Vec<(Thumbprint, Receipt)>),
}

/// The engine and everything around it. One task owns all of it.
pub(super) struct Driver {
    pub(super) swarm: Swarm,
    pub(super) membership: Arc<Membership>,
    pub(super) manifest: Arc<Manifest>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) origin: Origin,
    pub(super) remember: Remember,
    pub(super) links: HashMap<PeerId, Link>,
    pub(super) fetches: HashMap<u64, AbortHandle>,
    pub(super) receipts: ReceiptBook,
    /// Keys of downloaders, which the server needs to check their receipts.
    pub(super) device_keys: HashMap<Thumbprint, DevicePublicKey>,
    pub(super) to_write: Arc<Notify>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
    pub(super) reports: mpsc::Sender<Report>,
    /// `None` when the release travels by the origin alone.
    pub(super) signaling: Option<Signaling>,
    pub(super) attempts: HashMap<PeerId, Attempt>,
    pub(super) known: HashMap<PeerId, Known>,
    pub(super) dialer: Dialer,
    wishes: Arc<Wishes>,
    snapshot: watch::Sender<Snapshot>,
    pub(super) keys: KeySet,
    pub(super) own: Option<PeerId>,
    pub(super) joined: bool,
    /// When signaling was joined for the first time in this run.
    pub(super) joined_at: Option<tokio::time::Instant>,
    /// Time from then to the first verified chunk from a peer.
    pub(super) first_peer_chunk: Option<std::time::Duration>,
    pub(super) numbers: u64,
    pub(super) peers_max: usize,
    pub(super) leaving: Option<Instant>,
    pub(super) credited_bytes: u64,
    inlets: Option<Inlets>,
}

/// The receiving ends, apart from the driver so that it can be changed while they are waited for.
struct Inlets {
    arrivals: mpsc::Receiver<Arrival>,
    reports: mpsc::Receiver<Report>,
    signaling: mpsc::Receiver<signaling::Event>,
    said: mpsc::Receiver<ToServer>,
    tokens: watch::Receiver<Token>,
}

impl Driver {
    pub(super) fn new(parts: Parts, wishes: Arc<Wishes>, snapshot: watch::Sender<Snapshot>) -> Self {
        let Parts { membership, manifest, keys, shelf, endpoint, config, want, banned, remember } = parts;
        let opening = membership.opening();
        let identity = matinee_engine::Identity {
            swarm: opening.swarm,
            thumbprint: membership.api().prover().device().thumbprint(),
            issuer: opening.issuer.clone(),
            keys: keys.clone(),
        };
        let peers_max = config.peers_max;
        let seed = u64::from_be_bytes(clock::random());
        let by_peers = opening.delivery.peers && config.origin != matinee_engine::OriginPolicy::Only;
        let swarm = Swarm::new(config, Manifest::clone(&manifest), identity, seed);
        let (arrivals, arriving) = mpsc::channel(ARRIVALS_MAX);
        let (reports, reported) = mpsc::channel(REPORTS_MAX);
        let (outgoing, said) = mpsc::channel(REPORTS_MAX);
        let (signaling, events) = if by_peers {
            let (signaling, events) = Signaling::start(Arc::clone(&membership));
            (Some(signaling), events)
        } else {
            (None, mpsc::channel(1).1)
        };
        let dialer = Dialer { endpoint, outgoing, reports: reports.clone() };
        let tokens = membership.tokens();
        let inlets = Inlets { arrivals: arriving, reports: reported, signaling: events, said, tokens };
        let mut driver = Self {
            swarm,
            origin: Origin::new(Arc::clone(&membership)),
            membership,
            manifest,
            shelf,
            remember,
            links: HashMap::new(),
            fetches: HashMap::new(),
            receipts: ReceiptBook::default(),
            device_keys: HashMap::new(),
            to_write: Arc::default(),
            arrivals,
            reports,
            signaling,
            attempts: HashMap::new(),
            known: HashMap::new(),
            dialer,
            wishes,
            snapshot,
            keys,
            own: None,
            joined: false,
            joined_at: None,
            first_peer_chunk: None,
            numbers: 0,
            peers_max,
            leaving: None,
            credited_bytes: 0,
            inlets: Some(inlets),
        };
        driver.begin(want, banned);
        driver
    }

    /// Runs to the end of the swarm.
    pub(super) async fn run(mut self) -> End {
        let Some(mut inlets) = self.inlets.take() else {
            return End::Left;
        };
        let keeper = Arc::clone(&self.membership).keep();
        tokio::pin!(keeper);
        let _writer = AbortOnDrop(tokio::spawn(write_to_disk(
            Arc::clone(&self.shelf),
            Arc::clone(&self.to_write),
            self.reports.clone(),
        )));
        let wishes = Arc::clone(&self.wishes);
        let mut end = End::Left;
        let mut batch = Vec::with_capacity(ARRIVALS_AT_ONCE);
        let mut snapshot = tokio::time::interval(SNAPSHOT_INTERVAL);
        let mut housekeeping = tokio::time::interval(HOUSEKEEPING_INTERVAL);
        housekeeping.reset();
        loop {
            self.carry_out();
            if self.leaving.is_some_and(|until| self.links.is_empty() || clock::instant() >= until) {
                break;
            }
            let disk_is_behind = self.shelf.pending() >= WRITES_PENDING_MAX;
            let wakeup = self.wakeup();
            tokio::select! {
                _ = inlets.arrivals.recv_many(&mut batch, ARRIVALS_AT_ONCE), if !disk_is_behind => {
                    for arrival in batch.drain(..) {
                        self.arrived(arrival);
                        self.carry_out();
                    }
                }
                Some(report) = inlets.reports.recv() => self.reported(report),
                Some(event) = inlets.signaling.recv() => {
                    if let Some(ended) = self.signaled(event) {
                        end = ended;
                        self.leave();
                    }
                }
                Some(message) = inlets.said.recv() => self.say(message),
                () = wishes.changed.notified() => self.wished(),
                Ok(()) = inlets.tokens.changed() => self.token_changed(),
                error = &mut keeper, if self.leaving.is_none() => {
                    end = End::Refused(Arc::new(error));
                    self.leave();
                }
                () = tokio::time::sleep_until(wakeup) => self.handle(Input::Tick),
                _ = snapshot.tick() => {
                    self.dial_due();
                    self.repeat_hellos();
                    self.take_snapshot();
                }
                _ = housekeeping.tick() => self.keep_house(),
            }
        }
        self.finish().await;
        end
    }

    /// Gives the engine one input.
    pub(super) fn handle(&mut self, input: Input) {
        self.swarm.handle(clock::now_ms(), input);
    }

    /// Carries out all that the engine wants, and what follows from it at once.
    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            self.perform(output);
        }
    }

    fn wakeup(&self) -> Instant {
        let far_ms = clock::now_ms() + 60_000;
        let wait_ms = self.swarm.next_wakeup_ms().unwrap_or(far_ms).saturating_sub(clock::now_ms());
        let at = clock::instant() + Duration::from_millis(wait_ms.min(60_000));
        self.leaving.map_or(at, |until| until.min(at))
    }

    fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Frame { peer, link, bytes } => {
                if self.links.get(&peer).is_some_and(|held| held.number == link) {
                    self.note_device(&bytes);
                    self.handle(Input::Frame { peer, bytes });
                }
            }
            Arrival::Closed { peer, link } => {
                if self.links.get(&peer).is_some_and(|held| held.number == link) {
                    self.links.remove(&peer);
                    self.handle(Input::PeerClosed { peer });
                    self.expect_peers();
                }
            }
            Arrival::OriginChunk { request, at, bytes } => {
                self.handle(Input::OriginChunk { request, at, bytes });
            }
            Arrival::OriginEnded { request, error } => {
                self.fetches.remove(&request);
                if error == Some(OriginError::NotAuthorized) {
                    self.renew_token();
                }
                self.handle(Input::OriginEnded { request, error });
            }
        }
    }

    fn reported(&mut self, report: Report) {
        match report {
            Report::Drained(peer) => {
                if let Some(link) = self.links.get(&peer) {
                    link.heard();
                    self.handle(Input::Drained { peer });
                }
            }
            Report::Connected { peer, attempt, connection } => self.connected(peer, attempt, *connection),
            Report::NotConnected { peer, attempt, reason } => {
                if self.attempts.get(&peer).is_some_and(|held| held.number == attempt) {
                    tracing::debug!(%peer, reason, "no connection");
                    self.attempts.remove(&peer);
                    self.expect_peers();
                }
            }
            Report::Read { peer, at, bytes } => {
                self.handle(Input::ReadDone { peer, at, bytes });
                self.collect_losses();
            }
            Report::Page { file, page, bytes: Some(bytes) } => {
                self.handle(Input::PageArrived { file, page, bytes });
            }
            Report::Page { file, page, bytes: None } => self.handle(Input::PageFailed { file, page }),
            Report::Written => self.collect_losses(),
            Report::Keys(keys) => {
                if keys != self.keys {
                    self.keys = keys.clone();
                    self.handle(Input::KeysChanged { keys });
                }
            }
            Report::Credited { bytes } => self.credited_bytes += bytes,
            Report::NotCredited(receipts) => self.receipts.put_back(receipts),
        }
    }

    fn wished(&mut self) {
        let wished = self.wishes.take();
        if let Some(want) = wished.want {
            self.handle(Input::Want { want });
        }
        for (reader, playhead) in wished.playheads {
            self.handle(Input::Playhead { reader, playhead });
        }
        if wished.leave {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if self.leaving.is_none() {
            self.leaving = Some(clock::instant() + LEAVE_WAIT);
            self.attempts.clear();
            self.handle(Input::Leave);
        }
    }

    fn collect_losses(&mut self) {
        for at in self.shelf.take_lost() {
            self.handle(Input::Lost { at });
        }
    }

    /// Keeps how long the first verified chunk from a peer took after joining.
    pub(super) fn note_first_peer_chunk(&mut self) {
        let Some(joined_at) = self.joined_at.filter(|_| self.first_peer_chunk.is_none()) else {
            return;
        };
        if self.swarm.stats().peer_bytes > 0 {
            self.first_peer_chunk = Some(clock::instant().duration_since(joined_at));
        }
    }

    pub(super) fn take_snapshot(&mut self) {
        self.collect_losses();
        let engine = self.swarm.stats();
        let (joined, channels, credited_bytes) = (self.joined, self.links.len(), self.credited_bytes);
        let first_peer_chunk = self.first_peer_chunk;
        self.snapshot.send_replace(Snapshot { engine, joined, channels, credited_bytes, first_peer_chunk });
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn write_to_disk(shelf: Arc<Shelf>, to_write: Arc<Notify>, reports: mpsc::Sender<Report>) {
    loop {
        if shelf.write_pending().await == 0 {
            to_write.notified().await;
        } else if reports.send(Report::Written).await.is_err() {
            return;
        }
    }
}
