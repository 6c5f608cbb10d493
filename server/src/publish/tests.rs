//! The pipeline against a straightforward reference, and everything that can cut it short.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use matinee_protocol::hash::{HashPage, chunk_hash};
use matinee_protocol::id::{AccountId, ChunkAddress, ChunkIndex, FileIndex, PageIndex, ReleaseId, TitleId};
use matinee_protocol::limit::{CHUNK_BYTES, SEGMENT_BYTES};
use matinee_protocol::manifest::{Manifest, page_of};
use matinee_protocol::seal::{ReleaseSecret, derive_epoch_key, seal_chunk};
use proptest::prelude::*;

use super::intake::{self, Intake};
use super::release::vault_name;
use super::{Desk, Error, NewFile};
use crate::clock::ManualClock;
use crate::keyring::Keyring;
use crate::origin::{self, Object, Origin};
use crate::store::account::{self, Account, Role};
use crate::store::audit::By;
use crate::store::release::{self, Release};
use crate::store::{Store, title};
use crate::vault::Vault;

const CHUNK: u64 = CHUNK_BYTES as u64;
const NOW_MS: i64 = 1_795_000_000_000;

/// Everything that publishing needs, in a folder that goes away.
struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    origin: Origin,
    vault: Vault,
    desk: Desk,
    clock: ManualClock,
    keyring: Keyring,
    publisher: AccountId,
    title: TitleId,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite:{}", folder.path().join("test.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let origin = Origin::open(folder.path().join("objects").to_str().unwrap()).unwrap();
        let (vault, clock) = (Vault::ephemeral(), ManualClock::new(NOW_MS));
        let keyring = Keyring::open(&store, &vault, &clock, "https://test").await.unwrap();
        let publisher = AccountId::from_bytes([1; 16]);
        let title = TitleId::from_bytes([2; 16]);
        let mut tx = store.write().await.unwrap();
        let account = Account {
            id: publisher,
            email: "p@example.org".to_owned(),
            name: "P".to_owned(),
            roles: vec![Role::Publisher],
            created_at_ms: NOW_MS,
        };
        assert!(account::insert(&mut tx, &account, "!").await.unwrap());
        title::insert(&mut tx, title, publisher, "T", NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        let desk = Desk::new(store.clone(), origin.clone(), vault.clone());
        Self { folder, store, origin, vault, desk, clock, keyring, publisher, title }
    }

    async fn create(&self, sealed: bool, sizes: &[u64]) -> Release {
        let files: Vec<NewFile> = (0..).zip(sizes).map(|(at, size)| announced(at, *size)).collect();
        let release = self.desk.create(self.title, sealed, &files, &By::command(), NOW_MS).await.unwrap();
        self.find(release).await.unwrap()
    }

    async fn find(&self, release: ReleaseId) -> Result<Release, Error> {
        self.desk.release_of(self.publisher, release).await
    }

    async fn intake(&self, release: &Release, offset: Option<u64>) -> Result<Intake, Error> {
        self.desk.intake(release, FileIndex(0), offset).await
    }

    async fn offset(&self, release: &Release) -> u64 {
        self.desk.file(release.id, FileIndex(0)).await.unwrap().uploaded_bytes
    }

    async fn upload(&self, release: &Release, file: u32, bytes: &[u8], run: usize) {
        let mut intake = self.desk.intake(release, FileIndex(file), Some(0)).await.unwrap();
        for part in bytes.chunks(run) {
            intake.write(part).await.unwrap();
        }
        assert_eq!(intake.finish(true).await.unwrap(), bytes.len() as u64);
    }

    async fn publish(&self, release: &Release) -> Manifest {
        self.desk.publish(release, &self.keyring, &self.clock, &By::command()).await.unwrap();
        let mut tx = self.store.read().await.unwrap();
        let signed = release::manifest(&mut tx, release.id).await.unwrap().unwrap();
        Manifest::from_jws(&signed, &self.keyring.key_set()).unwrap()
    }

    fn secret(&self, release: &Release) -> Option<ReleaseSecret> {
        let sealed = release.secret.as_ref()?;
        let bytes = self.vault.open_secret(&vault_name(release.id), sealed).unwrap();
        Some(ReleaseSecret::from_bytes(*bytes))
    }

    async fn ciphertext(&self, release: &Release, file: u32, bytes: u64) -> Vec<u8> {
        let stream =
            origin::ciphertext(self.origin.clone(), release.id, FileIndex(file), release.sealed, 0..bytes);
        let parts: Vec<_> = stream.try_collect().await.unwrap();
        parts.concat()
    }

    /// Sees that what the origin serves is what the specification says, chunk by chunk.
    async fn check(&self, release: &Release, manifest: &Manifest, file: u32, plain: &[u8]) {
        let at = FileIndex(file);
        let described = manifest.file(at).unwrap();
        let length = manifest.ciphertext_bytes(at).unwrap();
        let served = self.ciphertext(release, file, length).await;
        assert_eq!(served.len() as u64, length);
        let mut expected = Vec::with_capacity(served.len());
        for (chunk, plain) in (0..).zip(plain.chunks(CHUNK_BYTES as usize)) {
            let address = ChunkAddress { file: at, chunk: ChunkIndex(chunk) };
            let mut sealed = plain.to_vec();
            if let Some(secret) = self.secret(release) {
                let epoch = described.epoch_of(ChunkIndex(chunk));
                let key = derive_epoch_key(&secret, &release.id, at, epoch);
                seal_chunk(&key, &release.id, address, &mut sealed);
            }
            assert_eq!(manifest.ciphertext_offset(address), Some(expected.len() as u64));
            let (page, position) = page_of(ChunkIndex(chunk));
            let bytes = self.origin.get(Object::Page(release.id, at, page)).await.unwrap();
            let page = HashPage::verify(bytes, described.page_hash(page).unwrap()).unwrap();
            assert_eq!(page.chunk(position), Some(chunk_hash(&sealed)));
            expected.extend(sealed);
        }
        assert!(served == expected, "the ciphertext differs");
    }
}

