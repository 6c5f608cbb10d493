//! `matinee doctor`: looks at everything that a server needs, one line each, with what to do.

use std::net::ToSocketAddrs as _;

use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::json;

use super::{Error, backup, now_ms, print};
use crate::app;
use crate::atlas::Atlas;
use crate::config::Config;
use crate::origin::Origin;
use crate::store::sealed::{self, Shelf};
use crate::store::{Store, ledger};
use crate::vault::Vault;

/// Secrets of each kind that are opened to see that the key is right.
const SECRETS_OPENED_MAX: i64 = 1000;
/// A clock before this is wrong: 1 January 2026, in Unix milliseconds.
const CLOCK_MS_MIN: i64 = 1_767_225_600_000;

/// Says what is wrong and what to do about it. Changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Days after which a database of countries is too old to go by.
const COUNTRIES_DAYS_MAX: u64 = 90;

/// Bytes that should be free where the data folder is: SQLite's log alone takes 32 MiB, an upload gigabytes.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    told: String,
}

/// What there is to say: how it is, or what to do.
type Told = Result<String, String>;

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let mut findings = Vec::new();
    let mut add = |what, told: Told| {
        let ok = told.is_ok();
        let (Ok(told) | Err(told)) = told;
        findings.push(Finding { what, ok, told });
    };
    add("configuration", configuration(config));
    add("clock", clock());
    add("address", address(config));
    add("countries", countries(config));
    add("disk", disk(config));
    match open(config).await {
        Err(told) => add("database", Err(told)),
        Ok(store) => {
            add("database", database(&store).await);
            add("vault key", vault(&store, config).await);
            add("ledger", books(&store).await);
            add("origin", origin(&store, config).await);
            store.close().await;
        }
    }
    let well = findings.iter().all(|finding| finding.ok);
    let line = |finding: &Finding| {
        let mark = if finding.ok { "ok   " } else { "wrong" };
        format!("{mark} {:<14} {}", finding.what, finding.told)
    };
    let lines: Vec<String> = findings.iter().map(line).collect();
    print(args.json, &json!({ "well": well, "findings": findings }), &lines.join("\n"))?;
    if well { Ok(()) } else { Error::refused("something is wrong, see above") }
}

fn configuration(config: &Config) -> Told {
    app::Read::of(config).map_err(|error| error.to_string())?;
    Ok("understood".to_owned())
}

fn clock() -> Told {
    if now_ms() < CLOCK_MS_MIN {
        return Err(
            "the machine's clock is years behind: set it, every token and window depends on it".to_owned()
        );
    }
    Ok("plausible".to_owned())
}

fn countries(config: &Config) -> Told {
    let file = &config.country.database;
    if file.is_empty() {
        return Ok("no database: no address has a country".to_owned());
    }
    let atlas = Atlas::open(file).map_err(|error| error.to_string())?;
    let now_s = u64::try_from(now_ms() / 1000).unwrap_or(0);
    let days = now_s.saturating_sub(atlas.made_at_s().unwrap_or(0)) / 86_400;
    if days > COUNTRIES_DAYS_MAX {
        return Err(format!("{file} is {days} days old: addresses have moved, get a new one"));
    }
    Ok(format!("{file}, {days} days old"))
}

fn disk(config: &Config) -> Told {
    let folder = &config.data_dir;
    let found = rustix::fs::statvfs(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    room(found.f_bavail.saturating_mul(found.f_frsize))
}

fn room(free_bytes: u64) -> Told {
    let free = HumanBytes(free_bytes);
    if free_bytes < FREE_BYTES_MIN {
        return Err(format!("{free} free: make room, for nothing is sold or uploaded when it is full"));
    }
    Ok(format!("{free} free"))
}

fn address(config: &Config) -> Told {
    let listen = &config.server.listen;
    let found = listen.to_socket_addrs().map_err(|error| format!("server.listen {listen}: {error}"))?;
    let found: Vec<_> = found.collect();
    match std::net::TcpListener::bind(&found[..]) {
        Ok(_) => Ok(format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{listen} is in use, by a running server one hopes"))
        }
        Err(error) => Err(format!("server.listen {listen} cannot be used: {error}")),
    }
}

/// Opens what is there; nothing is made and nothing migrated.
async fn open(config: &Config) -> Result<Store, String> {
    let address = config.store_address();
    if let Some(path) = address.strip_prefix("sqlite:")
        && !std::path::Path::new(path).is_file()
    {
        return Err(format!("there is no {path}: run matinee init"));
    }
    Store::open(&address).await.map_err(|error| format!("{error}; is it running, and is the address right?"))
}

async fn database(store: &Store) -> Told {
    let missing = store.migrations_missing().await.map_err(|error| error.to_string())?;
    if missing > 0 {
        return Err(format!("{missing} changes of the schema are missing: any other command makes them"));
    }
    match store.integrity().await.map_err(|error| error.to_string())?.first() {
        None => Ok("reachable and up to date".to_owned()),
        Some(found) => Err(format!("the file is damaged ({found}): restore a backup")),
    }
}

async fn vault(store: &Store, config: &Config) -> Told {
    let vault = Vault::open(&config.key_file()).map_err(|error| error.to_string())?;
    let mut opened = 0;
    for shelf in Shelf::ALL {
        let rows = async {
            // No key has an empty id: these are all of them.
            sealed::under_other_keys(&mut store.read().await?, shelf, "", SECRETS_OPENED_MAX).await
        };
        for (row, secret) in rows.await.map_err(|error: crate::store::Error| error.to_string())? {
            vault.open_sealed(&shelf.vault_name(&row), &secret).map_err(|error| {
                format!(
                    "{} does not open {row} ({error}): bring back the key file of this database",
                    config.key_file().display()
                )
            })?;
            opened += 1;
        }
    }
    Ok(format!("opens {opened} secrets"))
}

async fn books(store: &Store) -> Told {
    let check = async { ledger::check(&mut store.read().await?).await };
    let check = check.await.map_err(|error: crate::store::Error| error.to_string())?;
    if check.is_sound() {
        return Ok(format!("{} journals sum to zero", check.journals));
    }
    Err("it is not sound: run matinee ledger check".to_owned())
}

async fn origin(store: &Store, config: &Config) -> Told {
    let place = config.origin_address();
    let origin = Origin::open(&place).map_err(|error| error.to_string())?;
    origin.try_writing().await.map_err(|error| format!("{place} cannot be written: {error}"))?;
    let damaged = backup::damaged(store, config).await.map_err(|error| error.to_string())?;
    match damaged.first() {
        None => Ok(format!("{place} is writable and holds every published release")),
        Some(first) => Err(format!(
            "{} releases lack objects in {place}, the first is {first}: bring them back or publish again",
            damaged.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_nearly_full_is_told() {
        assert_eq!(room(FREE_BYTES_MIN), Ok("1.00 GiB free".to_owned()));
        assert!(room(FREE_BYTES_MIN - 1).is_err());
    }
}
