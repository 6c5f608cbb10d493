//! `matinee publish --list`: titles out of a supplier's list, several at once. The same command again goes on where it was.

mod fault;
mod one;
mod row;
mod told;

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use matinee_protocol::id::AccountId;
use serde_json::json;

use self::one::{Bench, Outcome};
use self::row::Row;
use self::told::Told;
use super::{Args, Error, direct, interrupted, progress};
use crate::app::App;
use crate::cli::note;
use crate::cli::rows::{self, Rows};
use crate::config::Config;
use crate::publish::release::UPLOADS_MAX;
use crate::store::account;

/// Rows that are published at once.
const ROWS_AT_ONCE: usize = UPLOADS_MAX;
/// Rows that the database or the object store may fail with none published between: then no further row is begun.
const STORE_FAULTS_MAX: u32 = 8;

/// Publishes every row of a list that is not published yet.
pub(super) async fn run(args: &Args, list: &Path, config: &Config) -> Result<(), Error> {
    direct::check_currency(args.rental.as_ref(), config)?;
    let unreadable = |source| Error::File { path: list.to_owned(), source };
    let folder = list.canonicalize().map_err(unreadable)?;
    let folder = folder.parent().map_or_else(PathBuf::new, Path::to_owned);
    let bar = progress::bar(0, args.json);
    let counted = row::count(list, &folder, !bar.is_hidden())?;
    let app = direct::open(config).await?;
    let (publisher, new) = direct::publisher(&app, &args.publisher).await?;
    let mut told = Told::new(args.json, &bar, counted);
    let bench = Bench { app: &app, args, folder: &folder, publisher, bar: &bar };
    let ended = work(&bench, list, &mut told).await;
    if new && told.published == 0 && ended.is_ok() {
        remove_publisher(&app, publisher).await?;
    }
    app.store.close().await;
    told.end().map_err(Error::Print)?;
    let (rows, failed, published) = (counted.rows, told.failed, told.published);
    match ended? {
        Ended::Stopped => Err(Error::Stopped(published)),
        Ended::GivenUp => Err(Error::GivenUp),
        Ended::Through if failed > 0 => Err(Error::Rows { failed, rows }),
        Ended::Through => Ok(()),
    }
}

/// How the work on a list ended.
enum Ended {
    /// Every row was tried.
    Through,
    /// Somebody asked for it.
    Stopped,
    /// The stores failed too often.
    GivenUp,
}

async fn work(bench: &Bench<'_>, list: &Path, told: &mut Told<'_>) -> Result<Ended, Error> {
    let mut rows = Rows::open(list, 0, 0).map_err(|error| unread(list, error))?;
    let mut interrupted = std::pin::pin!(interrupted());
    let mut under_way = FuturesUnordered::new();
    let (mut more, mut store_faults) = (true, 0);
    loop {
        while more && under_way.len() < ROWS_AT_ONCE {
            match rows.next::<Row>().map_err(|error| unread(list, error))? {
                Some(read) => under_way.push(bench.publish(read.entry, read.line)),
                None => more = false,
            }
        }
        let done = tokio::select! {
            biased;
            () = &mut interrupted => return Ok(Ended::Stopped),
            done = under_way.next() => done,
        };
        let Some(done) = done else { break };
        told.row(&done).map_err(Error::Print)?;
        match &done.outcome {
            Err(fault) if fault.is_of_the_stores() => store_faults += 1,
            Ok(Outcome::Published) => store_faults = 0,
            Ok(Outcome::Skipped) | Err(_) => {}
        }
        more &= store_faults < STORE_FAULTS_MAX;
    }
    Ok(if store_faults < STORE_FAULTS_MAX { Ended::Through } else { Ended::GivenUp })
}

/// Why a list could not be read, with its line.
fn unread(list: &Path, error: rows::Error) -> Error {
    match error {
        rows::Error::System(source) => Error::File { path: list.to_owned(), source },
        rows::Error::Row { line, text, .. } => Error::List { list: list.to_owned(), line, text },
    }
}

/// Removes a publisher that was made for this list, unless something of it is under way.
async fn remove_publisher(app: &App, publisher: AccountId) -> Result<(), Error> {
    let mut tx = app.store.write().await?;
    if account::delete_unused(&mut tx, publisher).await? {
        note(&mut tx, "account.remove", &publisher, json!({}), app.clock.now_ms()).await?;
        tx.commit().await?;
    }
    Ok(())
}
