//! One peer: its handshake, what it has, what was asked of it, how fast it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use matinee_protocol::device::DevicePublicKey;
use matinee_protocol::hello::ChannelBinding;
use matinee_protocol::id::{ChunkAddress, Thumbprint};
use matinee_protocol::limit::CHUNK_BYTES;

use crate::assembly::Assembly;
use crate::config::Config;
use crate::inventory::Bitset;
use crate::upload::Upload;

/// Speed taken for granted of a peer that has not shown its own yet.
const RATE_GUESS_BYTES_PER_S: f64 = 400_000.0;
/// No peer is taken to be slower than this: otherwise it would never be asked again and could not show that it got faster.
const RATE_FLOOR_BYTES_PER_S: f64 = 16_000.0;
const LATENCY_GUESS_MS: f64 = 150.0;
const RATE_BUCKET_MS: u64 = 250;
/// A bucket with less than this in it stays open, up to the time below: a slow peer sends a frame a second.
const RATE_BUCKET_BYTES: u64 = 256 * 1024;
const RATE_BUCKET_MS_MAX: u64 = 2_000;
/// How long data for a cancelled chunk is tolerated. The protocol asks for 10 s; a slow uplink may hold more than that.
pub(crate) const CANCELLED_MS: u64 = 30_000;

/// A verified handshake.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) thumbprint: Thumbprint,
    pub(crate) public: DevicePublicKey,
    /// When the token ends.
    pub(crate) expires_at_ms: u64,
    /// When the last hello was looked at.
    pub(crate) hello_at_ms: u64,
}

/// A chunk asked of a peer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) sent_ms: u64,
    pub(crate) assembly: Assembly,
}

/// A chunk no longer wanted of a peer, whose data may still come.
#[derive(Debug)]
pub(crate) struct Cancelled {
    pub(crate) until_ms: u64,
    /// Bytes that may still come.
    pub(crate) bytes: u64,
}

/// Everything known about one channel.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) binding: ChannelBinding,
    pub(crate) opened_ms: u64,
    pub(crate) member: Option<Member>,
    /// Frames that overtook the hello (the channel is unordered).
    pub(crate) early: Vec<Bytes>,
    pub(crate) inventory: BTreeMap<u32, Bitset>,
    pub(crate) requests: BTreeMap<ChunkAddress, Request>,
    pub(crate) cancelled: BTreeMap<ChunkAddress, Cancelled>,
    /// Pages asked of it, and until when an answer is tolerated.
    pub(crate) pages_asked: BTreeMap<(u32, u32), u64>,
    pub(crate) rate: RateMeter,
    latency_ms: Option<f64>,
    /// When the last useful byte came, or the first request after a rest was sent.
    pub(crate) progress_ms: u64,
    /// When the turn of the oldest request came.
    pub(crate) turn_ms: u64,
    pub(crate) busy_until_ms: u64,
    pub(crate) strikes: u32,
    pub(crate) good_chunks: u32,
    pub(crate) empty_promises: u32,
    /// Chunks that others had to bring in its place, since the last one it brought itself.
    pub(crate) overtaken: u32,
    /// Openings of the chunk table when nothing was found to ask this peer for.
    pub(crate) dry_at: Option<u64>,
    /// File at which the next search begins.
    pub(crate) file_cursor: u32,
    pub(crate) upload: Upload,
    pub(crate) downloaded_bytes: u64,
    /// Says goodbye once its receipt is signed, at the latest then.
    pub(crate) parting_until_ms: Option<u64>,
}

impl Peer {
    pub(crate) fn new(binding: ChannelBinding, now_ms: u64) -> Self {
        Self {
            binding,
            opened_ms: now_ms,
            member: None,
            early: Vec::new(),
            inventory: BTreeMap::new(),
            requests: BTreeMap::new(),
            cancelled: BTreeMap::new(),
            pages_asked: BTreeMap::new(),
            rate: RateMeter::default(),
            latency_ms: None,
            progress_ms: now_ms,
            turn_ms: now_ms,
            busy_until_ms: 0,
            strikes: 0,
            good_chunks: 0,
            empty_promises: 0,
            overtaken: 0,
            dry_at: None,
            file_cursor: 0,
            upload: Upload::default(),
            downloaded_bytes: 0,
            parting_until_ms: None,
        }
    }

    /// The handshake passed and it is not about to go.
    pub(crate) fn is_ready(&self) -> bool {
        self.member.is_some() && self.parting_until_ms.is_none()
    }

