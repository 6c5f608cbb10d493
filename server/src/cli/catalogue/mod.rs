//! `matinee catalogue`.

mod import;
mod read;

use std::path::PathBuf;

use serde_json::json;

use super::{Error, open_store, print};
use crate::config::Config;
use crate::store::catalogue;
use crate::words;

/// Tracks listed by a search.
const FOUND_MAX: i64 = 50;

/// Artists, albums and tracks to look through.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Brings tracks in from a file: CSV with a line of names, or JSON lines (.jsonl). Broken off, it goes on where it was.
    ///
    /// Names: id, name, artist; and as there are: album, genre, year, number, duration_ms, popularity, title (the id of
    /// what one buys to hear it). The same id again is the same track, changed.
    Import {
        /// The file.
        file: PathBuf,
        /// Begin at the file's first row, though it was imported before.
        #[arg(long)]
        again: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Finds tracks as the storefront does for everybody: every word, the last perhaps only begun.
    Search {
        /// What to look for.
        words: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Says how much there is.
    Count {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    let store = open_store(config).await?;
    let outcome = match command {
        Command::Import { file, again, json } => import::run(&store, &file, again, json).await,
        Command::Search { words, json } => {
            let mut tx = store.read().await?;
            let words = words::query(&words.join(" "));
            let found = catalogue::search(&mut tx, None, &words, FOUND_MAX).await?;
            let line = |track: &catalogue::Track| {
                let album = track.album.as_ref().map_or("", |album| &album.name);
                format!("{:>9}  {} — {}  {album}", track.id, track.artist.name, track.name)
            };
            let text: Vec<_> = found.iter().map(line).collect();
            print(json, &found, &text.join("\n"))
        }
        Command::Count { json } => {
            let [artists, albums, genres, tracks] = catalogue::counts(&mut store.read().await?).await?;
            let data = json!({ "artists": artists, "albums": albums, "genres": genres, "tracks": tracks });
            let text = format!("{artists} artists, {albums} albums, {genres} genres, {tracks} tracks");
            print(json, &data, &text)
        }
    };
    store.close().await;
    outcome
}
