//! Hash pages: asked of peers first, of the origin else; verified against the manifest before any chunk of them is asked for.

use std::collections::BTreeMap;

use bytes::Bytes;
use matinee_protocol::frame::Frame;
use matinee_protocol::hash::{ChunkHash, HashPage};
use matinee_protocol::id::{ChunkAddress, FileIndex, PageIndex, PeerId};
use matinee_protocol::limit::PAGE_HASHES;
use matinee_protocol::manifest::page_of;

use crate::config::{Config, OriginPolicy};
use crate::output::{Fault, Output};
use crate::swarm::Swarm;

/// Pages kept in memory (32 KiB each): the hashes of 256 GiB.
const PAGES_HELD_MAX: usize = 1_024;
/// Pages being asked for at once for what is merely wanted.
const PAGES_ASKED_MAX: usize = 4;
/// The same for what readers need.
const PAGES_ASKED_URGENT_MAX: usize = 8;
/// A page that a reader needs now is waited for by this fraction of the usual time before the origin is asked.
const URGENT_FRACTION: u64 = 3;
const RETRY_MS: u64 = 1_000;
const RETRY_MS_MAX: u64 = 30_000;
/// How long a late answer of a peer is tolerated.
const LATE_MS: u64 = 30_000;

/// A page as (file, page).
pub(crate) type PageKey = (u32, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Peer(PeerId),
    Origin,
    /// Nobody to ask; again later.
    Nobody,
}

#[derive(Debug)]
struct Ask {
    source: Source,
    /// With a source, when it is given up; with nobody, when to look again.
    until_ms: u64,
    /// The origin failed and is left alone until then.
    origin_from_ms: u64,
    tried: Vec<PeerId>,
    failures: u32,
}

/// The pages known and asked for.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    held: BTreeMap<PageKey, (HashPage, u64)>,
    asks: BTreeMap<PageKey, Ask>,
    uses: u64,
    cursor: PageKey,
}

impl Pages {
    /// The hash that a chunk must have, if its page is known.
    pub(crate) fn hash_of(&mut self, at: ChunkAddress) -> Option<ChunkHash> {
        let (page, position) = page_of(at.chunk);
        let (hashes, used) = self.held.get_mut(&(at.file.get(), page.get()))?;
        self.uses += 1;
        *used = self.uses;
        hashes.chunk(position)
    }

    pub(crate) fn bytes_of(&self, key: PageKey) -> Option<Bytes> {
        self.held.get(&key).map(|(page, _)| page.bytes().clone())
    }

    pub(crate) fn asks_wait(&self) -> bool {
        !self.asks.is_empty()
    }

    fn in_flight(&self) -> usize {
        self.asks.values().filter(|ask| ask.source != Source::Nobody).count()
    }

    /// Somebody has chunks of a file: its pages that nobody could give are looked for again at once.
    pub(crate) fn wake(&mut self, file: u32) {
        let asks = self.asks.range_mut((file, 0)..=(file, u32::MAX)).map(|(_, ask)| ask);
        asks.filter(|ask| ask.source == Source::Nobody).for_each(|ask| ask.until_ms = 0);
    }

    fn may_ask(&self, key: PageKey, now_ms: u64) -> bool {
        self.asks.get(&key).is_none_or(|ask| ask.source == Source::Nobody && ask.until_ms <= now_ms)
    }
}

impl Swarm {
    /// Asks for pages that readers need, and for more of what is wanted when peers have run dry.
    pub(crate) fn schedule_pages(&mut self) {
        let mut needed: Vec<(PageKey, bool)> = Vec::new();
        for reader in self.readers.values() {
            let mut from = reader.first / PAGE_HASHES;
            while let Some(page) = self.chunks.next_lacking_page(reader.file, from) {
                if page * PAGE_HASHES >= reader.end {
                    break;
                }
                needed.push(((reader.file, page), page == reader.first / PAGE_HASHES));
                from = page + 1;
            }
        }
        for (key, first) in needed {
            if self.pages.in_flight() < PAGES_ASKED_URGENT_MAX {
                self.ask_page(key, first);
            }
        }
        if self.pages.in_flight() < PAGES_ASKED_MAX && self.hungers() {
            self.schedule_background_pages();
        }
    }

