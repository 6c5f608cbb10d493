use bytes::Bytes;
use matinee_protocol::hash::{PageBuilder, chunk_hash};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex};
use matinee_protocol::limit::CHUNK_BYTES;
use matinee_protocol::manifest::{FORMAT, ManifestFile};

use super::*;

/// A release with one open file of `chunks` chunks, the last one short.
struct Sample {
    release: ReleaseId,
    manifest: Arc<Manifest>,
    chunks: Vec<Bytes>,
    page: Bytes,
}

impl Sample {
    fn new(seed: u8, chunks: u32) -> Self {
        let last = 1000;
        let chunk = |index: u32| {
            let length = if index + 1 == chunks { last } else { CHUNK_BYTES };
            let mut bytes = vec![seed; length as usize];
            bytes[..4].copy_from_slice(&index.to_be_bytes());
            Bytes::from(bytes)
        };
        let chunks: Vec<Bytes> = (0..chunks).map(chunk).collect();
        let mut builder = PageBuilder::default();
        chunks.iter().for_each(|chunk| builder.push(chunk_hash(chunk)));
        let (page, hash) = builder.pages().next().unwrap();
        let page = Bytes::copy_from_slice(page);
        let release = ReleaseId::from_bytes([seed; 16]);
        let file = ManifestFile {
            name: "film.mp4".into(),
            media_type: "video/mp4".into(),
            size_bytes: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            epoch_chunks: 64,
            duration_ms: None,
            pages: vec![hash],
        };
        let manifest = Manifest {
            format: FORMAT,
            release,
            title: "Film".into(),
            publisher: "Studio".into(),
            created_at_ms: 0,
            sealed: false,
            files: vec![file],
        };
        manifest.validate().unwrap();
        Self { release, manifest: Arc::new(manifest), chunks, page }
    }

    fn store(&self, cache: &Arc<Cache>) -> Arc<ReleaseStore> {
        let store = cache.release(self.release, "signed", Arc::clone(&self.manifest)).unwrap();
        store.put_page(FileIndex(0), PageIndex(0), self.page.clone()).unwrap();
        store
    }

    fn fill(&self, store: &ReleaseStore) {
        for (index, chunk) in (0..).zip(&self.chunks) {
            store.write(at(index), chunk).unwrap();
        }
    }
}

fn at(chunk: u32) -> ChunkAddress {
    ChunkAddress::new(0, chunk)
}

fn run_file(folder: &Path, sample: &Sample, run: u32) -> PathBuf {
    folder.join(sample.release.to_string()).join("0").join(format!("{run}.chunks"))
}

#[test]
fn chunks_survive_a_restart_and_one_process_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(1, 70);
    let cache = Cache::open(folder.path(), u64::MAX).unwrap();
    assert!(matches!(Cache::open(folder.path(), 1), Err(Error::Locked(_))));
    let store = sample.store(&cache);
    sample.fill(&store);
    assert_eq!(store.read(at(69)).unwrap().unwrap(), sample.chunks[69]);
    drop((store, cache));

    let cache = Cache::open(folder.path(), u64::MAX).unwrap();
    assert_eq!(cache.kept_manifest(sample.release).as_deref(), Some("signed"));
    let store = cache.release(sample.release, "signed", Arc::clone(&sample.manifest)).unwrap();
    assert_eq!(store.held(FileIndex(0)).len(), 70, "the page was kept as well");
    for (index, chunk) in (0..).zip(&sample.chunks) {
        assert_eq!(store.read(at(index)).unwrap().as_ref(), Some(chunk));
    }
    assert_eq!(store.read(at(70)).unwrap(), None);
}