fn announced(at: u32, size_bytes: u64) -> NewFile {
    NewFile {
        name: format!("{at}.bin"),
        media_type: "application/octet-stream".to_owned(),
        size_bytes,
        duration_ms: None,
    }
}

/// Bytes that follow from a seed.
fn bytes(seed: u8, length: u64) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(length).unwrap()];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
    out
}

#[tokio::test]
async fn every_edge_agrees_with_the_reference() {
    let bench = Bench::new().await;
    let sizes = [
        0,
        1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        2 * CHUNK,
        SEGMENT_BYTES - 1,
        SEGMENT_BYTES,
        SEGMENT_BYTES + 1,
        2 * SEGMENT_BYTES + CHUNK + 7,
    ];
    for sealed in [true, false] {
        let release = bench.create(sealed, &sizes).await;
        for (file, size) in (0..).zip(sizes) {
            bench.upload(&release, file, &bytes(file as u8, size), 99_991).await;
        }
        let manifest = bench.publish(&release).await;
        assert_eq!((manifest.sealed, manifest.release), (sealed, release.id));
        assert_eq!((manifest.title.as_str(), manifest.publisher.as_str()), ("T", "P"));
        for (file, size) in (0..).zip(sizes) {
            assert_eq!(manifest.files[file as usize].size_bytes, size);
            bench.check(&release, &manifest, file, &bytes(file as u8, size)).await;
        }
        let again = bench.publish(&bench.find(release.id).await.unwrap()).await;
        assert_eq!(again, manifest, "publishing again changes nothing");
    }
}

/// More chunks than a page holds, read by the road that the command takes.
#[tokio::test]
async fn pages_and_epochs_go_on_beyond_the_first() {
    let bench = Bench::new().await;
    let size = 1030 * CHUNK + 5;
    let release = bench.create(true, &[size]).await;
    let plain = Arc::new(bytes(9, size));
    let source = Arc::clone(&plain);
    let mut intake = bench.intake(&release, None).await.unwrap();
    let read = move |start: u64, into: &mut [u8]| {
        into.copy_from_slice(&source[start as usize..start as usize + into.len()]);
        Ok(())
    };
    intake.read_rest(Arc::new(read), |_| {}).await.unwrap();
    assert_eq!(intake.finish(false).await.unwrap(), size);
    let manifest = bench.publish(&release).await;
    assert_eq!(manifest.files[0].pages.len(), 2);
    assert!(manifest.files[0].epochs() > 10);
    bench.check(&release, &manifest, 0, &plain).await;
    let missing = bench.origin.get(Object::Page(release.id, FileIndex(0), PageIndex(2))).await;
    assert!(matches!(missing, Err(origin::Error::Missing)));
}