    fn schedule_background_pages(&mut self) {
        /// Files looked at in one go.
        const FILES_LOOKED_AT_MAX: u32 = 256;
        let files = self.chunks.file_count();
        let (mut file, mut page) = self.pages.cursor;
        for _ in 0..files.min(FILES_LOOKED_AT_MAX) + 1 {
            while let Some(lacking) = self.chunks.next_lacking_page(file, page) {
                if self.pages.in_flight() >= PAGES_ASKED_MAX {
                    self.pages.cursor = (file, lacking);
                    return;
                }
                self.ask_page((file, lacking), false);
                page = lacking + 1;
            }
            (file, page) = ((file + 1) % files.max(1), 0);
        }
        self.pages.cursor = (file, page);
    }

    /// Whether sources stand idle for want of hashes.
    fn hungers(&self) -> bool {
        let openings = self.chunks.openings();
        self.chunks.open_files(0).next().is_none()
            || self.peers.values().any(|peer| {
                peer.dry_at == Some(openings)
                    && peer.requests.is_empty()
                    && peer.is_ready()
                    && peer.chunks_held() > 0
            })
    }

    fn ask_page(&mut self, key: PageKey, urgent: bool) {
        let now_ms = self.now_ms;
        if !self.pages.may_ask(key, now_ms) {
            return;
        }
        let (file, page) = key;
        let (first, end) = (page * PAGE_HASHES, (page + 1).saturating_mul(PAGE_HASHES));
        let ask = self.pages.asks.entry(key).or_insert(Ask {
            source: Source::Nobody,
            until_ms: 0,
            origin_from_ms: 0,
            tried: Vec::new(),
            failures: 0,
        });
        // Who has none of its chunks is of no use for the page either: it would only be waited for.
        let may_give = |(id, peer): &(&PeerId, &mut crate::peer::Peer)| {
            peer.is_ready()
                && !ask.tried.contains(id)
                && !peer.pages_asked.contains_key(&key)
                && peer.inventory.get(&file).is_some_and(|has| has.next(first, end).is_some())
        };
        let origin = self.origin.is_usable(&self.config, now_ms) && ask.origin_from_ms <= now_ms;
        let found =
            self.peers.iter_mut().filter(may_give).min_by_key(|(_, peer)| peer.expected_ms(now_ms, 0));
        if let Some((id, peer)) = found {
            let patience = if urgent {
                self.config.page_timeout_ms / URGENT_FRACTION
            } else {
                self.config.page_timeout_ms
            };
            peer.pages_asked.insert(key, now_ms + LATE_MS);
            ask.source = Source::Peer(*id);
            ask.until_ms = now_ms + patience;
            let id = *id;
            self.send(id, &Frame::PageRequest { file: FileIndex(file), page: PageIndex(page) });
        } else if origin {
            ask.source = Source::Origin;
            ask.until_ms = now_ms + self.config.origin_timeout_ms;
            self.outputs.push_back(Output::FetchPage { file: FileIndex(file), page: PageIndex(page) });
        } else {
            ask.source = Source::Nobody;
            ask.tried.clear();
            ask.until_ms = now_ms + RETRY_MS;
        }
    }

    /// Turns to another source where one was silent; forgets what nobody wants any more.
    pub(crate) fn tend_pages(&mut self) {
        let now_ms = self.now_ms;
        let config: &Config = &self.config;
        let chunks = &self.chunks;
        self.pages.asks.retain(|key, ask| {
            if ask.until_ms <= now_ms {
                match ask.source {
                    Source::Peer(peer) => {
                        ask.tried.push(peer);
                        ask.source = Source::Nobody;
                    }
                    Source::Origin => ask.fail(config, now_ms),
                    Source::Nobody => {}
                }
            }
            ask.source != Source::Nobody || chunks.next_lacking_page(key.0, key.1) == Some(key.1)
        });
    }

