//! One release's swarm.

use matinee_protocol::id::ChunkAddress;
use matinee_protocol::manifest::Manifest;

use crate::{Config, Identity, Input, Output, Stats};

/// The swarm of one release, as one device sees it.
pub struct Swarm {
    _outputs: std::collections::VecDeque<Output>,
}

impl Swarm {
    /// A swarm without peers or chunks. The same seed and the same inputs give the same outputs.
    pub fn new(_config: Config, _manifest: Manifest, _identity: Identity, _seed: u64) -> Self {
        Self { _outputs: std::collections::VecDeque::new() }
    }

    /// Takes in what happened. `now_ms` is Unix time.
    pub fn handle(&mut self, _now_ms: u64, _input: Input) {}

    /// The next thing to do; drain until `None` after every `handle`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self._outputs.pop_front()
    }

    /// When to call `handle` with [`Input::Tick`], if nothing happens before.
    pub fn next_wakeup_ms(&self) -> Option<u64> {
        None
    }

    /// Figures so far. Walks all peers: call it a few times a second, not per frame.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Whether a chunk is held (verified and given to the driver to store).
    pub fn holds(&self, _at: ChunkAddress) -> bool {
        false
    }
}
