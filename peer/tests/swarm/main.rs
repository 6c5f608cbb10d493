//! Releases in use over the real transport: peers, origin, cache, keys and gateway together, against a server in memory.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without, it fails without")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use matinee_engine::{OriginPolicy, Want};
use matinee_peer::banned::Banned;
use matinee_peer::gateway::Gateway;
use matinee_peer::net::swarm::{End, Snapshot};
use matinee_peer::opened::{OneRelease, OpenedRelease, Options};
use matinee_peer::state::StateDir;
use matinee_peer::storage::{self, Cache};
use matinee_protocol::id::{ChunkAddress, FileIndex};
use matinee_protocol::token::Role;
use tokio::time::timeout;

mod stub;

use stub::{RELEASE, Stub};

const WAIT: Duration = Duration::from_secs(30);
const CHUNK: usize = 262_144;

/// Says what happens when `RUST_LOG` asks for it.
fn log() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

fn options(folder: &Path, origin: OriginPolicy, want: Want) -> Options {
    log();
    let state = StateDir::open(Some(folder.to_owned())).unwrap();
    Options {
        cache: unlocked(&state.cache()),
        banned: Banned::load(&state).unwrap(),
        bind: vec!["127.0.0.1".parse().unwrap()],
        pin: true,
        upload_bytes_per_s_max: None,
        peers_max: None,
        origin,
        want,
    }
}

