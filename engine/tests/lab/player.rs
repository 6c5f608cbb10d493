//! A viewer: consumes file 0 at a steady pace and notes when it had to wait.

use matinee_engine::Input;
use matinee_protocol::id::ChunkAddress;

use super::{Event, Lab, PLAYER_TICK_US, Player};

impl Lab {
    /// Starts playback of file 0.
    pub(crate) fn play(&mut self, node: usize, bytes_per_s: u64, ahead_chunks: u32) {
        let end = self.release.chunks[0].len() as u32;
        let asked_ms = self.now_us / 1000;
        self.nodes[node].player = Some(Player {
            bytes_per_s,
            ahead_chunks,
            next: 0,
            end,
            asked_ms,
            first_chunk_ms: None,
            due_us: self.now_us,
            waiting_since_us: None,
            stalls: 0,
            stalled_us: 0,
            done: false,
            greedy: false,
        });
        self.at(self.now_us, Event::Play { node });
    }

    pub(crate) fn advance_player(&mut self, node: usize) {
        let now_us = self.now_us;
        let Some(player) = self.nodes[node].player.clone() else {
            return;
        };
        let mut player = player;
        while !player.done && player.due_us <= now_us {
            let at = ChunkAddress::new(0, player.next);
            if !self.nodes[node].swarm.holds(at) {
                player
                    .waiting_since_us
                    .get_or_insert(player.due_us.max(player.waiting_since_us.unwrap_or(0)));
                break;
            }
            if player.first_chunk_ms.is_none() {
                player.first_chunk_ms = Some(now_us / 1000 - player.asked_ms);
                player.waiting_since_us = None;
                player.due_us = now_us;
            } else if let Some(since) = player.waiting_since_us.take() {
                player.stalls += 1;
                player.stalled_us += now_us - since;
                player.due_us = now_us;
            }
            player.due_us += player.chunk_us();
            player.next += 1;
            player.done = player.next == player.end;
        }
        let waits = player.waiting_since_us.is_some();
        let playhead = (!player.done).then(|| {
            Player { next: player.next.saturating_sub(u32::from(!waits)), ..player.clone() }.playhead()
        });
        let next = if waits { now_us + 20_000 } else { player.due_us.min(now_us + PLAYER_TICK_US) };
        let done = player.done;
        let tell =
            !waits || now_us / PLAYER_TICK_US != (now_us - 20_000) / PLAYER_TICK_US || player.next == 0;
        self.nodes[node].player = Some(player);
        if tell || done {
            self.input(node, Input::Playhead { reader: 1, playhead });
        }
        if !done {
            self.at(next, Event::Play { node });
        }
    }
}
