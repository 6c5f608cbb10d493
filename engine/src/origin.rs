//! The HTTP origin: runs of chunks, verified like anyone's. When it is asked is decided in `fallback.rs`.

use std::collections::BTreeMap;

use bytes::Bytes;
use matinee_protocol::id::ChunkAddress;
use matinee_protocol::limit::CHUNK_BYTES;

use crate::chunk::Source;
use crate::config::{Config, OriginPolicy};
use crate::input::OriginError;
use crate::output::Output;
use crate::peer::RateMeter;
use crate::swarm::Swarm;

const LATENCY_GUESS_MS: f64 = 300.0;
const RATE_GUESS_BYTES_PER_S: f64 = 2_000_000.0;
const RETRY_MS: u64 = 500;
const RETRY_MS_MAX: u64 = 30_000;
/// After a corrupt chunk, the origin is asked for it again this much later, doubling.
const CORRUPT_RETRY_MS: u64 = 1_000;
/// Chunks for which corruption is remembered.
const CORRUPT_MAX: usize = 4_096;

/// A run being fetched.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) file: u32,
    pub(crate) first: u32,
    /// Bit `i`: chunk `first + i` has not come yet.
    pub(crate) pending: u64,
    pub(crate) asked_ms: u64,
    pub(crate) progress_ms: u64,
    pub(crate) heard: bool,
}

impl Run {
    fn bit(&self, at: ChunkAddress) -> Option<u64> {
        let offset = at.chunk.get().checked_sub(self.first).filter(|offset| *offset < 64)?;
        let bit = 1 << offset;
        (at.file.get() == self.file && self.pending & bit != 0).then_some(bit)
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = ChunkAddress> + use<> {
        let (file, first, pending) = (self.file, self.first, self.pending);
        (0..64)
            .filter(move |bit| pending >> bit & 1 == 1)
            .map(move |bit| ChunkAddress::new(file, first + bit))
    }
}

/// What is known about the origin.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) next_request: u64,
    retry_at_ms: u64,
    failures: u32,
    latency_ms: Option<f64>,
    pub(crate) rate: RateMeter,
    corrupt: BTreeMap<ChunkAddress, (u32, u64)>,
    pub(crate) cursor: Cursor,
}

/// Where the search for background chunks goes on.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) file: u32,
    pub(crate) chunk: u32,
}

impl Origin {
    pub(crate) fn is_usable(&self, config: &Config, now_ms: u64) -> bool {
        config.origin != OriginPolicy::Never && now_ms >= self.retry_at_ms
    }

    /// Milliseconds until a chunk asked for now would be there.
    pub(crate) fn expected_ms(&self) -> u64 {
        // Runs share what the origin gives.
        let sharing = self.runs.len() as f64 + 1.0;
        let rate = self.rate.bytes_per_s().unwrap_or(RATE_GUESS_BYTES_PER_S).max(10_000.0);
        (self.latency_ms.unwrap_or(LATENCY_GUESS_MS) + sharing * f64::from(CHUNK_BYTES) * 1000.0 / rate)
            as u64
    }

    /// How long before its deadline a chunk is asked for here at the latest.
    pub(crate) fn lead_ms(&self, config: &Config) -> u64 {
        let rate = self.rate.bytes_per_s().unwrap_or(RATE_GUESS_BYTES_PER_S).max(10_000.0);
        let one = self.latency_ms.unwrap_or(LATENCY_GUESS_MS) + f64::from(CHUNK_BYTES) * 1000.0 / rate;
        config.origin_lead_ms.max((one * 3.0) as u64).min(config.urgent_ms.max(config.origin_lead_ms))
    }

    pub(crate) fn is_refused(&self, at: ChunkAddress, now_ms: u64) -> bool {
        self.corrupt.get(&at).is_some_and(|(_, until_ms)| *until_ms > now_ms)
    }