/// Killed anywhere, an upload goes on at the last whole segment and ends as if nothing had been.
#[tokio::test]
async fn killed_at_every_segment_edge_it_resumes() {
    let bench = Bench::new().await;
    let size = 3 * SEGMENT_BYTES + 5;
    let plain = bytes(3, size);
    let release = bench.create(true, &[size]).await;
    for (edge, beyond) in [(0, 1), (1, 0), (1, CHUNK + 1), (2, 0), (2, SEGMENT_BYTES - 1), (3, 0), (3, 4)] {
        let until = usize::try_from((edge * SEGMENT_BYTES + beyond).min(size)).unwrap();
        let offset = bench.offset(&release).await;
        assert!(offset.is_multiple_of(SEGMENT_BYTES));
        let mut intake = loop {
            match bench.intake(&release, Some(offset)).await {
                Ok(intake) => break intake,
                Err(Error::UploadInProgress) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        };
        let start = usize::try_from(offset).unwrap();
        intake.write(&plain[start..until.max(start)]).await.unwrap();
        if edge % 2 == 0 {
            // As a crash would: nothing is waited for.
            drop(intake);
        } else {
            assert_eq!(intake.finish(false).await.unwrap(), edge * SEGMENT_BYTES);
        }
    }
    assert!(matches!(
        bench.desk.publish(&release, &bench.keyring, &bench.clock, &By::command()).await,
        Err(Error::Incomplete(..))
    ));
    let offset = bench.offset(&release).await;
    let mut intake = bench.intake(&release, Some(offset)).await.unwrap();
    intake.write(&plain[offset as usize..]).await.unwrap();
    assert_eq!(intake.finish(true).await.unwrap(), size);
    let manifest = bench.publish(&release).await;
    bench.check(&release, &manifest, 0, &plain).await;
}

/// Every file below a folder, whole.
fn all_files(folder: &std::path::Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_files(&path, found);
        } else {
            found.push(std::fs::read(path).unwrap());
        }
    }
}

#[tokio::test]
async fn plaintext_reaches_no_disk() {
    let bench = Bench::new().await;
    let marker = b"this sentence is the film";
    let plain: Vec<u8> = marker.iter().copied().cycle().take(2 * CHUNK_BYTES as usize + 100).collect();
    let seen = |bench: &Bench| {
        let mut files = Vec::new();
        all_files(bench.folder.path(), &mut files);
        files.iter().filter(|file| file.windows(marker.len()).any(|run| run == marker)).count()
    };
    let release = bench.create(true, &[plain.len() as u64]).await;
    bench.upload(&release, 0, &plain, 1000).await;
    bench.publish(&release).await;
    assert_eq!(seen(&bench), 0);
    let open = bench.create(false, &[plain.len() as u64]).await;
    bench.upload(&open, 0, &plain, 1000).await;
    assert_eq!(seen(&bench), 1, "the search finds it where it should be");
}

#[tokio::test]
async fn a_file_may_not_grow_or_shrink() {
    let bench = Bench::new().await;
    for size in [0, 5, CHUNK, SEGMENT_BYTES, SEGMENT_BYTES + 1] {
        let release = bench.create(true, &[size]).await;
        let mut intake = bench.intake(&release, Some(0)).await.unwrap();
        let error = intake.write(&bytes(1, size + 1)).await.unwrap_err();
        assert!(matches!(error, intake::Error::TooLong(_)));
        let acknowledged = intake.finish(false).await.unwrap();
        assert!(acknowledged < size || size == 0, "a file that is too long is never whole");
        if size > 0 {
            let published = bench.desk.publish(&release, &bench.keyring, &bench.clock, &By::command()).await;
            assert!(matches!(published, Err(Error::Incomplete(..))));
        }
    }
    let release = bench.create(true, &[100]).await;
    let mut intake = bench.intake(&release, Some(0)).await.unwrap();
    intake.write(&[0; 99]).await.unwrap();
    assert_eq!(intake.finish(true).await.unwrap(), 0, "a last chunk that is too short does not count");
}

#[tokio::test]
async fn one_writer_at_the_right_offset() {
    let bench = Bench::new().await;
    let release = bench.create(true, &[2 * SEGMENT_BYTES]).await;
    assert!(matches!(bench.intake(&release, Some(1)).await, Err(Error::OffsetConflict(0))));
    let first = bench.intake(&release, Some(0)).await.unwrap();
    assert!(matches!(bench.intake(&release, Some(0)).await, Err(Error::UploadInProgress)));
    first.finish(false).await.unwrap();
    bench.upload(&release, 0, &bytes(1, 2 * SEGMENT_BYTES), 1 << 20).await;
    bench.publish(&release).await;
    let release = bench.find(release.id).await.unwrap();
    assert!(matches!(bench.intake(&release, None).await, Err(Error::Published)));
    assert!(matches!(bench.desk.remove(&release, &By::command(), NOW_MS).await, Err(Error::Published)));
}

