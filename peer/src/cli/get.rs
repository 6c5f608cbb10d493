//! `matinee-peer get`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use matinee_engine::Want;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::context::{Context, FAREWELL_WAIT, interrupted};
use super::failure::Failure;
use super::output::{Output, one_line};
use super::place::{Arriving, refuse_existing, targets};
use super::{Joining, figures, lookup};
use crate::clock;
use crate::opened::OpenedRelease;

/// Longest wait for one chunk: peers may come and go meanwhile.
const CHUNK_WAIT: Duration = Duration::from_secs(600);
/// When the cache takes no more, this many chunks are fetched ahead of the writing.
const WINDOW_CHUNKS: u32 = 128;
/// Opened chunks on their way to the output.
const WRITES_MAX: usize = 16;

/// Download a title.
#[derive(Debug, Args)]
pub(super) struct Get {
    /// Id or name of the title
    title: String,
    /// File to write, or folder
    #[arg(long, short, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// Only this file of the release; repeat for several
    #[arg(long, value_name = "NUMBER")]
    file: Vec<u32>,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
    /// Keep the ciphertext in the cache and open nothing
    #[arg(long, conflicts_with_all = ["output", "force"])]
    ciphertext_only: bool,
    #[command(flatten)]
    joining: Joining,
}

impl Get {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let api = context.signed_in()?;
        let options = context.options(&self.joining, true, Want::Nothing)?;
        let title = lookup::title(&api, &self.title).await?;
        // Before a view is opened, which may be the last one.
        if let Some(published) = title.release.as_ref().filter(|_| !self.force && !self.ciphertext_only) {
            let names: Vec<&str> = published.files.iter().map(|file| file.name.as_str()).collect();
            self.places(&title.name, &names)?.iter().try_for_each(|(_, target)| refuse_existing(target))?;
        }
        let opening = lookup::open_view(&api, &title).await?;
        let release = OpenedRelease::start(api, opening, &options).await?;
        let names: Vec<&str> = release.manifest().files.iter().map(|file| file.name.as_str()).collect();
        let places = self.places(&release.manifest().title, &names)?;
        let mut over = release.swarm().over();
        let got = tokio::select! {
            got = self.get(&release, &places, *output) => got.map(|()| true),
            () = interrupted() => Ok(false),
            end = over.wait_for(Option::is_some) => {
                let failure = end.ok().and_then(|end| end.as_ref().and_then(Failure::ended));
                failure.map_or(Ok(false), Err)
            }
        };
        if let Ok(true) = got {
            // The view did its work; on a failure or Ctrl-C it stays open so that the same command resumes it.
            match timeout(FAREWELL_WAIT, release.membership().end()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the view could not be ended; it ends by itself"),
                Err(_) => tracing::warn!("the view could not be ended in time; it ends by itself"),
            }
        }
        let _ = timeout(FAREWELL_WAIT, release.swarm().leave()).await;
        match got? {
            true => Ok(()),
            false => Err(Failure::other("interrupted", "interrupted; the same command goes on where it was")),
        }
    }

    /// The files asked for and where they go.
    fn places(&self, title: &str, names: &[&str]) -> Result<Vec<(u32, PathBuf)>, Failure> {
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        if let Some(wrong) = self.file.iter().find(|file| **file >= count) {
            let detail = format!("the release has no file {wrong}, only 0 to {}", count.saturating_sub(1));
            return Err(Failure::usage("file_not_found", &detail));
        }
        let wanted = |file: &u32| self.file.is_empty() || self.file.contains(file);
        let numbered = (0_u32..).zip(names).filter(|(file, _)| wanted(file));
        let files: Vec<(u32, String)> = numbered.map(|(file, name)| (file, (*name).to_owned())).collect();
        let places = targets(title, &files, self.output.as_deref());
        Ok(files.into_iter().map(|(file, _)| file).zip(places).collect())
    }

    async fn get(
        &self,
        release: &Arc<OpenedRelease>,
        places: &[(u32, PathBuf)],
        output: Output,
    ) -> Result<(), Failure> {
        let manifest = release.manifest();
        let about = |file: u32| manifest.files.get(file as usize);
        let files = || places.iter().map(|(file, _)| *file);
        let total_bytes: u64 = files().filter_map(about).map(|file| file.size_bytes).sum();
        let chunks_of = |file| about(file).map_or(0, |file| file.chunks());
        let runs = files().map(|file| (FileIndex(file), ChunkIndex(0), chunks_of(file)));
        // What is larger than the cache is fetched in the order in which it is written.
        let in_order = total_bytes > self.joining.cache_bytes && !self.ciphertext_only;
        if !in_order {
            release.swarm().wishes().want(Want::Only(runs.collect()));
        }
        let bar = figures::bar(output, total_bytes);
        let fields = json!({"command": "get", "release": manifest.release, "title": manifest.title, "bytes": total_bytes});
        output.event(
            "ready",
            fields,
            &format!("Getting {} ({})", one_line(&manifest.title), figures::bytes(total_bytes)),
        );
        let began = clock::instant();
        let reporting = report(Arc::clone(release), output, bar.clone());
        let work = async {
            let mut written = Vec::new();
            if self.ciphertext_only {
                self.hold(release, places, &bar).await?;
            } else {
                for (file, target) in places {
                    let arriving = Arriving::begin(target, self.force)?;
                    written.push(write_file(release, *file, arriving, in_order, &bar).await?);
                }
            }
            Ok::<_, Failure>(written)
        };
        let written = tokio::select! {
            written = work => written?,
            never = reporting => match never {},
        };
        bar.finish_and_clear();
        let paths: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        let elapsed = began.elapsed();
        let snapshot = figures::fresh(release).await;
        output.machine("stats", figures::stats(release, &snapshot));
        let place = if self.ciphertext_only { "the cache".to_owned() } else { paths.join(", ") };
        let rate = total_bytes as f64 / elapsed.as_secs_f64().max(0.001);
        output.event(
            "done",
            json!({"paths": paths, "bytes": total_bytes, "ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)}),
            &format!("{place}: {} at {}/s", figures::bytes(total_bytes), figures::bytes(rate as u64)),
        );
        Ok(())
    }

    /// Waits until every chunk is on disk.
    async fn hold(
        &self,
        release: &OpenedRelease,
        places: &[(u32, PathBuf)],
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        for &(file, _) in places {
            let Some(about) = release.manifest().files.get(file as usize) else {
                continue;
            };
            for chunk in 0..about.chunks() {
                let at = ChunkAddress::new(file, chunk);
                if !release.shelf().store().holds(at) {
                    release.sealed(at, CHUNK_WAIT).await?;
                }
                if release.shelf().is_memory_only() {
                    return Err(crate::storage::Error::Full.into());
                }
                bar.inc(u64::from(about.plain_chunk_bytes(ChunkIndex(chunk)).unwrap_or(0)));
            }
        }
        Ok(())
    }
}

/// Writes the plaintext of one file in order, as its chunks arrive in any.
async fn write_file(
    release: &Arc<OpenedRelease>,
    file: u32,
    mut arriving: Arriving,
    in_order: bool,
    bar: &ProgressBar,
) -> Result<PathBuf, Failure> {
    let (chunks, mut to_write) = mpsc::channel::<bytes::Bytes>(WRITES_MAX);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(bytes) = to_write.blocking_recv() {
            arriving.write(&bytes)?;
        }
        Ok::<_, std::io::Error>(arriving)
    });
    let count = release.manifest().files.get(file as usize).map_or(0, |about| about.chunks());
    let mut windowed_to = 0;
    for chunk in 0..count {
        let windowed = in_order || release.shelf().is_memory_only();
        if windowed && chunk + WINDOW_CHUNKS / 2 >= windowed_to {
            // Chunks far ahead would only push each other out of memory.
            windowed_to = chunk + WINDOW_CHUNKS;
            let window = (FileIndex(file), ChunkIndex(chunk), WINDOW_CHUNKS.min(count - chunk));
            release.swarm().wishes().want(Want::Only(vec![window]));
        }
        let bytes = release.plaintext(ChunkAddress::new(file, chunk), CHUNK_WAIT).await?;
        bar.inc(bytes.len() as u64);
        if chunks.send(bytes).await.is_err() {
            break;
        }
    }
    drop(chunks);
    let failed =
        |error: std::io::Error| Failure::other("output_io", &format!("cannot write the output: {error}"));
    let arriving =
        writing.await.map_err(|error| Failure::other("output_io", &error.to_string()))?.map_err(failed)?;
    let finished = tokio::task::spawn_blocking(move || arriving.finish()).await;
    finished.map_err(|error| Failure::other("output_io", &error.to_string()))?.map_err(failed)
}

/// Prints figures until it is dropped.
async fn report(release: Arc<OpenedRelease>, output: Output, bar: ProgressBar) -> std::convert::Infallible {
    let mut tick = tokio::time::interval(figures::STATS_INTERVAL);
    loop {
        tick.tick().await;
        let snapshot = release.swarm().snapshots().borrow().clone();
        output.machine("stats", figures::stats(&release, &snapshot));
        bar.set_message(figures::line(&snapshot));
    }
}