    fn fail(&mut self, now_ms: u64) {
        // Runs that fail together are one failure, else a short absence of the server would look like a long one.
        if now_ms < self.retry_at_ms {
            return;
        }
        let wait = RETRY_MS.saturating_mul(1 << self.failures.min(8)).min(RETRY_MS_MAX);
        self.failures += 1;
        self.retry_at_ms = now_ms + wait;
    }
}
impl Swarm {
    pub(crate) fn on_origin_chunk(&mut self, request: u64, at: ChunkAddress, bytes: Bytes) {
        let now_ms = self.now_ms;
        let count = bytes.len() as u64;
        let Some(run) = self.origin.runs.get_mut(&request).filter(|run| run.bit(at).is_some()) else {
            self.totals.wasted_bytes += count;
            return;
        };
        run.progress_ms = now_ms;
        self.progress_ms = now_ms;
        if !run.heard {
            run.heard = true;
            let sample = now_ms.saturating_sub(run.asked_ms) as f64;
            self.origin.latency_ms =
                Some(self.origin.latency_ms.map_or(sample, |old| old * 0.7 + sample * 0.3));
        }
        self.origin.rate.add(count, now_ms);
        self.chunks.release(at, Source::Origin(request));
        if self.is_genuine(at, &bytes) {
            self.origin.corrupt.remove(&at);
            self.totals.origin_bytes += count;
            self.accept(at, bytes);
        } else {
            self.totals.wasted_bytes += count;
            self.totals.origin_corrupt_chunks += 1;
            let times = self.origin.corrupt.get(&at).map_or(0, |(times, _)| *times);
            let until_ms = now_ms + CORRUPT_RETRY_MS.saturating_mul(1 << times.min(8));
            if times > 0 || self.origin.corrupt.len() < CORRUPT_MAX {
                self.origin.corrupt.insert(at, (times + 1, until_ms));
            }
            self.dirty = true;
        }
        // A run that ends by its last chunk is left to end by itself, so that the connection can be used again.
        self.tick_off(request, at);
    }

    pub(crate) fn on_origin_ended(&mut self, request: u64, error: Option<OriginError>) {
        let Some(run) = self.origin.runs.remove(&request) else {
            return;
        };
        for at in run.pending() {
            self.chunks.release(at, Source::Origin(request));
        }
        if error.is_some() || run.pending != 0 {
            self.totals.origin_failures += 1;
            self.origin.fail(self.now_ms);
        }
        self.rest_origin();
        self.dirty = true;
    }

    /// A chunk came from somewhere else, or is not wanted any more. A run that has none left is stopped.
    pub(crate) fn settle_origin(&mut self, request: u64, at: ChunkAddress) {
        if self.tick_off(request, at) {
            self.outputs.push_back(Output::CancelOrigin { request });
        }
    }

    /// A chunk is no longer waited for in this run; true if that was the last one, which ends the run.
    fn tick_off(&mut self, request: u64, at: ChunkAddress) -> bool {
        let Some(run) = self.origin.runs.get_mut(&request) else { return false };
        let Some(bit) = run.bit(at) else { return false };
        run.pending &= !bit;
        if run.pending != 0 {
            return false;
        }
        if run.heard {
            self.origin.failures = 0;
        }
        self.origin.runs.remove(&request);
        self.rest_origin();
        self.dirty = true;
        true
    }

    fn rest_origin(&mut self) {
        if self.origin.runs.is_empty() {
            self.origin.rate.stop(self.now_ms);
        }
    }

    /// How long a run has brought nothing.
    pub(crate) fn origin_waited_ms(&self, request: u64) -> u64 {
        self.origin.runs.get(&request).map_or(0, |run| self.now_ms.saturating_sub(run.progress_ms))
    }

    /// Gives up silent runs.
    pub(crate) fn tend_origin(&mut self) {
        let now_ms = self.now_ms;
        self.origin.rate.roll(now_ms);
        let limit = self.config.origin_timeout_ms;
        let silent = self.origin.runs.iter().filter(|(_, run)| now_ms >= run.progress_ms + limit);
        for request in silent.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.outputs.push_back(Output::CancelOrigin { request });
            self.on_origin_ended(request, Some(OriginError::Unreachable("silent".to_owned())));
        }
    }
}
