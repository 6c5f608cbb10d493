//! Publishing straight into the stores of the data folder. A server may run beside it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use indicatif::ProgressBar;
use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, FileIndex, PlanId, ReleaseId, TitleId};
use serde_json::json;

use super::super::account::role_names;
use super::super::note;
use super::plan::Source;
use super::{Args, Error, Published, interrupted};
use crate::app::{App, Parts};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::license::plan::Terms;
use crate::origin::Origin;
use crate::publish::{NewFile, intake};
use crate::random;
use crate::store::account::{self, Account, Role};
use crate::store::audit::By;
use crate::store::plan::{self, Plan};
use crate::store::release::{self, Release, State};
use crate::store::{self, Store, Tx, title};
use crate::vault::Vault;

/// Domain of the addresses of accounts that were made by name; mail to it goes nowhere (RFC 2606).
const NO_MAIL_DOMAIN: &str = "publisher.invalid";
/// No password has this hash, so the account cannot be signed in to until an operator sets one.
const NO_PASSWORD: &str = "!";

/// Opens the stores of the data folder.
pub(super) async fn open(config: &Config) -> Result<App, Error> {
    if !config.data_dir.is_dir() {
        return Err(Error::NoFolder(config.data_dir.clone()));
    }
    let store = Store::open(&config.store_address()).await?;
    store.migrate().await?;
    let origin = Origin::open(&config.origin_address())?;
    let parts = Parts {
        public_url: config.server.public_url.clone(),
        clock: Arc::new(SystemClock),
        vault: Vault::open(&config.key_file())?,
        store,
        origin,
        ice_servers: Vec::new(),
        config: config.clone(),
    };
    Ok(App::open(parts).await?)
}

/// Publishes into the stores; stopped or failed, it leaves nothing behind unless it was resuming.
pub(super) async fn publish(
    args: &Args,
    config: &Config,
    sources: &[Source],
    bar: &ProgressBar,
) -> Result<Published, Error> {
    check_currency(args.rental.as_ref(), config)?;
    let app = open(config).await?;
    let begun = match args.resume {
        Some(release) => {
            let found = resumable(&app, release, sources).await?;
            Begun { found, new_title: false, new_publisher: false }
        }
        None => begin(&app, args, sources).await?,
    };
    let work = async {
        let progress = |source: &Source, bytes| {
            bar.set_message(source.announced.name.clone());
            bar.set_position(bytes);
        };
        let bytes = take_in(&app, &begun.found, sources, progress).await?;
        bar.set_message("publishing");
        app.desk.publish(&begun.found, &app.keyring, &*app.clock, &By::command()).await?;
        Ok::<u64, Error>(bytes)
    };
    let (title, release) = (begun.found.title_id, begun.found.id);
    let outcome = tokio::select! {
        outcome = work => outcome,
        () = interrupted() => Err(Error::Cancelled),
    };
    let bytes = match outcome {
        Ok(bytes) => bytes,
        Err(error) => {
            if args.resume.is_none() || matches!(error, Error::Cancelled) {
                remove(&app, &begun).await?;
            }
            return Err(error);
        }
    };
    let plan = match &args.rental {
        Some(price) => Some(add_plan(&app, args, title, price.clone()).await?),
        None => None,
    };
    app.store.close().await;
    Ok(Published { title: Some(title), release, plan, bytes })
}

/// Refuses a price in another currency than this server's.
pub(super) fn check_currency(price: Option<&Money>, config: &Config) -> Result<(), Error> {
    if price.is_some_and(|price| price.currency != config.payment.currency) {
        return Err(Error::Currency(config.payment.currency.clone()));
    }
    Ok(())
}

/// A release to be filled.
struct Begun {
    found: Release,
    new_title: bool,
    new_publisher: bool,
}

async fn begin(app: &App, args: &Args, sources: &[Source]) -> Result<Begun, Error> {
    let (publisher, new_publisher) = publisher(app, &args.publisher).await?;
    let now_ms = app.clock.now_ms();
    let (title, new_title) = match args.title_id {
        Some(known) => {
            let mut tx = app.store.read().await?;
            let found = title::by_id(&mut tx, known).await?;
            found.filter(|found| found.publisher_id == publisher).ok_or(Error::NoTitle(known))?;
            (known, false)
        }
        None => {
            let title = TitleId::from_bytes(random::id(now_ms));
            let mut tx = app.store.write().await?;
            title::insert(&mut tx, title, publisher, args.title.as_deref().unwrap_or_default(), now_ms)
                .await?;
            note(&mut tx, "title.create", &title, json!({}), now_ms).await?;
            tx.commit().await?;
            (title, true)
        }
    };
    let announced: Vec<NewFile> = sources.iter().map(|source| source.announced.clone()).collect();
    match app.desk.create(title, !args.open, &announced, &By::command(), now_ms).await {
        Ok(release) => {
            let found = app.desk.release_of(publisher, release).await?;
            Ok(Begun { found, new_title, new_publisher })
        }
        Err(error) => {
            remove_title(app, title, publisher, (new_title, new_publisher)).await?;
            Err(error.into())
        }
    }
}