#[test]
fn a_process_killed_in_mid_write_leaves_nothing_that_counts() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(2, 70);
    {
        let cache = Cache::open(folder.path(), u64::MAX).unwrap();
        let store = sample.store(&cache);
        (0..3).for_each(|index| store.write(at(index), &sample.chunks[index as usize]).unwrap());
    }
    // Half of chunk 3 was written, and the first bytes of another run, when the process was killed.
    let run = run_file(folder.path(), &sample, 0);
    let mut bytes = fs::read(&run).unwrap();
    bytes.extend_from_slice(&sample.chunks[3][..1000]);
    fs::write(&run, bytes).unwrap();
    fs::write(run_file(folder.path(), &sample, 1), b"partial").unwrap();

    let cache = Cache::open(folder.path(), u64::MAX).unwrap();
    assert!(!run_file(folder.path(), &sample, 1).exists(), "bytes without a bit are removed");
    let store = sample.store(&cache);
    assert_eq!(store.held(FileIndex(0)), [ChunkIndex(0), ChunkIndex(1), ChunkIndex(2)]);
    assert_eq!(store.read(at(3)).unwrap(), None);
    store.write(at(3), &sample.chunks[3]).unwrap();
    assert_eq!(store.read(at(3)).unwrap().unwrap(), sample.chunks[3]);
}

#[test]
fn damage_is_found_on_reading_and_the_chunk_can_be_had_again() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(3, 4);
    let cache = Cache::open(folder.path(), u64::MAX).unwrap();
    let store = sample.store(&cache);
    sample.fill(&store);
    let run = run_file(folder.path(), &sample, 0);
    let mut bytes = fs::read(&run).unwrap();
    bytes[CHUNK_BYTES as usize + 77] ^= 1;
    fs::write(&run, &bytes).unwrap();

    assert!(store.read(at(0)).unwrap().is_some());
    assert!(matches!(store.read(at(1)), Err(Error::Corrupt)));
    assert_eq!(store.take_lost(), [at(1)]);
    assert_eq!(store.read(at(1)).unwrap(), None);
    store.write(at(1), &sample.chunks[1]).unwrap();
    assert_eq!(store.read(at(1)).unwrap().unwrap(), sample.chunks[1]);

    fs::remove_file(&run).unwrap();
    assert!(matches!(store.read(at(2)), Err(Error::Corrupt)));
    assert!(store.take_lost().contains(&at(2)));
}

#[test]
fn foreign_pages_and_sizes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (sample, other) = (Sample::new(4, 3), Sample::new(5, 3));
    let cache = Cache::open(folder.path(), u64::MAX).unwrap();
    let store = cache.release(sample.release, "signed", Arc::clone(&sample.manifest)).unwrap();
    assert!(matches!(store.put_page(FileIndex(0), PageIndex(0), other.page), Err(Error::Foreign(_))));
    assert!(matches!(
        store.put_page(FileIndex(1), PageIndex(0), sample.page.clone()),
        Err(Error::Foreign(_))
    ));
    assert!(matches!(store.write(at(0), b"short"), Err(Error::Foreign(_))));
    assert!(matches!(store.write(at(3), &sample.chunks[0]), Err(Error::Foreign(_))));
    assert_eq!(store.page(FileIndex(0), PageIndex(0)).map(|page| page.bytes().len()), None);
}

#[test]
fn the_longest_unused_run_of_what_is_not_pinned_is_evicted() {
    let folder = tempfile::tempdir().unwrap();
    let run_bytes = 64 * u64::from(CHUNK_BYTES);
    let (old, pinned, new) = (Sample::new(6, 129), Sample::new(7, 65), Sample::new(8, 65));
    let cache = Cache::open(folder.path(), 3 * run_bytes + 1_000_000).unwrap();
    let pinned_store = pinned.store(&cache);
    let _pin = pinned_store.pin();
    pinned.fill(&pinned_store);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let old_store = old.store(&cache);
    old.fill(&old_store);
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert!(old_store.read(at(0)).unwrap().is_some(), "run 0 is used, run 1 becomes the oldest");

    let new_store = new.store(&cache);
    new.fill(&new_store);
    assert!(cache.usage().bytes <= cache.usage().bytes_max);
    assert_eq!(pinned_store.held(FileIndex(0)).len(), 65);
    assert_eq!(new_store.held(FileIndex(0)).len(), 65);
    let left: Vec<u32> = old_store.held(FileIndex(0)).into_iter().map(ChunkIndex::get).collect();
    assert_eq!(left, (0..64).chain([128]).collect::<Vec<_>>());
    assert_eq!(old_store.take_lost().len(), 64);
    assert!(!run_file(folder.path(), &old, 1).exists());
}