    /// A peer is gone: pages asked of it are asked elsewhere.
    pub(crate) fn forget_page_source(&mut self, peer: PeerId) {
        for ask in self.pages.asks.values_mut().filter(|ask| ask.source == Source::Peer(peer)) {
            ask.source = Source::Nobody;
            ask.until_ms = 0;
        }
    }

    pub(crate) fn on_page_request(&mut self, peer: PeerId, key: PageKey) {
        let Some(bytes) = self.pages.bytes_of(key) else {
            return;
        };
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if !state.upload.may_send() {
            return; // an answer now would only lengthen a queue that does not drain; the other side asks elsewhere
        }
        state.upload.take(bytes.len());
        self.send(peer, &Frame::Page { file: FileIndex(key.0), page: PageIndex(key.1), bytes });
    }

    pub(crate) fn on_page(&mut self, peer: PeerId, key: PageKey, bytes: Bytes) {
        let asked = self.peers.get_mut(&peer).is_some_and(|state| state.pages_asked.remove(&key).is_some());
        if !asked {
            self.expel(peer, Fault::Protocol);
        } else if !self.learn_page(key, bytes, true) {
            self.expel(peer, Fault::BadData);
        }
    }

    pub(crate) fn on_page_arrived(&mut self, key: PageKey, bytes: Bytes) {
        let asked = self.pages.asks.get(&key).is_some_and(|ask| ask.source == Source::Origin);
        if !self.learn_page(key, bytes, asked) && asked {
            self.on_page_failed(key);
        }
    }

    pub(crate) fn on_page_failed(&mut self, key: PageKey) {
        if let Some(ask) = self.pages.asks.get_mut(&key)
            && ask.source == Source::Origin
        {
            ask.fail(&self.config, self.now_ms);
            self.dirty = true;
        }
    }

    /// Takes in a page if it is the one in the manifest; false if it is not.
    fn learn_page(&mut self, key: PageKey, bytes: Bytes, keep: bool) -> bool {
        let expected = self.manifest.file(FileIndex(key.0)).and_then(|file| file.page_hash(PageIndex(key.1)));
        let Some(page) = expected.and_then(|hash| HashPage::verify(bytes.clone(), hash).ok()) else {
            return false;
        };
        self.pages.asks.remove(&key);
        if self.pages.held.contains_key(&key) {
            return true;
        }
        if self.pages.held.len() >= PAGES_HELD_MAX {
            self.drop_a_page();
        }
        self.pages.uses += 1;
        self.pages.held.insert(key, (page, self.pages.uses));
        self.chunks.set_paged(key.0, key.1, true);
        if keep {
            self.outputs.push_back(Output::StorePage {
                file: FileIndex(key.0),
                page: PageIndex(key.1),
                bytes,
            });
        }
        self.dirty = true;
        true
    }

    /// Makes room for a page: one that no chunk waits for if there is any, the longest unused else.
    fn drop_a_page(&mut self) {
        let chunks = &self.chunks;
        let idle = self.pages.held.iter().filter(|(key, _)| !chunks.page_has_requests(key.0, key.1));
        let victim = idle.min_by_key(|(key, (_, used))| (chunks.page_is_missed(key.0, key.1), *used));
        if let Some(key) = victim.map(|(key, _)| *key) {
            self.pages.held.remove(&key);
            self.chunks.set_paged(key.0, key.1, false);
        }
    }
}

impl Ask {
    fn fail(&mut self, config: &Config, now_ms: u64) {
        self.failures += 1;
        self.tried.clear();
        let wait = RETRY_MS.saturating_mul(1 << self.failures.min(8)).min(RETRY_MS_MAX) / 2;
        self.source = Source::Nobody;
        self.origin_from_ms =
            if config.origin == OriginPolicy::Only { now_ms + RETRY_MS } else { now_ms + wait };
        self.until_ms = self.origin_from_ms;
    }
}