/// The cache, which the end of an earlier run may hold for a moment longer.
fn unlocked(folder: &Path) -> Arc<Cache> {
    for _ in 0..200 {
        match Cache::open(folder, u64::MAX) {
            Err(storage::Error::Locked(_)) => std::thread::sleep(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the cache stays locked");
}

async fn start(stub: &Stub, seed: u8, role: Role, options: &Options) -> Arc<OpenedRelease> {
    let (api, opening) = stub.open(seed, role);
    OpenedRelease::start(api, opening, options).await.unwrap()
}

async fn until(release: &OpenedRelease, what: &str, done: impl FnMut(&Snapshot) -> bool) -> Snapshot {
    let mut snapshots = release.swarm().snapshots();
    let found = timeout(WAIT, snapshots.wait_for(done)).await;
    found
        .unwrap_or_else(|_| panic!("not in time: {what}: {:?}", release.swarm().snapshots().borrow()))
        .unwrap()
        .clone()
}

async fn complete(release: &OpenedRelease) -> Snapshot {
    until(release, "complete", |now| {
        now.engine.chunks_total > 0 && now.engine.chunks_held == now.engine.chunks_total
    })
    .await
}

async fn film(release: &Arc<OpenedRelease>, chunks: u32) -> Vec<u8> {
    let mut film = Vec::new();
    for chunk in 0..chunks {
        film.extend_from_slice(&release.plaintext(ChunkAddress::new(0, chunk), WAIT).await.unwrap());
    }
    film
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_gets_everything_from_a_carrier_and_signs_for_it() {
    let stub = Stub::start(40 * CHUNK + 999).await;
    let (seeders, viewers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let seeding = options(seeders.path(), OriginPolicy::Fallback, Want::Everything);
    let seeder = start(&stub, 1, Role::Carrier, &seeding).await;
    let filled = complete(&seeder).await;
    assert_eq!(filled.engine.origin_bytes, filled.engine.origin_bytes.max(40 * CHUNK as u64));
    until(&seeder, "joined", |now| now.joined).await;
    let before = stub.origin_bytes.load(Ordering::Relaxed);
    let refused = seeder.plaintext(ChunkAddress::new(0, 0), WAIT).await.unwrap_err();
    assert_eq!(refused.code, "carrier_without_keys");

    let viewing = options(viewers.path(), OriginPolicy::Never, Want::Everything);
    let viewer = start(&stub, 2, Role::Viewer, &viewing).await;
    assert_eq!(film(&viewer, 41).await, stub.film);
    let got = complete(&viewer).await;
    assert_eq!((got.engine.origin_bytes, stub.origin_bytes.load(Ordering::Relaxed)), (0, before));
    assert!(got.engine.peer_bytes > 40 * CHUNK as u64);
    assert!(stub.licenses.load(Ordering::Relaxed) >= 1, "epochs after the first three are asked for");
    assert!(viewer.plaintext(ChunkAddress::new(0, 41), WAIT).await.unwrap_err().code == "chunk_not_found");

    // The goodbye carries the last receipt; the seeder hands it in when it leaves in its turn.
    timeout(WAIT, viewer.swarm().leave()).await.unwrap();
    until(&seeder, "goodbye", |now| now.channels == 0).await;
    timeout(WAIT, seeder.swarm().leave()).await.unwrap();
    assert!(matches!(*seeder.swarm().over().borrow(), Some(End::Left)));
    assert_eq!(stub.receipts.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_fetched_before_a_cut_is_not_fetched_again_and_damage_is() {
    let stub = Stub::start(30 * CHUNK).await;
    let folder = tempfile::tempdir().unwrap();
    {
        let first = options(folder.path(), OriginPolicy::Only, Want::Everything);
        let release = start(&stub, 3, Role::Viewer, &first).await;
        complete(&release).await;
        timeout(WAIT, release.swarm().leave()).await.unwrap();
    }
    let fetched = stub.origin_bytes.load(Ordering::Relaxed);
    let run = folder.path().join("cache").join(RELEASE.to_string()).join("0/0.chunks");
    let mut bytes = std::fs::read(&run).unwrap();
    bytes[5 * (CHUNK + 16) + 100] ^= 1;
    std::fs::write(&run, bytes).unwrap();

    let again = options(folder.path(), OriginPolicy::Fallback, Want::Everything);
    let release = start(&stub, 3, Role::Viewer, &again).await;
    assert_eq!(film(&release, 30).await, stub.film);
    assert_eq!(
        stub.origin_bytes.load(Ordering::Relaxed) - fetched,
        CHUNK as u64 + 16,
        "the damaged chunk alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seeder_that_was_restarted_gives_the_hashes_too() {
    let stub = Stub::start(20 * CHUNK).await;
    let (seeders, viewers) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    {
        let seeding = options(seeders.path(), OriginPolicy::Only, Want::Everything);
        let seeder = start(&stub, 31, Role::Carrier, &seeding).await;
        complete(&seeder).await;
        timeout(WAIT, seeder.swarm().leave()).await.unwrap();
    }
    let seeding = options(seeders.path(), OriginPolicy::Never, Want::Everything);
    let _seeder = start(&stub, 31, Role::Carrier, &seeding).await;
    let viewing = options(viewers.path(), OriginPolicy::Never, Want::Everything);
    let viewer = start(&stub, 32, Role::Viewer, &viewing).await;
    assert_eq!(film(&viewer, 20).await, stub.film);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_reads_by_the_gateway_at_any_place() {
    let stub = Stub::start(50 * CHUNK + 5).await;
    let folder = tempfile::tempdir().unwrap();
    let viewing = options(folder.path(), OriginPolicy::Fallback, Want::Nothing);
    let release = start(&stub, 4, Role::Viewer, &viewing).await;
    let gateway = Gateway::start(Arc::new(OneRelease(Arc::clone(&release))), 0).await.unwrap();
    let url = gateway.url(RELEASE, FileIndex(0), "film.mp4");
    let http = reqwest::Client::new();
    for (first, last) in
        [(0, 99), (45 * CHUNK, 45 * CHUNK + 9), (CHUNK - 1, 3 * CHUNK), (50 * CHUNK, 50 * CHUNK + 4)]
    {
        let answer = http.get(&url).header("range", format!("bytes={first}-{last}")).send().await.unwrap();
        assert_eq!(answer.status(), 206);
        assert_eq!(answer.bytes().await.unwrap(), stub.film[first..=last]);
    }
    assert_eq!(http.get(&url).send().await.unwrap().bytes().await.unwrap(), stub.film);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_over_gives_no_keys_but_says_why() {
    let stub = Stub::start(40 * CHUNK).await;
    let folder = tempfile::tempdir().unwrap();
    let viewing = options(folder.path(), OriginPolicy::Only, Want::Everything);
    let release = start(&stub, 5, Role::Viewer, &viewing).await;
    assert_eq!(film(&release, 8).await, stub.film[..8 * CHUNK]);
    stub.view_over.store(true, Ordering::Relaxed);
    let refused = release.plaintext(ChunkAddress::new(0, 39), WAIT).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code.as_str()), (403, "view_ended"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_fails_for_a_while_is_asked_again() {
    let stub = Stub::start(6 * CHUNK).await;
    let folder = tempfile::tempdir().unwrap();
    stub.origin_off.store(true, Ordering::Relaxed);
    let viewing = options(folder.path(), OriginPolicy::Only, Want::Everything);
    let release = start(&stub, 6, Role::Viewer, &viewing).await;
    let until_on = release.sealed(ChunkAddress::new(0, 0), Duration::from_millis(700)).await;
    assert_eq!(until_on.unwrap_err().code, "chunk_late");
    stub.origin_off.store(false, Ordering::Relaxed);
    complete(&release).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_for_a_moment_holds_playback_but_does_not_end_it() {
    let stub = Stub::start(40 * CHUNK).await;
    let folder = tempfile::tempdir().unwrap();
    let viewing = options(folder.path(), OriginPolicy::Only, Want::Everything);
    let release = start(&stub, 7, Role::Viewer, &viewing).await;
    complete(&release).await;
    stub.away.store(true, Ordering::Relaxed);
    let reading = film(&release, 40);
    let back = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        stub.away.store(false, Ordering::Relaxed);
    };
    let (film, ()) = tokio::join!(reading, back);
    assert_eq!(film, stub.film);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playback_goes_on_when_the_cache_takes_no_more() {
    let stub = Stub::start(300 * CHUNK).await;
    let folder = tempfile::tempdir().unwrap();
    let mut viewing = options(folder.path(), OriginPolicy::Fallback, Want::Nothing);
    drop(std::mem::replace(
        &mut viewing.cache,
        Cache::open(&folder.path().join("tiny"), 3 * CHUNK as u64).unwrap(),
    ));
    let release = start(&stub, 8, Role::Viewer, &viewing).await;
    let gateway = Gateway::start(Arc::new(OneRelease(Arc::clone(&release))), 0).await.unwrap();
    let url = gateway.url(RELEASE, FileIndex(0), "film.mp4");
    assert_eq!(reqwest::get(&url).await.unwrap().bytes().await.unwrap(), stub.film);
    assert!(release.shelf().is_memory_only());
    assert!(viewing.cache.usage().bytes <= 3 * CHUNK as u64);
    let now = until(&release, "chunks leave memory", |now| now.engine.chunks_held < 300).await;
    assert!(now.engine.origin_bytes < 310 * CHUNK as u64, "nothing much is fetched twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_peers_share_one_copy_from_the_origin() {
    let stub = Stub::start(60 * CHUNK).await;
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let seeding = options(folders[0].path(), OriginPolicy::Fallback, Want::Everything);
    let seeder = start(&stub, 10, Role::Carrier, &seeding).await;
    complete(&seeder).await;
    let copy = stub.origin_bytes.load(Ordering::Relaxed);
    let mut viewers = Vec::new();
    for (seed, folder) in (11..).zip(&folders[1..]) {
        let viewing = options(folder.path(), OriginPolicy::Fallback, Want::Everything);
        viewers.push(start(&stub, seed, Role::Viewer, &viewing).await);
    }
    for viewer in &viewers {
        complete(viewer).await;
        assert_eq!(film(viewer, 60).await, stub.film);
    }
    let extra = stub.origin_bytes.load(Ordering::Relaxed) - copy;
    assert!(extra < copy / 4, "{extra} more bytes than one copy came from the origin");
}
