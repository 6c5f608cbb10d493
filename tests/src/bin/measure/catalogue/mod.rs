//! `measure catalogue`: millions of made-up tracks are imported, then found by somebody who types and looked through by
//! somebody who browses, over HTTP.

mod file;

use std::time::Instant;

use matinee_tests::deployment::Deployment;
use matinee_tests::process::Running;
use serde_json::{Value, json};

use self::file::{Random, Song};
use crate::progress;
use crate::publish::peak_mb;
use crate::table::{quantile, round, row};
use crate::wire::Wire;

/// Songs that somebody types the beginning of.
const TYPED: usize = 2_000;
/// Letters after which they have seen it.
const LETTERS_MAX: usize = 14;
/// Visits by browsing.
const VISITS: usize = 1_000;

pub(crate) async fn measure(count: usize) -> Value {
    let mut deployment = Deployment::start().await;
    let path = deployment.folder().join("tracks.csv");
    let bar = progress::bar("making the catalogue's file", count);
    let typed = file::write(&path, count, TYPED, &bar);
    bar.finish_and_clear();
    let (seconds, import_mb) = import(&deployment, &path).await;
    std::fs::remove_file(&path).expect("the file is ours");

    // The server begins anew, as after a night: what it needs it must read first.
    deployment.kill().await;
    deployment.serve().await;
    let url = deployment.url();
    let mut wire = Wire::connect(url.strip_prefix("http://").expect("an address")).await;
    let searches = search(&mut wire, &typed).await;
    let visits = browse(&mut wire, count).await;
    let server_mb = peak_mb(deployment.process().id()).unwrap_or(f64::NAN);

    println!("{count} tracks, one connection");
    row("", &["p50", "p99", "most"].map(str::to_owned));
    row("search as one types", &cells(&searches));
    row("browse", &cells(&visits));
    row("import", &[format!("{:.0} /s", count as f64 / seconds), format!("{seconds:.0} s")]);
    row("peak memory of the import", &[format!("{import_mb:.0} MB")]);
    row("peak memory of the server", &[format!("{server_mb:.0} MB")]);
    json!({
        "tracks": count, "import_per_s": round(count as f64 / seconds, 0),
        "search_p50_ms": round(quantile(&searches, 0.5), 2), "search_p99_ms": round(quantile(&searches, 0.99), 2),
        "browse_p99_ms": round(quantile(&visits, 0.99), 2), "peak_mb": round(server_mb, 0),
    })
}

/// Runs the command, and gives how long it took and the most memory it had.
async fn import(deployment: &Deployment, path: &std::path::Path) -> (f64, f64) {
    let mut command = deployment.command(&["catalogue", "import", "--json"]);
    command.arg(path);
    let start = Instant::now();
    let mut running = Running::start(command);
    let id = running.id();
    let peak = tokio::spawn(async move {
        let mut peak = 0.0;
        while let Some(now) = peak_mb(id) {
            peak = f64::max(peak, now);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        peak
    });
    let code = running.finish().await;
    assert_eq!(code, Some(0), "{}", running.output());
    (start.elapsed().as_secs_f64(), peak.await.expect("the watcher ends with the process"))
}

/// Types every song letter by letter, and gives what each letter took.
async fn search(wire: &mut Wire, typed: &[Song]) -> Vec<f64> {
    let bar = progress::bar("typed", typed.len());
    let mut took = Vec::new();
    for (at, song) in typed.iter().enumerate() {
        // Some look for the song, some for the artist, some for both.
        let text = match at % 3 {
            0 => song.name.clone(),
            1 => song.artist.clone(),
            _ => format!("{} {}", song.artist.split(' ').next().unwrap_or_default(), song.name),
        };
        for letters in 1..=text.len().min(LETTERS_MAX) {
            let path = format!("/v1/search?q={}", text[..letters].trim_end().replace(' ', "+"));
            let start = Instant::now();
            let answer = wire.get(&path).await;
            took.push(start.elapsed().as_secs_f64() * 1e3);
            assert_eq!(answer.status, 200, "{path}");
            let found: Value = serde_json::from_slice(answer.body).expect("tracks");
            let found = found["tracks"].as_array().expect("tracks");
            assert!(!found.is_empty(), "{path} finds nothing, though {} is there", song.name);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    took.sort_by(f64::total_cmp);
    took
}

/// Visits artists, their albums, genres page by page, and what is related.
async fn browse(wire: &mut Wire, count: usize) -> Vec<f64> {
    let bar = progress::bar("browsed", VISITS);
    let mut random = Random::new(11);
    let mut took = Vec::new();
    for visit in 0..VISITS {
        let track = 1 + random.below(count);
        let shown = visit_one(wire, &format!("/v1/tracks/{track}"), &mut took).await;
        let (artist, album, genre) = (&shown["artist"]["id"], &shown["album"]["id"], &shown["genre"]["id"]);
        visit_one(wire, &format!("/v1/tracks/{track}/related"), &mut took).await;
        visit_one(wire, &format!("/v1/artists/{artist}"), &mut took).await;
        visit_one(wire, &format!("/v1/artists/{artist}/tracks"), &mut took).await;
        visit_one(wire, &format!("/v1/albums/{album}"), &mut took).await;
        let mut page = visit_one(wire, &format!("/v1/genres/{genre}/tracks"), &mut took).await;
        for _ in 0..visit % 4 {
            let Some(next) = page["next"].as_str() else { break };
            page = visit_one(wire, &format!("/v1/genres/{genre}/tracks?cursor={next}"), &mut took).await;
        }
        bar.inc(1);
    }
    visit_one(wire, "/v1/genres", &mut took).await;
    visit_one(wire, "/v1/artists", &mut took).await;
    bar.finish_and_clear();
    took.sort_by(f64::total_cmp);
    took
}

async fn visit_one(wire: &mut Wire, path: &str, took: &mut Vec<f64>) -> Value {
    let start = Instant::now();
    let answer = wire.get(path).await;
    took.push(start.elapsed().as_secs_f64() * 1e3);
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(answer.body).expect("JSON")
}

fn cells(sorted: &[f64]) -> Vec<String> {
    [0.5, 0.99, 1.0].map(|share| format!("{:.2} ms", quantile(sorted, share))).to_vec()
}
