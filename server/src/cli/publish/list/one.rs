//! One row of a list, from wherever it was left to its end.
//!
//! Three transactions stand between nothing and a title for sale. The first makes title and release and keeps the
//! reference; each segment that arrives has one; the last publishes and does all that the row asks for. So whatever is cut
//! off anywhere is found under its reference, and gone on with.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, CollectionId, TitleId};
use serde_json::json;

use super::fault::Fault;
use super::row::Row;
use crate::api::title_create;
use crate::app::App;
use crate::cli::note;
use crate::cli::publish::plan::{self, Source};
use crate::cli::publish::{Args, direct, terms};
use crate::publish::probe::DURATION_MS_MAX;
use crate::publish::{NewFile, announced};
use crate::random;
use crate::store::audit::By;
use crate::store::release::{self, Release, State};
use crate::store::supplied::{self, Supplied};
use crate::store::{Tx, collection, import, title};

/// The tier from which a plan over a collection opens the titles of a list: the lowest.
const TIER: u32 = 1;
/// Collections of one name that are looked at: two are one too many.
const NAMESAKES_MAX: i64 = 2;

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is published now.
    Published,
    /// It was published before.
    Skipped,
}

/// A row that is done with.
pub(super) struct Done {
    pub(super) line: u64,
    pub(super) id: String,
    /// Bytes of its files.
    pub(super) bytes: u64,
    pub(super) outcome: Result<Outcome, Fault>,
}

/// What publishing a list works with.
pub(super) struct Bench<'a> {
    pub(super) app: &'a App,
    pub(super) args: &'a Args,
    /// The list's folder, without links.
    pub(super) folder: &'a Path,
    pub(super) publisher: AccountId,
    pub(super) bar: &'a ProgressBar,
}

/// What a row asks for beside its files.
struct Asked {
    name: String,
    price: Option<Money>,
    collections: Vec<CollectionId>,
    track: Option<i32>,
}

