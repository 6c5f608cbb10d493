//! `measure publish`: the command on a file, beside the bare loop over the same bytes.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use matinee_protocol::hash::chunk_hash;
use matinee_protocol::id::{ChunkAddress, EpochIndex, FileIndex, ReleaseId};
use matinee_protocol::limit::{CHUNK_BYTES, EPOCH_CHUNKS_DEFAULT};
use matinee_protocol::seal::{ReleaseSecret, derive_epoch_key, seal_chunk};
use matinee_tests::deployment::{Deployment, PRICE};
use matinee_tests::film;
use matinee_tests::process::Running;
use serde_json::{Value, json};

use crate::table::{head, median, round, row, spread};

/// How often the command's memory is looked at.
const MEMORY_POLL: Duration = Duration::from_millis(20);

pub(crate) async fn measure(mebibytes: u64, runs: usize) -> Value {
    let file = film::exact(mebibytes << 20);
    let megabytes = (mebibytes << 20) as f64 / 1e6;
    // Both read from the page cache, as a file that was just written is.
    bare_loop(&file);
    let (mut rates, mut bare_rates, mut ratios, mut peaks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let deployment = Deployment::start().await;
        let bare = megabytes / bare_loop(&file).as_secs_f64();
        let (elapsed, peak) = publish(&deployment, &file).await;
        let rate = megabytes / elapsed.as_secs_f64();
        rates.push(rate);
        bare_rates.push(bare);
        ratios.push(rate / bare);
        peaks.push(peak);
    }
    head(&format!("matinee publish, {mebibytes} MiB, {runs} runs in turn with the bare loop on one thread"));
    row("publish (whole process)", &spread(&rates, "MB/s"));
    row("bare ChaCha20-Poly1305 + BLAKE3", &spread(&bare_rates, "MB/s"));
    row("ratio", &spread(&ratios, ""));
    row("peak memory", &spread(&peaks, "MB"));
    json!({
        "ratio": round(median(&ratios), 3), "mb_per_s": round(median(&rates), 1),
        "bare_mb_per_s": round(median(&bare_rates), 1), "peak_mb": round(median(&peaks), 1),
    })
}

fn bare_loop(file: &Path) -> Duration {
    let start = Instant::now();
    let (secret, release) = (ReleaseSecret::from_bytes([7; 32]), ReleaseId::from_bytes([1; 16]));
    let mut from = std::fs::File::open(file).expect("the file is there");
    let mut chunk = Vec::with_capacity(CHUNK_BYTES as usize + 16);
    let mut key = derive_epoch_key(&secret, &release, FileIndex(0), EpochIndex(0));
    let mut folded = 0_u8;
    for number in 0.. {
        chunk.clear();
        from.by_ref().take(u64::from(CHUNK_BYTES)).read_to_end(&mut chunk).expect("the file can be read");
        if chunk.is_empty() {
            break;
        }
        if number % EPOCH_CHUNKS_DEFAULT == 0 {
            key =
                derive_epoch_key(&secret, &release, FileIndex(0), EpochIndex(number / EPOCH_CHUNKS_DEFAULT));
        }
        seal_chunk(&key, &release, ChunkAddress::new(0, number), &mut chunk);
        folded ^= chunk_hash(&chunk).0[0];
    }
    std::hint::black_box(folded);
    start.elapsed()
}

async fn publish(deployment: &Deployment, file: &Path) -> (Duration, f64) {
    let mut command = deployment.command(&["publish", "--title", "Measured", "--rental", PRICE, "--json"]);
    command.arg(file);
    let start = Instant::now();
    let mut running = Running::start(command);
    let id = running.id();
    let peak = tokio::spawn(async move {
        let mut peak = 0.0;
        while let Some(now) = peak_mb(id) {
            peak = f64::max(peak, now);
            tokio::time::sleep(MEMORY_POLL).await;
        }
        peak
    });
    assert_eq!(running.wait().await, Some(0), "{}", running.output());
    (start.elapsed(), peak.await.expect("the watcher ends with the process"))
}

/// The most memory a process has had so far (`VmHWM`), in MB; none once it is gone.
pub(crate) fn peak_mb(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
