//! `measure transfer`: one native peer to another through the whole stack, beside a bare data channel and TCP; then
//! once more as people download, opened and compared with what was published.

use std::path::Path;
use std::time::{Duration, Instant};

use matinee_tests::deployment::{Deployment, Published};
use matinee_tests::film;
use matinee_tests::process::{Running, program, run_ok};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::table::{head, median, round, row, spread};

/// Clock ticks of `/proc/<pid>/stat` a second; Linux reports 100 to programs on every architecture Debian has.
const TICKS_PER_S: f64 = 100.0;
/// Longest wait for a transfer: gigabytes on a machine that does other things, too.
const TRANSFER_WAIT: Duration = Duration::from_mins(30);
/// The yardstick carries no more than this: its rate does not depend on it.
const BARE_MIB_MAX: u64 = 512;
/// A ZIP without ZIP64 is smaller than 4 GiB.
const MIB_MAX: u64 = 4_095;

/// What one download took.
struct Got {
    elapsed: Duration,
    cpu_s: f64,
    peak_mb: f64,
}

pub(crate) async fn measure(mebibytes: u64, runs: usize) -> Value {
    let mebibytes = mebibytes.clamp(1, MIB_MAX);
    let file = film::zip(mebibytes << 20);
    let deployment = Deployment::start().await;
    let published = deployment.publish("Measured", &[&file], 1000).await;
    deployment.add_account("seeder@example.com", "carrier").await;
    let mut seeder = seed(&deployment, &published).await;
    deployment.viewer("viewer@example.com").await.buy(&published).await;
    let gigabytes = (mebibytes << 20) as f64 / 1e9;
    let rate = |got: &Got| gigabytes * 1e3 / got.elapsed.as_secs_f64();
    let (mut rates, mut bare_rates, mut tcp_rates, mut ratios, mut cpu) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut peak_mb = 0.0_f64;
    for _ in 0..runs {
        let bare = bare(mebibytes.min(BARE_MIB_MAX)).await;
        let before = cpu_s(seeder.id());
        let got = get(&deployment, &published, None).await;
        rates.push(rate(&got));
        ratios.push(rate(&got) / bare.0);
        bare_rates.push(bare.0);
        tcp_rates.push(bare.1);
        cpu.push((got.cpu_s + cpu_s(seeder.id()) - before) / gigabytes);
        peak_mb = peak_mb.max(got.peak_mb);
    }
    let copy = deployment.folder().join("copy.zip");
    let opened = get(&deployment, &published, Some(&copy)).await;
    let (sha256, of_copy) = (sha256(&file).await, sha256(&copy).await);
    assert_eq!(sha256, of_copy, "what was downloaded is what was published");
    peak_mb = peak_mb.max(opened.peak_mb);
    let seeder_peak_mb = peak_rss_mb(seeder.id());
    seeder.kill().await;
    head(&format!("one native peer to another, {mebibytes} MiB, {runs} runs in turn with the bare channel"));
    row("whole stack, connecting included", &spread(&rates, "MB/s"));
    row("bare data channel", &spread(&bare_rates, "MB/s"));
    row("TCP", &spread(&tcp_rates, "MB/s"));
    row("ratio to the bare channel", &spread(&ratios, ""));
    row("CPU of both ends", &spread(&cpu, "s/GB"));
    row("opened, written and compared", &[format!("{:.1} MB/s", rate(&opened))]);
    row("peak memory, seeder and getter", &[format!("{seeder_peak_mb:.0} MB"), format!("{peak_mb:.0} MB")]);
    json!({
        "ratio": round(median(&ratios), 3), "mb_per_s": round(median(&rates), 1),
        "bare_mb_per_s": round(median(&bare_rates), 1), "tcp_mb_per_s": round(median(&tcp_rates), 0),
        "cpu_s_per_gb": round(median(&cpu), 2), "opened_mb_per_s": round(rate(&opened), 1), "sha256": sha256,
        "seeder_peak_mb": round(seeder_peak_mb, 0), "getter_peak_mb": round(peak_mb, 0),
    })
}

/// A seeder that holds the whole release.
async fn seed(deployment: &Deployment, published: &Published) -> Running {
    let peer = deployment.peer("seeder@example.com").await;
    let mut seeder = Running::start(peer.command(&["seed", &published.release, "--json"]));
    wait_event(&mut seeder, "complete").await;
    seeder
}

/// Downloads from peers alone by a peer of its own, into its cache or opened into a file.
async fn get(deployment: &Deployment, published: &Published, copy: Option<&Path>) -> Got {
    let peer = deployment.peer("viewer@example.com").await;
    let mut command = peer.command(&["get", &published.title, "--json", "--origin", "never"]);
    match copy {
        Some(copy) => command.arg("--output").arg(copy),
        None => command.arg("--ciphertext-only"),
    };
    let start = Instant::now();
    let mut getting = Running::start(command);
    let done = wait_event(&mut getting, "done").await;
    let (own_cpu_s, peak_mb) = (cpu_s(getting.id()), peak_rss_mb(getting.id()));
    let _ = getting.wait().await;
    // From the wish to the last verified chunk on disk, the connection included.
    let elapsed = done["ms"].as_f64().map_or(start.elapsed(), |ms| Duration::from_secs_f64(ms / 1e3));
    std::fs::remove_dir_all(&peer.state).expect("the peer's folder can be removed");
    Got { elapsed, cpu_s: own_cpu_s, peak_mb }
}

async fn wait_event(running: &mut Running, name: &str) -> Value {
    let take = |line: &str| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == name).then_some(event)
    };
    running.wait_line_within(TRANSFER_WAIT, name, take).await
}

async fn sha256(path: &Path) -> String {
    let mut command = Command::new("sha256sum");
    command.arg(path);
    run_ok(command, "").await.split(' ').next().unwrap_or_default().to_owned()
}

/// MB/s of a bare data channel of the same crate and of TCP, by the transport's own benchmark.
async fn bare(mebibytes: u64) -> (f64, f64) {
    let megabytes = (mebibytes << 20) / 1_000_000;
    let mut command = Command::new(program("examples/datachannel_bench"));
    command.args([megabytes.to_string(), "1".to_owned()]);
    let printed = run_ok(command, "").await;
    let last = printed.lines().last().expect("the benchmark prints its result");
    let figures: Value = serde_json::from_str(last).expect("the benchmark's last line is JSON");
    let figure = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {last}"));
    (figure("bare_mb_per_s"), figure("tcp_mb_per_s"))
}

/// CPU seconds that a process has used, in user and system.
pub(crate) fn cpu_s(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<f64> = after_name.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect();
    // utime and stime are the fields 14 and 15, counted from 1, of which the name and what is before it were two.
    (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) / TICKS_PER_S
}

/// Most megabytes that a process ever had in memory.
fn peak_rss_mb(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) * 1024.0 / 1e6
}
