//! Figures of a running swarm, for people and programs.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::output::Output;
use crate::net::swarm::Snapshot;
use crate::opened::OpenedRelease;

/// How often figures are printed.
pub(super) const STATS_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// Figures that count everything up to now: the next ones that come.
pub(super) async fn fresh(release: &OpenedRelease) -> Snapshot {
    let mut snapshots = release.swarm().snapshots();
    snapshots.mark_unchanged();
    let _ = tokio::time::timeout(STATS_INTERVAL, snapshots.changed()).await;
    snapshots.borrow().clone()
}

/// The fields of a `stats` event.
pub(super) fn stats(release: &OpenedRelease, snapshot: &Snapshot) -> Value {
    let engine = &snapshot.engine;
    json!({
        "release": release.manifest().release,
        "bytes_from_peers": engine.peer_bytes,
        "bytes_from_origin": engine.origin_bytes,
        "bytes_uploaded": engine.uploaded_bytes,
        "bytes_wasted": engine.wasted_bytes,
        "bytes_credited": snapshot.credited_bytes,
        "first_peer_chunk_ms": snapshot.first_peer_chunk.map(|time| time.as_secs_f64() * 1e3),
        "peers": engine.peers.iter().filter(|peer| peer.thumbprint.is_some()).count(),
        "joined": snapshot.joined,
        "chunks_held": engine.chunks_held,
        "chunks_total": engine.chunks_total,
        "chunks_missing": engine.chunks_missing,
        "buffered_ms": engine.buffered_ms,
        "devices_refused": engine.devices_refused,
        "memory_only": release.shelf().is_memory_only(),
    })
}

/// A line of figures for people.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let engine = &snapshot.engine;
    let down: u64 = engine.peers.iter().map(|peer| peer.bytes_per_s).sum();
    format!(
        "{} peers, {}/s from them, {} up, {:.0} % from peers",
        engine.peers.iter().filter(|peer| peer.thumbprint.is_some()).count(),
        bytes(down),
        bytes(engine.uploaded_bytes),
        engine.offload() * 100.0,
    )
}

/// Bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

/// A progress bar on standard error; hidden with `--json` and where there is no terminal.
pub(super) fn bar(output: Output, total_bytes: u64) -> ProgressBar {
    let target = if output.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(total_bytes), target);
    let template = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