    pub(crate) fn has(&self, at: ChunkAddress) -> bool {
        self.inventory.get(&at.file.get()).is_some_and(|chunks| chunks.contains(at.chunk.get()))
    }

    pub(crate) fn chunks_held(&self) -> u64 {
        self.inventory.values().map(|chunks| u64::from(chunks.ones())).sum()
    }

    /// Whether this chunk may be asked of it at all. Not while data of a cancelled request for it may still come, which
    /// would overlap.
    pub(crate) fn may_give(&self, at: ChunkAddress) -> bool {
        self.has(at) && !self.cancelled.contains_key(&at) && !self.requests.contains_key(&at)
    }

    /// How many more chunks may be asked of it now: enough that about a second's worth is in flight.
    pub(crate) fn room(&self, config: &Config, now_ms: u64) -> usize {
        if !self.is_ready() || self.busy_until_ms > now_ms {
            return 0;
        }
        let target = match self.rate.expected_bytes_per_s(now_ms) {
            Some(rate) => (rate / f64::from(CHUNK_BYTES)).ceil() as usize,
            None => config.requests_in_flight_min,
        };
        let least = if self.strikes > 0 { 1 } else { config.requests_in_flight_min };
        target.clamp(least, config.requests_in_flight_max.max(least)).saturating_sub(self.requests.len())
    }

    /// Milliseconds until it would have delivered `bytes` more than it owes.
    pub(crate) fn expected_ms(&self, now_ms: u64, bytes: u32) -> u64 {
        let owed: u64 = self.requests.values().map(|request| u64::from(request.assembly.missing())).sum();
        self.busy_until_ms.saturating_sub(now_ms) + self.delivery_ms(owed + u64::from(bytes), now_ms)
    }

    /// Milliseconds until a chunk that it owes is whole, by what it owes from before.
    pub(crate) fn remaining_ms(&self, at: ChunkAddress, now_ms: u64) -> u64 {
        let Some(asked) = self.requests.get(&at) else {
            return u64::MAX;
        };
        let before = self.requests.values().filter(|request| request.sent_ms <= asked.sent_ms);
        self.delivery_ms(before.map(|request| u64::from(request.assembly.missing())).sum(), now_ms)
    }

    fn delivery_ms(&self, bytes: u64, now_ms: u64) -> u64 {
        let rate = self.rate.expected_bytes_per_s(now_ms).unwrap_or(RATE_GUESS_BYTES_PER_S);
        let rate = rate.max(RATE_FLOOR_BYTES_PER_S);
        (self.latency_ms.unwrap_or(LATENCY_GUESS_MS) + bytes as f64 * 1000.0 / rate) as u64
    }

    /// A request is on its way.
    pub(crate) fn ask(&mut self, at: ChunkAddress, len: u32, now_ms: u64) {
        if self.requests.is_empty() {
            self.progress_ms = now_ms;
            self.turn_ms = now_ms;
            self.rate.start(now_ms);
        }
        self.requests.insert(at, Request { sent_ms: now_ms, assembly: Assembly::new(len) });
    }

    /// Chunk bytes came for a request that was sent then.
    pub(crate) fn received(&mut self, bytes: usize, sent_ms: u64, first: bool, now_ms: u64) {
        self.progress_ms = now_ms;
        self.rate.add(bytes as u64, now_ms);
        if first && self.requests.len() == 1 {
            let sample = now_ms.saturating_sub(sent_ms) as f64;
            self.latency_ms = Some(self.latency_ms.map_or(sample, |old| old * 0.7 + sample * 0.3));
        }
    }

    /// A request is over, one way or the other.
    pub(crate) fn finished(&mut self, now_ms: u64) {
        self.turn_ms = now_ms;
        if self.requests.is_empty() {
            self.rate.stop(now_ms);
        }
    }

    /// Gives up a request; its data is tolerated for a while. Bytes that came already are the result.
    pub(crate) fn cancel(&mut self, at: ChunkAddress, now_ms: u64) -> Option<u32> {
        let request = self.requests.remove(&at)?;
        let until_ms = now_ms + CANCELLED_MS;
        self.cancelled.insert(at, Cancelled { until_ms, bytes: u64::from(request.assembly.missing()) });
        if self.requests.is_empty() {
            self.rate.stop(now_ms);
        }
        Some(request.assembly.received())
    }

    /// Chunks whose late data would have come by now, or came, may be asked of it again.
    pub(crate) fn forget_cancelled(&mut self, now_ms: u64) {
        let before = self.cancelled.len();
        self.cancelled.retain(|_, cancelled| cancelled.until_ms > now_ms && cancelled.bytes > 0);
        if self.cancelled.len() < before {
            self.dry_at = None;
        }
    }
}

