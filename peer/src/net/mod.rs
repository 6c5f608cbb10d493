//! How frames travel between peers.
//!
//! The swarm driver is written against [`FrameSender`] and [`FrameReceiver`]; [`webrtc`] is the transport of
//! the real peer and [`memory_pair`] the one of tests.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

pub mod api;
pub mod keyring;
pub mod membership;
pub mod origin;
pub mod proof;
pub mod sdp;
pub mod signaling;
pub mod swarm;
pub mod webrtc;

/// Largest frame that is sent, and that a peer is told it may send (64 KiB).
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Why a transport could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer's session description was refused before the engine saw it.
    #[error("the peer's session description was refused: {0}")]
    Description(#[from] sdp::Flaw),
    /// A frame exceeds [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes is over the limit of {FRAME_BYTES_MAX}; split it")]
    FrameTooLarge {
        /// Size of the refused frame.
        bytes: usize,
    },
    /// The connection ended, whichever side or failure ended it.
    #[error("the connection is closed; connect to the peer again")]
    Closed,
    /// The data channel was not open in time.
    #[error("the data channel did not open within {0:?}; try another peer")]
    OpenTimeout(Duration),
    /// [`webrtc::Settings::connections_max`] connections are open.
    #[error("{0} connections are open, which is the limit; close one first")]
    TooManyConnections(usize),
    /// No UDP socket could be prepared.
    #[error("no udp socket could be prepared; check the bind addresses and the limit of open files")]
    Socket(#[source] io::Error),
    /// The WebRTC engine refused.
    #[error("the webrtc engine refused: {0}")]
    Engine(#[source] ::webrtc::error::Error),
}

/// The half of a connection that sends frames. Clones send on the same connection.
pub trait FrameSender: Clone + Send + Sync + 'static {
    /// Hands over one frame of at most [`FRAME_BYTES_MAX`] bytes, waiting while the send buffer is full.
    ///
    /// When the returned future is dropped early the frame may or may not have been sent.
    fn send(&self, frame: Bytes) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sends what is buffered, within a bounded time, and ends the connection for all halves.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The half of a connection that receives frames.
pub trait FrameReceiver: Send + 'static {
    /// The next frame, in no particular order; `None` once the connection has ended. Safe to use in `select!`.
    fn recv(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// One side of [`memory_pair`]: sends.
#[derive(Debug, Clone)]
pub struct MemorySender {
    frames: mpsc::Sender<Option<Bytes>>,
}

/// One side of [`memory_pair`]: receives.
#[derive(Debug)]
pub struct MemoryReceiver {
    frames: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

/// Two connected sides in memory, each direction holding at most `frames_max` frames.
#[must_use]
pub fn memory_pair(frames_max: usize) -> [(MemorySender, MemoryReceiver); 2] {
    let (left, from_left) = mpsc::channel(frames_max.max(1));
    let (right, from_right) = mpsc::channel(frames_max.max(1));
    let side = |frames, incoming| {
        let receiver = MemoryReceiver { frames: incoming, ended: false };
        (MemorySender { frames }, receiver)
    };
    [side(left, from_right), side(right, from_left)]
}

impl FrameSender for MemorySender {
    async fn send(&self, frame: Bytes) -> Result<(), Error> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(Error::FrameTooLarge { bytes: frame.len() });
        }
        self.frames.send(Some(frame)).await.map_err(|_| Error::Closed)
    }

    async fn close(&self) {
        // A full queue towards a peer that no longer reads must not hold the closing side.
        let _ = tokio::time::timeout(webrtc::CLOSE_WAIT, self.frames.send(None)).await;
    }
}

impl FrameReceiver for MemoryReceiver {
    async fn recv(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let frame = self.frames.recv().await.flatten();
        if frame.is_none() {
            self.ended = true;
            self.frames.close();
        }
        frame
    }
}
