//! An open channel to a peer: a task that sends and a task that receives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::PeerId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::driver::{Arrival, Report};
use crate::clock;
use crate::net::{FrameReceiver, FrameSender};

/// Bytes queued to a peer at which the engine may send more.
const LOW_WATER_BYTES: usize = 256 * 1024;
/// Bytes queued to a peer at which it is taken for stalled: the engine's window and a flood of small frames.
pub(super) const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// When the hello is said again, counted from the opening. A hello that comes twice changes nothing.
const HELLOS_AGAIN: [Duration; 3] =
    [Duration::from_millis(400), Duration::from_millis(1_500), Duration::from_millis(5_000)];
/// Longest time to flush what is queued when a channel closes.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// One channel, as the driver holds it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) binding: ChannelBinding,
    opened: Instant,
    hellos: usize,
    queue: mpsc::UnboundedSender<Bytes>,
    level: Arc<Level>,
    receiving: AbortHandle,
}

#[derive(Debug, Default)]
struct Level {
    queued_bytes: AtomicUsize,
    /// A report of the low level is on its way to the driver.
    told: AtomicBool,
}

impl Link {
    /// Starts both tasks.
    pub(super) fn start<S: FrameSender, R: FrameReceiver>(
        (peer, number): (PeerId, u64),
        binding: ChannelBinding,
        (sender, receiver): (S, R),
        arrivals: mpsc::Sender<Arrival>,
        reports: mpsc::Sender<Report>,
    ) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        let level = Arc::new(Level::default());
        tokio::spawn(send_all(peer, sender, queued, Arc::clone(&level), reports));
        let receiving = tokio::spawn(receive_all((peer, number), receiver, arrivals)).abort_handle();
        Self { number, binding, opened: clock::instant(), hellos: 0, queue, level, receiving }
    }

    /// Queues a frame; false when the peer takes nothing any more.
    pub(super) fn send(&self, frame: Bytes) -> bool {
        let queued = self.level.queued_bytes.fetch_add(frame.len(), Ordering::Relaxed) + frame.len();
        queued <= QUEUE_BYTES_MAX && self.queue.send(frame).is_ok()
    }

    /// Whether the hello is to be said again: a transport that was slow to open its end has dropped the first one, and
    /// nobody would know.
    pub(super) fn hello_is_due(&mut self) -> bool {
        let due = HELLOS_AGAIN.get(self.hellos).is_some_and(|after| self.opened.elapsed() >= *after);
        self.hellos += usize::from(due);
        due
    }

    /// The driver heard that the level is low; the next time will be told again.
    pub(super) fn heard(&self) {
        self.level.told.store(false, Ordering::Release);
    }
}

impl Drop for Link {
    /// The sending task flushes what is queued, then closes the channel for both.
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

async fn send_all<S: FrameSender>(
    peer: PeerId,
    sender: S,
    mut queued: mpsc::UnboundedReceiver<Bytes>,
    level: Arc<Level>,
    reports: mpsc::Sender<Report>,
) {
    while let Some(frame) = queued.recv().await {
        let bytes = frame.len();
        let sent = if queued.is_closed() {
            timeout(FLUSH_WAIT, sender.send(frame)).await.is_ok_and(|sent| sent.is_ok())
        } else {
            sender.send(frame).await.is_ok()
        };
        if !sent {
            break;
        }
        let left = level.queued_bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        let low = left <= LOW_WATER_BYTES && !level.told.swap(true, Ordering::AcqRel);
        if low && reports.send(Report::Drained(peer)).await.is_err() {
            break;
        }
    }
    sender.close().await;
}

async fn receive_all<R: FrameReceiver>(
    (peer, link): (PeerId, u64),
    mut receiver: R,
    arrivals: mpsc::Sender<Arrival>,
) {
    while let Some(bytes) = receiver.recv().await {
        if arrivals.send(Arrival::Frame { peer, link, bytes }).await.is_err() {
            return;
        }
    }
    let _ = arrivals.send(Arrival::Closed { peer, link }).await;
}