#[tokio::test]
async fn removal_leaves_nothing() {
    let bench = Bench::new().await;
    let release = bench.create(true, &[2 * SEGMENT_BYTES, 10]).await;
    bench.upload(&release, 1, &bytes(1, 10), 10).await;
    let mut intake = bench.intake(&release, Some(0)).await.unwrap();
    intake.write(&bytes(1, SEGMENT_BYTES + 1)).await.unwrap();
    let upload = tokio::spawn(async move {
        intake.cancelled().await;
        drop(intake);
    });
    bench.desk.remove(&release, &By::command(), NOW_MS).await.unwrap();
    upload.await.unwrap();
    assert_eq!(bench.origin.count(release.id).await.unwrap(), 0);
    assert!(!bench.folder.path().join("objects").join(release.id.to_string()).exists());
    assert!(matches!(bench.find(release.id).await, Err(Error::NoRelease)));
    assert!(matches!(bench.desk.file(release.id, FileIndex(0)).await, Err(Error::NoFile)));
}

#[tokio::test]
async fn what_a_crash_left_half_written_goes_at_publication() {
    let bench = Bench::new().await;
    let release = bench.create(true, &[5]).await;
    bench.upload(&release, 0, b"film!", 5).await;
    let staged = bench.folder.path().join("objects").join(release.id.to_string()).join("0/00000000#1");
    std::fs::write(&staged, b"half").unwrap();
    let manifest = bench.publish(&release).await;
    assert!(!staged.exists());
    bench.check(&release, &manifest, 0, b"film!").await;
}

#[tokio::test]
async fn a_lost_object_is_noticed_before_publication() {
    let bench = Bench::new().await;
    let release = bench.create(true, &[SEGMENT_BYTES + 1]).await;
    bench.upload(&release, 0, &bytes(1, SEGMENT_BYTES + 1), 1 << 20).await;
    let path = bench.folder.path().join("objects").join(release.id.to_string()).join("0/00000001");
    std::fs::write(path, b"").unwrap();
    let published = bench.desk.publish(&release, &bench.keyring, &bench.clock, &By::command()).await;
    assert!(matches!(published, Err(Error::Damaged(FileIndex(0)))));
}

#[tokio::test]
async fn names_are_checked_before_anything_is_made() {
    let bench = Bench::new().await;
    let create =
        async |files: &[NewFile]| bench.desk.create(bench.title, true, files, &By::command(), NOW_MS).await;
    assert!(matches!(create(&[]).await, Err(Error::FileCount)));
    let twice = [announced(0, 1), announced(0, 1)];
    assert!(matches!(create(&twice).await, Err(Error::Name(_))));
    let huge = [announced(0, CHUNK * (1 << 32))];
    assert!(matches!(create(&huge).await, Err(Error::FileSize)));
    let many: Vec<NewFile> = (0..65_536).map(|at| announced(at, 1)).collect();
    assert!(matches!(create(&many).await, Err(Error::ManifestSize)), "before anything is uploaded");
    let mut path = announced(0, 1);
    path.name = "../x".to_owned();
    assert!(matches!(create(&[path]).await, Err(Error::Name(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However the bytes come, the objects are the same.
    #[test]
    fn splits_do_not_matter(
        size in prop_oneof![0..3 * CHUNK, Just(2 * CHUNK), SEGMENT_BYTES - 2..SEGMENT_BYTES + 3],
        cuts in proptest::collection::vec(1_usize..400_000, 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new().await;
            let release = bench.create(true, &[size]).await;
            let plain = bytes(7, size);
            let mut intake = bench.intake(&release, Some(0)).await.unwrap();
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < plain.len() {
                let end = plain.len().min(at + cuts.next().unwrap());
                intake.write(&plain[at..end]).await.unwrap();
                at = end;
            }
            assert_eq!(intake.finish(true).await.unwrap(), size);
            let manifest = bench.publish(&release).await;
            bench.check(&release, &manifest, 0, &plain).await;
        });
    }
}
