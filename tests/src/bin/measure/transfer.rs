//! `measure transfer`: one native peer to another through the whole stack, beside a bare data channel and TCP.

use std::time::{Duration, Instant};

use matinee_tests::deployment::Deployment;
use matinee_tests::film;
use matinee_tests::process::{Running, program, run_ok};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::table::{head, median, round, row, spread};

/// Clock ticks of `/proc/<pid>/stat` a second; Linux reports 100 to programs on every architecture Debian has.
const TICKS_PER_S: f64 = 100.0;

pub(crate) async fn measure(mebibytes: u64, runs: usize) -> Value {
    let file = film::exact(mebibytes << 20);
    let deployment = Deployment::start().await;
    let published = deployment.publish("Measured", &[&file], 1000).await;
    deployment.add_account("seeder@example.com", "carrier").await;
    let mut seeder = deployment.peer("seeder@example.com").await.seed(&published.release).await;
    let viewer = deployment.viewer("viewer@example.com").await;
    viewer.buy(&published).await;
    let gigabytes = (mebibytes << 20) as f64 / 1e9;
    let (mut rates, mut bare_rates, mut tcp_rates, mut ratios, mut cpu) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let bare = bare(mebibytes).await;
        let peer = deployment.peer("viewer@example.com").await;
        let before = cpu_s(seeder.id());
        let words = ["get", &published.title, "--json", "--origin", "never", "--ciphertext-only"];
        let start = Instant::now();
        let mut getting = Running::start(peer.command(&words));
        let mut own_cpu = 0.0;
        let done = getting
            .wait_line("event done", |line| {
                let event: Value = serde_json::from_str(line).ok()?;
                (event["event"] == "done").then_some(event)
            })
            .await;
        own_cpu += cpu_s(getting.id());
        let _ = getting.wait().await;
        let whole = start.elapsed();
        // From the wish to the last verified chunk on disk, the connection included.
        let elapsed = done["ms"].as_f64().map_or(whole, |ms| Duration::from_secs_f64(ms / 1e3));
        let rate = gigabytes * 1e3 / elapsed.as_secs_f64();
        rates.push(rate);
        ratios.push(rate / bare.0);
        bare_rates.push(bare.0);
        tcp_rates.push(bare.1);
        cpu.push((own_cpu + cpu_s(seeder.id()) - before) / gigabytes);
        run_ok(command_rm(&peer.state), "").await;
    }
    seeder.kill().await;
    head(&format!("one native peer to another, {mebibytes} MiB, {runs} runs in turn with the bare channel"));
    row("whole stack, connecting included", &spread(&rates, "MB/s"));
    row("bare data channel", &spread(&bare_rates, "MB/s"));
    row("TCP", &spread(&tcp_rates, "MB/s"));
    row("ratio to the bare channel", &spread(&ratios, ""));
    row("CPU of both ends", &spread(&cpu, "s/GB"));
    json!({
        "ratio": round(median(&ratios), 3), "mb_per_s": round(median(&rates), 1),
        "bare_mb_per_s": round(median(&bare_rates), 1), "tcp_mb_per_s": round(median(&tcp_rates), 0),
        "cpu_s_per_gb": round(median(&cpu), 2),
    })
}

fn command_rm(folder: &std::path::Path) -> Command {
    let mut command = Command::new("rm");
    command.arg("-r").arg(folder);
    command
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
