//! The chunk table against a plain model.

use std::collections::{BTreeMap, BTreeSet};

use matinee_protocol::hash::PageHash;
use matinee_protocol::id::{PeerId, ReleaseId};
use matinee_protocol::limit::CHUNK_BYTES;
use matinee_protocol::manifest::{FORMAT, ManifestFile};
use proptest::prelude::*;

use super::*;

const SIZES: [u32; 3] = [1_500, 1, 70];

fn manifest() -> Manifest {
    let files = SIZES.iter().map(|chunks| ManifestFile {
        name: "file".to_owned(),
        media_type: String::new(),
        size_bytes: u64::from(*chunks) * u64::from(CHUNK_BYTES),
        epoch_chunks: 8,
        duration_ms: None,
        pages: vec![PageHash([0; 32]); chunks.div_ceil(PAGE_HASHES) as usize],
    });
    Manifest {
        format: FORMAT,
        release: ReleaseId::from_bytes([0; 16]),
        title: String::new(),
        publisher: String::new(),
        created_at_ms: 0,
        sealed: true,
        files: files.collect(),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Request(u32, u32, u8),
    Release(u32, u32, u8),
    Hold(u32, u32),
    Lose(u32, u32),
    Page(u32, u32, bool),
    Everything(bool),
    Only(u32, u32, u32),
    Window(u32, Option<(u32, u32, u32)>),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || (0..3u32, prop_oneof![0..80u32, 1_000..1_500u32]);
    prop_oneof![
        (at(), 0..3u8).prop_map(|((file, chunk), source)| Step::Request(file, chunk, source)),
        (at(), 0..3u8).prop_map(|((file, chunk), source)| Step::Release(file, chunk, source)),
        at().prop_map(|(file, chunk)| Step::Hold(file, chunk)),
        at().prop_map(|(file, chunk)| Step::Lose(file, chunk)),
        (0..3u32, 0..2u32, any::<bool>()).prop_map(|(file, page, known)| Step::Page(file, page, known)),
        any::<bool>().prop_map(Step::Everything),
        (at(), 0..600u32).prop_map(|((file, chunk), count)| Step::Only(file, chunk, count)),
        (0..3u32, prop::option::of((at(), 1..100u32))).prop_map(|(reader, window)| Step::Window(
            reader,
            window.map(|((file, first), count)| (file, first, count))
        )),
    ]
}

fn source(number: u8) -> Source {
    if number == 0 { Source::Origin(9) } else { Source::Peer(PeerId::from_bytes([number; 16])) }
}

/// The same by brute force.
#[derive(Default)]
struct Model {
    held: BTreeSet<ChunkAddress>,
    requested: BTreeMap<ChunkAddress, BTreeSet<Source>>,
    base: BTreeSet<ChunkAddress>,
    windows: BTreeMap<u32, Window>,
    paged: BTreeSet<(u32, u32)>,
}

impl Model {
    fn all() -> impl Iterator<Item = ChunkAddress> {
        (0..3u32).flat_map(|file| (0..SIZES[file as usize]).map(move |chunk| ChunkAddress::new(file, chunk)))
    }

    fn wanted(&self, at: ChunkAddress) -> bool {
        self.base.contains(&at)
            || self.windows.values().any(|window| window.contains(at.file.get(), at.chunk.get()))
    }

    fn open(&self, at: ChunkAddress) -> bool {
        self.wanted(at)
            && !self.held.contains(&at)
            && !self.requested.contains_key(&at)
            && self.paged.contains(&(at.file.get(), at.chunk.get() / PAGE_HASHES))
    }

    fn apply(&mut self, table: &mut ChunkTable, step: Step) {
        let exists = |file: u32, chunk: u32| chunk < SIZES[file as usize];
        match step {
            Step::Request(file, chunk, number) => {
                let at = ChunkAddress::new(file, chunk);
                let sources = self.requested.get(&at).map_or(0, BTreeSet::len);
                let known = self.requested.get(&at).is_some_and(|sources| sources.contains(&source(number)));
                let allowed =
                    exists(file, chunk) && !self.held.contains(&at) && sources < SOURCES_MAX && !known;
                assert_eq!(table.request(at, source(number)), allowed);
                if allowed {
                    self.requested.entry(at).or_default().insert(source(number));
                }
            }
            Step::Release(file, chunk, number) => {
                let at = ChunkAddress::new(file, chunk);
                table.release(at, source(number));
                if let Some(sources) = self.requested.get_mut(&at) {
                    sources.remove(&source(number));
                    if sources.is_empty() {
                        self.requested.remove(&at);
                    }
                }
            }
            Step::Hold(file, chunk) => {
                let at = ChunkAddress::new(file, chunk);
                let fresh = exists(file, chunk) && self.held.insert(at);
                let given = table.hold(at).map(|sources| sources.into_iter().collect::<BTreeSet<_>>());
                let expected = fresh.then(|| self.requested.remove(&at).unwrap_or_default());
                assert_eq!(given, expected);
            }
            Step::Lose(file, chunk) => {
                let at = ChunkAddress::new(file, chunk);
                assert_eq!(table.lose(at), self.held.remove(&at));
            }
            Step::Page(file, page, known) if page < SIZES[file as usize].div_ceil(PAGE_HASHES) => {
                table.set_paged(file, page, known);
                if known {
                    self.paged.insert((file, page))
                } else {
                    self.paged.remove(&(file, page))
                };
            }
            Step::Page(..) => {}
            Step::Everything(yes) => {
                table.want(if yes { &Want::Everything } else { &Want::Nothing });
                self.base = if yes { Self::all().collect() } else { BTreeSet::new() };
            }
            Step::Only(file, first, count) => {
                table.want(&Want::Only(vec![(file.into(), first.into(), count)]));
                self.base = (first..first + count)
                    .filter(|chunk| exists(file, *chunk))
                    .map(|chunk| ChunkAddress::new(file, chunk))
                    .collect();
            }
            Step::Window(reader, window) => {
                let window = window.and_then(|(file, first, count)| {
                    let end = (first + count).min(SIZES[file as usize]);
                    (first < end).then_some(Window { file, first, end })
                });
                table.set_window(reader, window);
                match window {
                    Some(window) => self.windows.insert(reader, window),
                    None => self.windows.remove(&reader),
                };
            }
        }
    }

    fn check(&self, table: &ChunkTable) {
        let missing = Self::all().filter(|at| self.wanted(*at) && !self.held.contains(at)).count() as u64;
        assert_eq!(table.counts(), (self.held.len() as u64, missing, 1_571));
        for at in Self::all() {
            assert_eq!(table.is_open(at), self.open(at), "{at}");
            assert_eq!(table.is_held(at), self.held.contains(&at));
            assert_eq!(table.is_wanted(at), self.wanted(at));
        }
        let requested: BTreeMap<_, BTreeSet<_>> =
            table.requested().map(|(at, sources)| (at, sources.iter().copied().collect())).collect();
        assert_eq!(requested, self.requested);
        assert!(requested.keys().all(|at| !table.is_held(*at)), "a chunk is in one state");
        let open_files: Vec<u32> =
            (0..3).filter(|file| Self::all().any(|at| at.file.get() == *file && self.open(at))).collect();
        assert_eq!(table.open_files(0).collect::<Vec<_>>(), open_files);
        for file in 0..3u32 {
            let lacking = (0..2u32).find(|page| {
                !self.paged.contains(&(file, *page))
                    && Self::all().any(|at| {
                        at.file.get() == file
                            && at.chunk.get() / PAGE_HASHES == *page
                            && self.wanted(at)
                            && !self.held.contains(&at)
                    })
            });
            assert_eq!(table.next_lacking_page(file, 0), lacking);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// After any sequence of transitions the table and the model agree on every chunk.
    #[test]
    fn agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut table = ChunkTable::new(&manifest());
        let mut model = Model::default();
        for step in steps {
            model.apply(&mut table, step);
        }
        model.check(&table);
    }
}