/// An unpublished release with these very files.
async fn resumable(app: &App, release: ReleaseId, sources: &[Source]) -> Result<Release, Error> {
    let mut tx = app.store.read().await?;
    let found = release::by_id(&mut tx, release).await?.filter(|found| found.state == State::Open);
    let files = release::files(&mut tx, release).await?;
    found.filter(|_| are_same(&files, sources)).ok_or(Error::Resume(release))
}

/// Whether a release was announced with these files: by their names and sizes.
pub(super) fn are_same(files: &[release::File], sources: &[Source]) -> bool {
    files.len() == sources.len()
        && files.iter().zip(sources).all(|(file, source)| {
            file.name == source.announced.name && file.size_bytes == source.announced.size_bytes
        })
}

/// Seals every file, each from where it stands. `progress` hears which file it is and how many bytes are done in all.
pub(super) async fn take_in(
    app: &App,
    found: &Release,
    sources: &[Source],
    mut progress: impl FnMut(&Source, u64),
) -> Result<u64, Error> {
    let mut before = 0;
    for (at, source) in (0..).zip(sources) {
        progress(source, before);
        let file = File::open(&source.path)
            .map_err(|error| Error::File { path: source.path.clone(), source: error })?;
        let mut intake = app.desk.intake(found, FileIndex(at), None).await?;
        let read = move |start: u64, into: &mut [u8]| file.read_exact_at(into, start);
        let taken = intake.read_rest(Arc::new(read), |bytes| progress(source, before + bytes)).await;
        let acknowledged = intake.finish(false).await;
        taken.map_err(|error| unreadable(error, source))?;
        acknowledged.map_err(|error| unreadable(error, source))?;
        before += source.announced.size_bytes;
        progress(source, before);
    }
    Ok(before)
}

fn unreadable(error: intake::Error, source: &Source) -> Error {
    match error {
        intake::Error::Read(error) => Error::File { path: source.path.clone(), source: error },
        other => other.into(),
    }
}

async fn remove(app: &App, begun: &Begun) -> Result<(), Error> {
    let Begun { found, new_title, new_publisher } = begun;
    app.desk.remove(found, &By::command(), app.clock.now_ms()).await?;
    remove_title(app, found.title_id, found.publisher_id, (*new_title, *new_publisher)).await?;
    app.store.close().await;
    Ok(())
}

/// Removes what this run made: title and publisher, in that order.
async fn remove_title(
    app: &App,
    title: TitleId,
    publisher: AccountId,
    made: (bool, bool),
) -> Result<(), Error> {
    let mut tx = app.store.write().await?;
    if made.0 {
        title::delete_unused(&mut tx, title).await?;
        note(&mut tx, "title.remove", &title, json!({}), app.clock.now_ms()).await?;
    }
    if made.1 {
        account::delete_unused(&mut tx, publisher).await?;
        note(&mut tx, "account.remove", &publisher, json!({}), app.clock.now_ms()).await?;
    }
    Ok(tx.commit().await?)
}

async fn add_plan(app: &App, args: &Args, title: TitleId, price: Money) -> Result<PlanId, Error> {
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    let plan = add_plan_in(&mut tx, args, title, price, now_ms).await?;
    tx.commit().await?;
    Ok(plan)
}

/// Adds a rental of a title with the terms of the command's flags, in a transaction of the caller's.
pub(super) async fn add_plan_in(
    tx: &mut Tx,
    args: &Args,
    title: TitleId,
    price: Money,
    now_ms: i64,
) -> Result<PlanId, store::Error> {
    let terms = Terms::Rental {
        start_within_ms: args.start_within,
        play_within_ms: args.play_within,
        views: args.views,
    };
    let plan = Plan::of_title(PlanId::from_bytes(random::id(now_ms)), title, price, terms, now_ms);
    plan::insert(tx, &plan).await?;
    note(tx, "plan.create", &plan.id, json!({ "title": title, "price": plan.price }), now_ms).await?;
    Ok(plan.id)
}

/// The publisher's account, and whether it is new: by e-mail address, or by a name that is given an address of its own.
pub(super) async fn publisher(app: &App, name: &str) -> Result<(AccountId, bool), Error> {
    let email = if name.contains('@') { name.to_owned() } else { format!("{}@{NO_MAIL_DOMAIN}", slug(name)) };
    let now_ms = app.clock.now_ms();
    let mut tx = app.store.write().await?;
    let found = match account::by_email(&mut tx, &email).await? {
        Some(found) => {
            if !found.roles.contains(&Role::Publisher) {
                let roles: Vec<Role> = found.roles.iter().copied().chain([Role::Publisher]).collect();
                account::set_roles(&mut tx, found.id, &roles).await?;
                note(&mut tx, "account.roles", &found.id, json!({ "roles": role_names(&roles) }), now_ms)
                    .await?;
            }
            (found.id, false)
        }
        None if name.contains('@') => return Err(Error::NoAccount(email)),
        None => {
            let id = AccountId::from_bytes(random::id(now_ms));
            let roles = vec![Role::Publisher];
            let account = Account { id, email, name: name.to_owned(), roles, created_at_ms: now_ms };
            account::insert(&mut tx, &account, NO_PASSWORD).await?;
            note(&mut tx, "account.add", &id, json!({ "roles": role_names(&account.roles) }), now_ms).await?;
            (id, true)
        }
    };
    tx.commit().await?;
    Ok(found)
}

/// Letters and digits of a name in lower case, runs of anything else as one dash.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}
