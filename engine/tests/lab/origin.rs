//! The laboratory's origin: one server with a latency and a bandwidth for each fetch, which can fail or corrupt.

use std::collections::BTreeSet;

use matinee_engine::{Input, OriginError};
use matinee_protocol::id::{ChunkAddress, FileIndex, PageIndex};

use super::{Event, Lab};

/// How the origin behaves.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) up: bool,
    pub(crate) latency_us: u64,
    pub(crate) bytes_per_s: u64,
    /// Chunks that it gives with a changed byte, as long as they are in here.
    pub(crate) corrupt: BTreeSet<ChunkAddress>,
    pub(crate) served_bytes: u64,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            up: true,
            latency_us: 60_000,
            bytes_per_s: 8_000_000,
            corrupt: BTreeSet::new(),
            served_bytes: 0,
        }
    }
}

impl Lab {
    pub(crate) fn fetch(&mut self, node: usize, request: u64, file: FileIndex, first: u32, count: u32) {
        if !self.origin.up {
            let error = Some(OriginError::Unreachable("connection refused".to_owned()));
            self.at(self.now_us + 5_000, Event::Input { node, input: Input::OriginEnded { request, error } });
            return;
        }
        let start = self.now_us + self.origin.latency_us;
        self.fetch_next(node, request, ChunkAddress { file, chunk: first.into() }, first + count, start);
    }

    /// Sends one chunk of a run and goes on with the next, unless the run was cancelled.
    fn fetch_next(&mut self, node: usize, request: u64, at: ChunkAddress, end: u32, start_us: u64) {
        if at.chunk.get() == end {
            self.at(start_us, Event::Input { node, input: Input::OriginEnded { request, error: None } });
            return;
        }
        let bytes = self.release.chunk(at).clone();
        let done = start_us + bytes.len() as u64 * 1_000_000 / self.origin.bytes_per_s;
        let script = move |lab: &mut Lab| {
            if lab.nodes[node].cancelled_runs.contains(&request) || !lab.nodes[node].alive {
                return;
            }
            lab.origin.served_bytes += bytes.len() as u64;
            let mut given = bytes;
            if lab.origin.corrupt.contains(&at) {
                let mut wrong = given.to_vec();
                wrong[77] ^= 1;
                given = wrong.into();
            }
            lab.input(node, Input::OriginChunk { request, at, bytes: given });
            let next = ChunkAddress { file: at.file, chunk: (at.chunk.get() + 1).into() };
            let now = lab.now_us;
            lab.fetch_next(node, request, next, end, now);
        };
        self.at(done, Event::Script(Box::new(script)));
    }

    pub(crate) fn fetch_page(&mut self, node: usize, file: FileIndex, page: PageIndex) {
        let input = if self.origin.up {
            let bytes = self.release.pages[file.get() as usize][page.get() as usize].clone();
            Input::PageArrived { file, page, bytes }
        } else {
            Input::PageFailed { file, page }
        };
        self.at(self.now_us + self.origin.latency_us, Event::Input { node, input });
    }
}