/// Speed while something is owed: a moving average over quarter seconds.
#[derive(Debug, Default)]
pub(crate) struct RateMeter {
    since_ms: Option<u64>,
    /// When the first request after a rest was sent.
    started_ms: u64,
    bytes: u64,
    rate: Option<f64>,
    idle_since_ms: u64,
}

impl RateMeter {
    /// As last measured.
    pub(crate) fn bytes_per_s(&self) -> Option<f64> {
        self.rate
    }

    /// What to count on now: a bad measurement is forgotten while nothing is owed, doubling every second up to the guess
    /// for strangers, for it may have been busy with others.
    pub(crate) fn expected_bytes_per_s(&self, now_ms: u64) -> Option<f64> {
        let rate = self.rate?;
        let idle_ms = match self.since_ms {
            // Silence shows at once, not only when the bucket is closed.
            Some(since) => {
                let elapsed_ms = now_ms.saturating_sub(since).max(1_000);
                return Some(
                    rate.min(self.bytes.max(RATE_BUCKET_BYTES) as f64 * 1000.0 / elapsed_ms as f64)
                        .max(rate / 4.0),
                );
            }
            None => now_ms.saturating_sub(self.idle_since_ms),
        };
        let recovered = rate.max(RATE_FLOOR_BYTES_PER_S) * (idle_ms as f64 / 1000.0).exp2();
        Some(rate.max(recovered.min(RATE_GUESS_BYTES_PER_S)))
    }

    pub(crate) fn start(&mut self, now_ms: u64) {
        if self.since_ms.is_none() {
            self.rate = self.expected_bytes_per_s(now_ms);
            self.since_ms = Some(now_ms);
            self.started_ms = now_ms;
        }
    }

    pub(crate) fn add(&mut self, bytes: u64, now_ms: u64) {
        self.bytes += bytes;
        self.roll(now_ms);
    }

    /// Closes the bucket if its time is over. Called now and then also when nothing comes.
    pub(crate) fn roll(&mut self, now_ms: u64) {
        let Some(since) = self.since_ms else { return };
        let elapsed = now_ms.saturating_sub(since);
        if elapsed < RATE_BUCKET_MS || (self.bytes < RATE_BUCKET_BYTES && elapsed < RATE_BUCKET_MS_MAX) {
            return;
        }
        self.close(elapsed, 0.5);
        self.since_ms = Some(now_ms);
    }

    /// Nothing is owed any more: idle time is not held against it.
    pub(crate) fn stop(&mut self, now_ms: u64) {
        let Some(since) = self.since_ms.take() else { return };
        self.idle_since_ms = now_ms;
        let elapsed_ms = now_ms.saturating_sub(since);
        // The end of a longer wait says nothing about speed.
        let telling = since == self.started_ms || elapsed_ms >= RATE_BUCKET_MS / 2;
        if telling && self.bytes >= u64::from(CHUNK_BYTES) / 4 {
            self.close(elapsed_ms.max(1), 0.3);
        }
        self.bytes = 0;
    }

    fn close(&mut self, elapsed_ms: u64, weight: f64) {
        let sample = self.bytes as f64 * 1000.0 / elapsed_ms as f64;
        self.rate = Some(self.rate.map_or(sample, |old| old * (1.0 - weight) + sample * weight));
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_measured_only_while_something_is_owed() {
        let mut meter = RateMeter::default();
        meter.start(0);
        for step in 1..=40 {
            meter.add(25_000, step * 25); // 1 MB/s
        }
        let busy = meter.bytes_per_s().unwrap();
        assert!((900_000.0..1_100_000.0).contains(&busy), "{busy}");
        meter.stop(1_000);
        meter.roll(60_000);
        assert_eq!(meter.bytes_per_s(), Some(busy));
    }

    #[test]
    fn silence_brings_the_speed_down() {
        let mut meter = RateMeter::default();
        meter.start(0);
        (1..=4).for_each(|step| meter.add(250_000, step * 250));
        (5..=60).for_each(|step| meter.roll(step * 250));
        assert!(meter.bytes_per_s().unwrap() < 20_000.0);
        meter.stop(15_000);
        assert!(meter.expected_bytes_per_s(15_000).unwrap() < 20_000.0);
        assert!(meter.expected_bytes_per_s(25_000).unwrap() > 300_000.0, "it gets another chance");
    }
}