impl Bench<'_> {
    /// Does all of a row that is not done yet.
    pub(super) async fn publish(&self, row: Row, line: u64) -> Done {
        let counted = Counted { bar: self.bar, bytes: Cell::new(0) };
        let (bytes, outcome) = match self.sources(&row.files).await {
            Ok(mut sources) => (plan::total_bytes(&sources), self.finish(&row, &mut sources, &counted).await),
            Err(fault) => (0, Err(fault)),
        };
        counted.reach(bytes);
        Done { line, id: row.id, bytes, outcome }
    }

    async fn finish(
        &self,
        row: &Row,
        sources: &mut [Source],
        counted: &Counted<'_>,
    ) -> Result<Outcome, Fault> {
        let mut tx = self.app.store.read().await?;
        let known = supplied::by_reference(&mut tx, self.publisher, &row.id).await?;
        if let Some(Supplied { title, release, finished_at_ms: Some(_) }) = known {
            let files = release::files(&mut tx, release).await?;
            return if direct::are_same(&files, sources) {
                Ok(Outcome::Skipped)
            } else {
                Fault::other(title)
            };
        }
        let asked = self.asked(&mut tx, row, known.map(|known| known.title)).await?;
        drop(tx);
        let found = match known {
            None => self.begin(row, &asked.name, sources, None).await?,
            Some(known) => self.go_on(row, &asked.name, sources, known).await?,
        };
        let manifest = match found.state {
            State::Published => None,
            State::Open => {
                let progress = |_: &Source, bytes| counted.reach(bytes);
                direct::take_in(self.app, &found, sources, progress).await?;
                Some(self.app.desk.sign(&found, &self.app.keyring).await?)
            }
        };
        self.settle(&found, manifest, asked).await?;
        Ok(Outcome::Published)
    }

    /// The files of a row: none from outside of the list's folder, wherever names or links lead.
    async fn sources(&self, files: &[String]) -> Result<Vec<Source>, Fault> {
        let mut sources = Vec::with_capacity(files.len());
        for file in files {
            let named = self.folder.join(file);
            let path = tokio::fs::canonicalize(&named).await.map_err(|error| unreadable(&named, error))?;
            if !path.starts_with(self.folder) {
                return Fault::row(format!("{file} is outside of the list's folder"));
            }
            let source = plan::looked_at(&named).await?;
            sources.push(Source { path, ..source });
        }
        let files: Vec<NewFile> = sources.iter().map(|source| source.announced.clone()).collect();
        announced::check(&files)?;
        Ok(sources)
    }

    /// Understands what a row asks for, before anything of it is made.
    async fn asked(&self, tx: &mut Tx, row: &Row, title: Option<TitleId>) -> Result<Asked, Fault> {
        let name = match title_create::check_name(&row.title) {
            Ok(name) => name.to_owned(),
            Err(problem) => return Fault::row(problem.detail),
        };
        let price = match &row.rental {
            Some(text) => {
                Some(terms::money(text).or_else(|told| Fault::row(format!("rental {text}: {told}")))?)
            }
            None => self.args.rental.clone(),
        };
        direct::check_currency(price.as_ref(), &self.app.config)?;
        if row.duration_ms.is_some_and(|ms| !(1..=DURATION_MS_MAX).contains(&ms)) {
            return Fault::row(format!("duration_ms must be between 1 and {DURATION_MS_MAX}"));
        }
        let mut collections = Vec::with_capacity(row.collections.len());
        for text in &row.collections {
            collections.push(self.collection(tx, text).await?);
        }
        let track = match &row.track {
            None => None,
            Some(reference) => match import::track(tx, reference).await? {
                None => return Fault::row(format!("there is no track {reference}")),
                Some((_, Some(other))) if Some(other) != title => return Fault::taken(other),
                Some((track, _)) => Some(track),
            },
        };
        Ok(Asked { name, price, collections, track })
    }

    /// A collection by its id, or one of the publisher's by its name.
    async fn collection(&self, tx: &mut Tx, text: &str) -> Result<CollectionId, Fault> {
        if let Ok(id) = text.parse::<CollectionId>()
            && let Some(found) = collection::by_id(tx, id).await?
        {
            return Ok(found.id);
        }
        match collection::by_name(tx, self.publisher, text, NAMESAKES_MAX).await?[..] {
            [found] => Ok(found),
            [] => Fault::row(format!("the publisher has no collection {text}")),
            _ => Fault::row(format!("the publisher has several collections {text}; give the id")),
        }
    }

    /// The release that is under way, or a new one where the row says something else now.
    async fn go_on(
        &self,
        row: &Row,
        name: &str,
        sources: &mut [Source],
        known: Supplied,
    ) -> Result<Release, Fault> {
        let mut tx = self.app.store.read().await?;
        let Some(found) = release::by_id(&mut tx, known.release).await? else { return Fault::busy() };
        let same_files = direct::are_same(&release::files(&mut tx, found.id).await?, sources);
        drop(tx);
        if found.state == State::Published {
            return if same_files { Ok(found) } else { Fault::other(known.title) };
        }
        if same_files && found.sealed == self.sealed(row) && found.title_name == name {
            return Ok(found);
        }
        self.app.desk.empty(&found).await?;
        self.begin(row, name, sources, Some(&found)).await
    }

    fn sealed(&self, row: &Row) -> bool {
        !row.open.unwrap_or(self.args.open)
    }

    /// Makes title and release, in place of those that were under way.
    async fn begin(
        &self,
        row: &Row,
        name: &str,
        sources: &mut [Source],
        before: Option<&Release>,
    ) -> Result<Release, Fault> {
        for (at, source) in sources.iter_mut().enumerate() {
            match row.duration_ms.filter(|_| at == 0) {
                Some(duration_ms) => source.announced.duration_ms = Some(duration_ms),
                None => source.probe().await,
            }
        }
        let files: Vec<NewFile> = sources.iter().map(|source| source.announced.clone()).collect();
        let (app, by, now_ms) = (self.app, By::command(), self.app.clock.now_ms());
        let mut tx = app.store.write().await?;
        if let Some(before) = before {
            app.desk.remove_in(&mut tx, before, &by, now_ms).await?;
            if !title::delete_unused(&mut tx, before.title_id).await? {
                return Fault::row(format!("title {} is in use already", before.title_id));
            }
            note(&mut tx, "title.remove", &before.title_id, json!({}), now_ms).await?;
        }
        let title = TitleId::from_bytes(random::id(now_ms));
        title::insert(&mut tx, title, self.publisher, name, now_ms).await?;
        note(&mut tx, "title.create", &title, json!({}), now_ms).await?;
        let release = app.desk.create_in(&mut tx, title, self.sealed(row), &files, &by, now_ms).await?;
        if !supplied::insert(&mut tx, self.publisher, &row.id, (title, release), now_ms).await? {
            return Fault::busy();
        }
        let Some(found) = release::by_id(&mut tx, release).await? else { return Fault::busy() };
        tx.commit().await?;
        Ok(found)
    }

    /// Publishes, and does all that the row asks for beside: in one transaction, once.
    async fn settle(&self, found: &Release, manifest: Option<String>, asked: Asked) -> Result<(), Fault> {
        let (app, title, now_ms) = (self.app, found.title_id, self.app.clock.now_ms());
        let mut tx = app.store.write().await?;
        if let Some(manifest) = &manifest {
            app.desk.publish_in(&mut tx, found, manifest, &By::command(), now_ms).await?;
        }
        if !supplied::finish(&mut tx, found.id, now_ms).await? {
            return Fault::busy();
        }
        if let Some(price) = asked.price {
            direct::add_plan_in(&mut tx, self.args, title, price, now_ms).await?;
        }
        for collection in asked.collections {
            collection::put_title(&mut tx, collection, title, TIER, now_ms).await?;
            let detail = json!({ "title": title, "tier": TIER });
            note(&mut tx, "collection.put", &collection, detail, now_ms).await?;
        }
        if let Some(track) = asked.track {
            if !import::give_title(&mut tx, track, title).await? {
                return Fault::row("the track was given another title meanwhile");
            }
            note(&mut tx, "track.title", &track, json!({ "title": title }), now_ms).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> crate::cli::publish::Error {
    crate::cli::publish::Error::File { path: PathBuf::from(path), source }
}

/// What of a row the progress bar has counted.
struct Counted<'a> {
    bar: &'a ProgressBar,
    bytes: Cell<u64>,
}

impl Counted<'_> {
    fn reach(&self, bytes: u64) {
        self.bar.inc(bytes.saturating_sub(self.bytes.replace(bytes.max(self.bytes.get()))));
    }
}
