//! A paying viewer whose peer lies, over real signaling and real data channels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use matinee_peer::net::webrtc::{Connection, Endpoint, RemoteCandidate, Settings};
use matinee_peer::net::{FrameReceiver, FrameSender};
use matinee_protocol::api::Opening;
use matinee_protocol::frame::{Frame, Reason};
use matinee_protocol::hello::{ChannelBinding, Hello};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PeerId};
use matinee_protocol::limit::DATA_BYTES_MAX;
use matinee_protocol::signaling::{Relay, ToPeer, ToServer};
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::viewer::Viewer;

/// Bytes of a full sealed chunk.
const TRAVEL_BYTES: usize = 262_160;

/// What the liar does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Noise of the right length.
    WrongBytes,
    /// The ciphertext of another chunk of the release: once valid, now in the wrong place.
    OldBytes,
    /// Data of a chunk that nobody asked for.
    OtherChunk,
    /// More bytes than the chunk has.
    TooMuch,
    /// A little every two seconds.
    TooSlowly,
    /// Not a byte.
    Nothing,
    /// Messages that are no frames.
    Garbage,
    /// A hello that was made for another channel: what a man in the middle can relay.
    RelayedHello,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::WrongBytes,
        Self::OldBytes,
        Self::OtherChunk,
        Self::TooMuch,
        Self::TooSlowly,
        Self::Nothing,
        Self::Garbage,
        Self::RelayedHello,
    ];
}

/// What the liar saw of its victims.
#[derive(Debug, Default)]
pub struct Seen {
    /// Channels that opened.
    pub channels: AtomicU32,
    /// Channels that the other side ended.
    pub ended: AtomicU32,
    /// Requests for chunks.
    pub requests: AtomicU32,
    /// Goodbyes that gave bad data, a protocol error or slowness as the reason.
    pub accused: AtomicU32,
    /// Chunk data that victims gave away before they knew.
    pub data_bytes: AtomicU64,
}

/// A lying member of a swarm.
#[derive(Clone)]
pub struct Liar {
    /// How it lies.
    pub lie: Lie,
    viewer: Viewer,
    opening: Opening,
    chunks: u32,
    old_chunk: Bytes,
    /// What it saw.
    pub seen: Arc<Seen>,
}

impl Liar {
    /// Joins the swarm of a view that was paid for and lies from then on, until the runtime ends.
    pub async fn join(lie: Lie, viewer: Viewer, opening: Opening, chunks: u32) -> Self {
        let old_chunk = first_chunk(&viewer, &opening).await;
        let liar = Self { lie, viewer, opening, chunks, old_chunk, seen: Arc::default() };
        let (joined, wait) = tokio::sync::oneshot::channel();
        tokio::spawn(liar.clone().member(joined));
        wait.await.expect("the liar is admitted: its view is paid for");
        liar
    }

    async fn member(self, joined: tokio::sync::oneshot::Sender<()>) {
        let url = format!("{}/v1/signaling", self.viewer.url.replace("http://", "ws://"));
        let (socket, _) = connect_async(&url).await.expect("signaling answers");
        let (mut to_server, mut from_server) = socket.split();
        let (send, mut queue) = mpsc::unbounded_channel::<ToServer>();
        tokio::spawn(async move {
            while let Some(message) = queue.recv().await {
                if to_server.send(Message::text(message.encode())).await.is_err() {
                    return;
                }
            }
        });
        let endpoint = Endpoint::new(Settings::default()).expect("sockets can be bound");
        let mut joined = Some(joined);
        let mut candidates: std::collections::HashMap<PeerId, mpsc::UnboundedSender<RemoteCandidate>> =
            std::collections::HashMap::new();
        while let Some(Ok(message)) = from_server.next().await {
            let Ok(text) = message.to_text() else { continue };
            match ToPeer::decode(text) {
                Ok(ToPeer::Challenge { nonce }) => drop(send.send(self.join_message(&nonce))),
                Ok(ToPeer::Joined { .. }) => drop(joined.take().map(|joined| joined.send(()))),
                Ok(ToPeer::Relay(Relay::Offer { peer, sdp })) => {
                    let Ok((connection, answer)) = endpoint.answer(&sdp).await else { continue };
                    let (trickle, trickled) = mpsc::unbounded_channel();
                    candidates.insert(peer, trickle);
                    drop(send.send(ToServer::Relay(Relay::Answer { peer, sdp: answer })));
                    tokio::spawn(self.clone().channel(connection, trickled));
                }
                Ok(ToPeer::Relay(Relay::Candidate { peer, candidate, sdp_mid, sdp_m_line_index })) => {
                    if let Some(trickle) = candidates.get(&peer) {
                        drop(trickle.send(RemoteCandidate { candidate, sdp_mid, sdp_m_line_index }));
                    }
                }
                _ => {}
            }
        }
    }

