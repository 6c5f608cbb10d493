//! `matinee backup` and `matinee restore`: the database and a list of what the origin holds. Vault keys are apart on
//! purpose: who finds a backup must not find with it what opens it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::init::make_private;
use super::{Error, note, now_ms, open_store, print};
use crate::config::Config;
use crate::origin::Origin;
use crate::publish;
use crate::store::{Store, ledger, release};

/// The database within a backup.
const DATABASE: &str = "matinee.db";
/// What the backup says of itself.
const ABOUT: &str = "backup.json";
/// Releases looked at together.
const RELEASES_AT_ONCE: i64 = 200;
/// Endings of SQLite's files beside a database. What stands in the first or the last, SQLite writes into whatever file it
/// finds under the database's name.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Saves the database while the server runs.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// A new folder for the backup.
    folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Puts a saved database into the data folder, which must have none.
#[derive(Debug, clap::Args)]
pub(super) struct RestoreArgs {
    /// The backup's folder.
    folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    version: String,
    made_at_ms: i64,
    blake3: String,
    bytes: u64,
    releases: u64,
}

pub(super) async fn backup(args: &BackupArgs, config: &Config) -> Result<(), Error> {
    let address = config.store_address();
    if !address.starts_with("sqlite:") {
        return Error::refused(
            "a PostgreSQL database is saved by its own tools: pg_dump --format=custom --file=matinee.dump DATABASE \
             (or copy it into a file by matinee store copy --from postgres://… --to sqlite:FILE)",
        );
    }
    let failed = |error| Error::System(args.folder.display().to_string(), error);
    let store = open_store(config).await?;
    make_private(&args.folder).map_err(failed)?;
    let file = args.folder.join(DATABASE);
    // Before it is saved, so that what is saved tells of it too.
    noted(&store, "database.backup", &args.folder, json!({})).await?;
    store.save_to(&file).await?;
    store.close().await;
    let saved = Store::open(&format!("sqlite:{}", file.display())).await?;
    let sound = sound(&saved).await?;
    let releases = count_releases(&saved).await?;
    saved.close().await;
    let bytes = std::fs::metadata(&file).map_err(failed)?.len();
    let about = About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_ms: now_ms(),
        blake3: hash(&file).map_err(failed)?,
        bytes,
        releases,
    };
    let text = serde_json::to_string_pretty(&about).map_err(|error| failed(error.into()))?;
    std::fs::write(args.folder.join(ABOUT), text).map_err(failed)?;
    let data = json!({
        "folder": args.folder, "bytes": bytes, "blake3": about.blake3, "journals": sound, "releases": releases,
        "not_included": { "vault_key": config.key_file(), "origin": config.origin_address() },
    });
    let text = format!(
        "saved {bytes} bytes with {sound} journals that sum to zero and {releases} releases\n\
         not in it, keep them elsewhere: the vault key {}, without which no release opens, and the ciphertext in {}",
        config.key_file().display(),
        config.origin_address()
    );
    print(args.json, &data, &text)
}

pub(super) async fn restore(args: &RestoreArgs, config: &Config) -> Result<(), Error> {
    let address = config.store_address();
    let Some(target) = address.strip_prefix("sqlite:").map(PathBuf::from) else {
        return Error::refused("restore a PostgreSQL database by pg_restore");
    };
    if let Some(there) = in_the_way(&target) {
        return Error::refused(format!("{} is there already; move it away first", there.display()));
    }
    let failed = |error| Error::System(args.folder.display().to_string(), error);
    let file = args.folder.join(DATABASE);
    let about = std::fs::read(args.folder.join(ABOUT)).map_err(failed)?;
    let about: About = serde_json::from_slice(&about).map_err(|error| failed(error.into()))?;
    if hash(&file).map_err(failed)? != about.blake3 {
        return Error::refused(format!("{} is not what was saved; take another backup", file.display()));
    }
    make_private(&config.data_dir).map_err(failed)?;
    // Under its own name only once it is whole.
    let part = target.with_extension("restoring");
    std::fs::copy(&file, &part).map_err(failed)?;
    std::fs::File::open(&part).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&part, &target).map_err(failed)?;
    let store = open_store(config).await?;
    let journals = sound(&store).await?;
    let damaged = damaged(&store, config).await?;
    let detail = json!({ "made_at_ms": about.made_at_ms, "blake3": about.blake3 });
    noted(&store, "database.restore", &args.folder, detail).await?;
    store.close().await;
    let key = config.key_file();
    let data = json!({
        "database": target, "journals": journals, "releases": about.releases,
        "releases_without_objects": damaged, "vault_key_there": key.exists(),
    });
    let mut text = format!("restored {} with {journals} journals that sum to zero", target.display());
    if !damaged.is_empty() {
        text.push_str(&format!(
            "\n{} of {} releases lack objects in {}: bring the ciphertext back",
            damaged.len(),
            about.releases,
            config.origin_address()
        ));
    }
    if !key.exists() {
        text.push_str(&format!("\nput the vault key back to {}: nothing opens without it", key.display()));
    }
    print(args.json, &data, &text)
}

/// A file that would be taken for what is restored, or be written into it.
fn in_the_way(target: &Path) -> Option<PathBuf> {
    let beside = BESIDE.iter().map(|ending| {
        let mut name = target.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    });
    std::iter::once(target.to_owned()).chain(beside).find(|file| file.exists())
}

async fn noted(
    store: &Store,
    action: &'static str,
    folder: &Path,
    detail: serde_json::Value,
) -> Result<(), Error> {
    let mut tx = store.write().await?;
    note(&mut tx, action, &folder.display(), detail, now_ms()).await?;
    Ok(tx.commit().await?)
}

/// Checks file and ledger, and gives how many journals there are.
async fn sound(store: &Store) -> Result<i64, Error> {
    let found = store.integrity().await?;
    if let Some(first) = found.first() {
        return Error::refused(format!("the saved file is damaged: {first}"));
    }
    let check = ledger::check(&mut store.read().await?).await?;
    if !check.is_sound() {
        return Error::refused("the ledger in it is not sound; run matinee ledger check");
    }
    Ok(check.journals)
}

async fn count_releases(store: &Store) -> Result<u64, Error> {
    let (mut after, mut count) = (None, 0);
    loop {
        let page = release::published(&mut store.read().await?, after, RELEASES_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(count) };
        after = Some(*last);
        count += page.len() as u64;
    }
}

/// Published releases whose objects are not all there in their right lengths.
pub(super) async fn damaged(store: &Store, config: &Config) -> Result<Vec<String>, Error> {
    let origin = Origin::open(&config.origin_address())?;
    let (mut after, mut damaged) = (None, Vec::new());
    loop {
        let page = release::published(&mut store.read().await?, after, RELEASES_AT_ONCE).await?;
        let Some(last) = page.last() else { return Ok(damaged) };
        after = Some(*last);
        for id in page {
            let mut tx = store.read().await?;
            let Some(found) = release::by_id(&mut tx, id).await? else { continue };
            let files = release::files(&mut tx, id).await?;
            drop(tx);
            match publish::release::check_objects(&origin, &found, &files).await {
                Ok(()) => {}
                Err(publish::Error::Damaged(_)) => damaged.push(id.to_string()),
                Err(error) => return Error::refused(error.to_string()),
            }
        }
    }
}

fn hash(file: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(file)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}