#[test]
fn a_limit_without_anything_to_evict_is_a_full_cache() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(9, 70);
    let cache = Cache::open(folder.path(), 2 * u64::from(CHUNK_BYTES)).unwrap();
    let store = sample.store(&cache);
    let _pin = store.pin();
    store.write(at(0), &sample.chunks[0]).unwrap();
    store.write(at(1), &sample.chunks[1]).unwrap();
    assert!(matches!(store.write(at(2), &sample.chunks[2]), Err(Error::Full)));
    assert_eq!(store.held(FileIndex(0)).len(), 2);
    assert_eq!(cache.usage().bytes, 2 * u64::from(CHUNK_BYTES));
}

#[tokio::test]
async fn a_full_cache_goes_on_in_memory_and_tells_what_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Sample::new(10, 20);
    let cache = Cache::open(folder.path(), 2 * u64::from(CHUNK_BYTES)).unwrap();
    let store = sample.store(&cache);
    let _pin = store.pin();
    let shelf = Shelf::with_memory(store, 4 * CHUNK_BYTES as usize);
    let mut arrivals = shelf.arrivals();
    for index in 0..2 {
        shelf.put(at(index), sample.chunks[index as usize].clone());
        assert_eq!(
            shelf.read(at(index)).await.as_ref(),
            Some(&sample.chunks[index as usize]),
            "before it is written"
        );
    }
    assert!(arrivals.has_changed().unwrap());
    arrivals.borrow_and_update();
    while shelf.write_pending().await > 0 {}
    assert!(!shelf.is_memory_only());
    for index in 2..10 {
        shelf.put(at(index), sample.chunks[index as usize].clone());
        while shelf.write_pending().await > 0 {}
    }
    assert!(shelf.is_memory_only());
    assert_eq!(shelf.pending(), 0);
    let lost = shelf.take_lost();
    assert_eq!(lost, (2..6).map(at).collect::<Vec<_>>(), "all but the last four, which memory holds");
    assert!(shelf.take_lost().is_empty());
    for index in (6..10).chain(0..2) {
        assert_eq!(shelf.read(at(index)).await.as_ref(), Some(&sample.chunks[index as usize]));
        assert!(shelf.holds(at(index)) || index >= 6);
    }
}

#[test]
fn writers_readers_and_eviction_race_without_giving_out_wrong_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<Sample> = (20..24).map(|seed| Sample::new(seed, 96)).collect();
    // Room for about half of it, so that eviction goes on all the time.
    let cache = Cache::open(folder.path(), 200 * u64::from(CHUNK_BYTES)).unwrap();
    std::thread::scope(|scope| {
        for sample in &samples {
            let cache = &cache;
            scope.spawn(move || {
                let store = sample.store(cache);
                for round in 0..3 {
                    for (index, chunk) in (0..).zip(&sample.chunks) {
                        match store.write(at(index), chunk) {
                            Ok(()) | Err(Error::Full) => {}
                            Err(error) => panic!("{error}"),
                        }
                        match store.read(at((index * 7 + round) % 96)) {
                            Ok(Some(bytes)) => {
                                assert_eq!(bytes, sample.chunks[((index * 7 + round) % 96) as usize])
                            }
                            Ok(None) | Err(Error::Corrupt) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    assert!(cache.usage().bytes <= cache.usage().bytes_max);
}