    fn join_message(&self, nonce: &str) -> ToServer {
        let token = self.opening.view_token.clone();
        let url = format!("{}/v1/signaling", self.viewer.url);
        let mut claims = self.viewer.device.claims("GET", &url, Some(&token), b"");
        claims.nonce = Some(nonce.to_owned());
        ToServer::Join { proof: self.viewer.device.proof(&claims), token }
    }

    async fn channel(
        self,
        mut connection: Connection,
        mut trickled: mpsc::UnboundedReceiver<RemoteCandidate>,
    ) {
        let opened = loop {
            tokio::select! {
                opened = connection.opened(Duration::from_secs(20)) => break opened,
                Some(candidate) = trickled.recv() => drop(connection.add_candidate(candidate).await),
            }
        };
        if opened.is_err() {
            return;
        }
        self.seen.channels.fetch_add(1, Ordering::Relaxed);
        let prints = connection.fingerprints();
        let (sender, mut receiver) = connection.split();
        drop(sender.send(self.hello(prints.local, prints.remote)).await);
        drop(sender.send(self.inventory()).await);
        while let Some(message) = receiver.recv().await {
            match Frame::decode(message) {
                Ok(Frame::Request(at)) => {
                    self.seen.requests.fetch_add(1, Ordering::Relaxed);
                    for frame in self.answer(at) {
                        if self.lie == Lie::TooSlowly {
                            tokio::time::sleep(Duration::from_secs(2)).await;
                        }
                        drop(sender.send(frame).await);
                    }
                }
                Ok(Frame::Data { bytes, .. }) => {
                    self.seen.data_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Ok(Frame::Goodbye(
                    Reason::BadData | Reason::ProtocolError | Reason::TooSlow | Reason::NotAuthorized,
                )) => {
                    self.seen.accused.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        self.seen.ended.fetch_add(1, Ordering::Relaxed);
    }

    fn hello(&self, local: [u8; 32], remote: [u8; 32]) -> Bytes {
        // A man in the middle has other certificates on either side than the two ends that he sits between.
        let remote = if self.lie == Lie::RelayedHello { [7; 32] } else { remote };
        let binding = ChannelBinding { swarm: self.opening.swarm, local, remote };
        let token = self.opening.view_token.clone();
        let signature = self.viewer.device.signing.sign(&binding.signed_bytes(&token));
        Frame::Hello(Hello { token, public: self.viewer.device.signing.public(), signature }).encode()
    }

    fn inventory(&self) -> Bytes {
        let mut bits = vec![0xff; self.chunks.div_ceil(8) as usize];
        if let Some(last) = bits.last_mut() {
            *last <<= bits_spare(self.chunks);
        }
        Frame::Inventory { file: FileIndex(0), first: ChunkIndex(0), count: self.chunks, bits: bits.into() }
            .encode()
    }

    fn answer(&self, at: ChunkAddress) -> Vec<Bytes> {
        let noise = vec![at.chunk.0 as u8 ^ 0x5a; TRAVEL_BYTES];
        match self.lie {
            Lie::Nothing | Lie::RelayedHello => Vec::new(),
            Lie::Garbage => vec![Bytes::from_static(&[5, 1, 2]), Bytes::from_static(&[2; 40])],
            Lie::WrongBytes | Lie::TooSlowly => data(at, &noise),
            Lie::OldBytes => data(at, &self.old_chunk),
            Lie::OtherChunk => {
                data(ChunkAddress::new(at.file.0, at.chunk.0.wrapping_add(3) % self.chunks.max(1)), &noise)
            }
            Lie::TooMuch => data(at, &[noise.as_slice(), &noise].concat()),
        }
    }
}

/// The sealed bytes of the first chunk, which are right there and wrong everywhere else.
async fn first_chunk(viewer: &Viewer, opening: &Opening) -> Bytes {
    let path = format!("/v1/releases/{}/files/0/ciphertext", opening.release);
    let request = viewer.with_token(reqwest::Method::GET, &path, &opening.view_token, b"");
    let answer = request.header("range", format!("bytes=0-{}", TRAVEL_BYTES - 1)).send().await;
    answer.expect("the origin answers").bytes().await.expect("the origin answers")
}

fn bits_spare(chunks: u32) -> u32 {
    chunks.div_ceil(8) * 8 - chunks
}

fn data(at: ChunkAddress, chunk: &[u8]) -> Vec<Bytes> {
    let parts = chunk.chunks(DATA_BYTES_MAX).enumerate();
    parts
        .map(|(part, bytes)| {
            let offset = (part * DATA_BYTES_MAX) as u32;
            Frame::Data { at, offset, bytes: Bytes::copy_from_slice(bytes) }.encode()
        })
        .collect()
}
