//! What happens because time passes: timeouts and strikes, rescues near the playhead, the end-game.

use std::collections::BTreeSet;

use matinee_protocol::id::{ChunkAddress, PeerId};

use crate::chunk::Source;
use crate::output::Fault;
use crate::swarm::Swarm;

/// A chunk is asked for a second time at the earliest after this.
const RESCUE_AFTER_MS: u64 = 300;
/// What a rescue has in hand: it is looked for only once a tick.
const RESCUE_MARGIN_MS: u64 = 150;
/// The end-game: no more chunks in flight than this, and nothing else to ask for.
const ENDGAME_CHUNKS_MAX: usize = 32;
const ENDGAME_AFTER_MS: u64 = 1_000;
/// After a strike a peer is left alone for this long, times its strikes.
const PAUSE_MS: u64 = 2_000;

impl Swarm {
    /// Ten times a second while something goes on.
    pub(crate) fn run_timers(&mut self) {
        let now_ms = self.now_ms;
        for peer in self.peers.values_mut() {
            peer.forget_cancelled(now_ms);
            peer.pages_asked.retain(|_, until_ms| *until_ms > now_ms);
            peer.rate.roll(now_ms);
        }
        self.tend_members();
        self.tend_slow_peers();
        self.tend_pages();
        self.tend_origin();
        self.tend_uploads();
        if !self.leaving {
            self.rescue();
            self.end_game();
            self.schedule_background_origin();
            self.dirty = true;
        }
    }

    /// Takes chunks from peers that are silent or far too slow. A strike follows if others did get on meanwhile; if nobody
    /// did, the trouble may be our own network.
    fn tend_slow_peers(&mut self) {
        let (now_ms, config) = (self.now_ms, &self.config);
        let late = self.peers.iter().filter(|(_, peer)| {
            let silent = now_ms >= peer.progress_ms + config.request_timeout_ms;
            let trickling = now_ms >= peer.turn_ms + config.chunk_timeout_ms;
            !peer.requests.is_empty() && (silent || trickling)
        });
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            let others_got_on = self.peers.get(&id).is_some_and(|peer| self.progress_ms > peer.turn_ms);
            self.drop_requests(id);
            let strikes_max = self.config.strikes_max;
            let Some(peer) = self.peers.get_mut(&id) else {
                continue;
            };
            peer.strikes += u32::from(others_got_on);
            peer.busy_until_ms = now_ms + PAUSE_MS * u64::from(peer.strikes);
            if peer.strikes >= strikes_max {
                self.expel(id, Fault::TooSlow);
            }
        }
    }

    /// Asks a second source for chunks near the playhead that their first one will not deliver in time.
    fn rescue(&mut self) {
        let lead_ms = self.origin.lead_ms(&self.config);
        let origin = self.origin.is_usable(&self.config, self.now_ms);
        let origin_ms = self.origin.expected_ms();
        let mut candidates = BTreeSet::new();
        let mut second = Vec::new();
        for (at, sources) in self.chunks.requested() {
            let Some(deadline) = self.deadline_of(at) else {
                continue;
            };
            let slack = deadline.saturating_sub(self.now_ms);
            if slack > lead_ms {
                continue;
            }
            let origin = origin && !self.origin.is_refused(at, self.now_ms);
            if let Some(request) = sources.iter().find_map(|source| source.request()) {
                let waited = self.origin_waited_ms(request);
                if sources.len() == 1 && slack < lead_ms / 2 && waited > origin_ms.max(RESCUE_AFTER_MS) {
                    second.push((at, waited));
                }
                continue;
            }
            let owed = sources.iter().filter_map(|source| self.progress_of(source.peer()?, at));
            let Some((age, remaining)) = owed.min_by_key(|(_, remaining)| *remaining) else {
                continue;
            };
            // Once it turns out to be late, the origin must still be able to make up for it.
            if age < RESCUE_AFTER_MS || remaining.saturating_add(origin_ms + RESCUE_MARGIN_MS) <= slack {
                continue;
            }
            if origin && origin_ms < remaining {
                candidates.insert((deadline, at));
            } else if sources.len() == 1 {
                second.push((at, remaining));
            }
        }
        self.fetch_runs(candidates);
        for (at, remaining) in second {
            if let (Some((peer, expected)), _) = self.best_peer(at)
                && expected < remaining
            {
                self.ask(peer, at);
            }
        }
    }

    /// When nothing is left to ask for, idle peers are asked for what much slower ones still owe.
    fn end_game(&mut self) {
        let in_flight = self.chunks.requested_count();
        if in_flight == 0 || in_flight > ENDGAME_CHUNKS_MAX || self.chunks.open_files(0).next().is_some() {
            return;
        }
        let mut second: Vec<(ChunkAddress, u64)> = Vec::new();
        for (at, sources) in self.chunks.requested() {
            if let [Source::Peer(peer)] = sources
                && let Some((age, remaining)) = self.progress_of(*peer, at)
                && age >= ENDGAME_AFTER_MS
            {
                second.push((at, remaining));
            }
        }
        second.sort_by_key(|(_, remaining)| std::cmp::Reverse(*remaining));
        for (at, remaining) in second {
            if let (Some((peer, expected)), _) = self.best_peer(at)
                && expected.saturating_mul(2) < remaining
            {
                self.ask(peer, at);
            }
        }
    }

    /// Age of a request at a peer and the milliseconds it is still expected to take.
    fn progress_of(&self, peer: PeerId, at: ChunkAddress) -> Option<(u64, u64)> {
        let peer = self.peers.get(&peer)?;
        let request = peer.requests.get(&at)?;
        // Who was silent for a while may well be so for as long again.
        let silent_ms = self.now_ms.saturating_sub(peer.progress_ms);
        let remaining_ms = peer.remaining_ms(at, self.now_ms).max(silent_ms);
        Some((self.now_ms.saturating_sub(request.sent_ms), remaining_ms))
    }
}
