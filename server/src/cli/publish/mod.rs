//! `matinee publish`: seals files and publishes them as a release, straight into this server's stores or through a
//! server's HTTP interface; or every title of a list. All go through the same code in [`crate::publish`].

mod direct;
mod list;
mod plan;
mod progress;
mod remote;
pub(super) mod terms;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use indicatif::{HumanBytes, ProgressBar};
use matinee_protocol::api::Money;
use matinee_protocol::id::{PlanId, ReleaseId, TitleId};
use reqwest::StatusCode;
use serde::Serialize;
use zeroize::Zeroizing;

use self::plan::Source;
use self::remote::{Login, Remote};
use crate::config::Config;
use crate::{app, publish, store};

/// Bytes of a password read from standard input.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Seals files and publishes them as a release.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("priced").multiple(true)))]
pub struct Args {
    /// The files, in the order in which the release lists them.
    #[arg(required_unless_present = "list", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Publish every title of a list: CSV with a line of names, or JSON lines (.jsonl). Broken off, it goes on where it was.
    ///
    /// Names: id (the supplier's own), title, file (from the list's folder; several with | between); and as there are:
    /// rental (a price), collection (id or name; several with | between), track (the catalogue's id), open (true or
    /// false), duration_ms (how long the first file plays). JSON lines have lists, files and collections, instead. The
    /// flags hold for rows that say nothing else.
    #[arg(long, group = "priced", conflicts_with_all = ["files", "title", "title_id", "resume", "server"])]
    pub list: Option<PathBuf>,
    /// Name of the title.
    #[arg(long, required_unless_present_any = ["title_id", "resume", "list"])]
    pub title: Option<String>,
    /// Publish a new release of this title instead of a new title.
    #[arg(long, conflicts_with = "title")]
    pub title_id: Option<TitleId>,
    /// Name of the publisher, whose account is made if need be; or the e-mail address of one. Without --server only.
    #[arg(long, default_value = "Publisher", conflicts_with = "server")]
    pub publisher: String,
    /// Rent the title out at this price, for example 0.50USD.
    #[arg(long, group = "priced", value_name = "PRICE", value_parser = terms::money)]
    pub rental: Option<Money>,
    /// Views in one rental; as many as fit the window if not given.
    #[arg(long, requires = "priced")]
    pub views: Option<u32>,
    /// How long a rental plays once it was started.
    #[arg(long, value_name = "TIME", default_value = "48h", value_parser = terms::time_ms)]
    pub play_within: u64,
    /// How long after the purchase it can be started.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = terms::time_ms)]
    pub start_within: u64,
    /// Do not seal: anyone may read the files, which are hashed and signed all the same.
    #[arg(long)]
    pub open: bool,
    /// Publish through this server instead of into the data folder.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Sign in there with this e-mail address.
    #[arg(long, requires = "server")]
    pub email: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "email")]
    pub password_stdin: bool,
    /// Sign in there with a token made before.
    #[arg(long, requires = "server", env = "MATINEE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Go on with a release whose upload was cut.
    #[arg(long, value_name = "RELEASE", conflicts_with_all = ["title_id", "rental"])]
    pub resume: Option<ReleaseId>,
    /// Print what was published as JSON, and no progress.
    #[arg(long)]
    pub json: bool,
}

/// What was published.
#[derive(Clone, Debug, Serialize)]
pub struct Published {
    /// The title; not told when an upload through a server was resumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<TitleId>,
    /// The release.
    pub release: ReleaseId,
    /// The plan that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// Bytes of plaintext.
    pub bytes: u64,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder or something stranger.
    #[error("{0} is no plain file")]
    NotAFile(PathBuf),
    /// The name is not UTF-8.
    #[error("{0} has a name that is not UTF-8; rename it")]
    Name(PathBuf),
    /// The files are not those that were announced.
    #[error("the release was announced with a file of {0} bytes, this one has {1}")]
    Changed(u64, u64),
    /// The release to go on with is not there, is published, or has other files.
    #[error("release {0} cannot be resumed: it is not there, is published, or has other files")]
    Resume(ReleaseId),
    /// The data folder is not there.
    #[error("there is no data folder {0}: run matinee init first, or publish through a server with --server")]
    NoFolder(PathBuf),
    /// The price is in another currency than this server's wallets.
    #[error("this server's wallets are in {0}; give the price in it")]
    Currency(String),
    /// The account is not a publisher's.
    #[error("{0} is no account here; give a name instead to make one")]
    NoAccount(String),
    /// The title is not there or another publisher's.
    #[error("title {0} is not there or is another publisher's")]
    NoTitle(TitleId),
    /// No way to sign in was given.
    #[error("give --token or MATINEE_TOKEN, or --email (with --password-stdin where there is no terminal)")]
    NoLogin,
    /// The password could not be read.
    #[error("the password could not be read: {0}")]
    Password(std::io::Error),
    /// The server refused.
    #[error("the server refused ({status}): {detail}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The problem's code; empty when the answer was no problem.
        code: String,
        /// What the server said.
        detail: String,
    },
    /// The server cannot be reached.
    #[error("the server cannot be reached: {0}")]
    Http(String),
    /// The result could not be printed.
    #[error("the result could not be printed: {0}")]
    Print(std::io::Error),
    /// Somebody pressed Ctrl-C; nothing is left behind.
    #[error("cancelled; nothing was published")]
    Cancelled,
    /// A list cannot be worked with; nothing was published.
    #[error("{list}: line {line}: {text}")]
    List {
        /// Which.
        list: PathBuf,
        /// Where in it.
        line: u64,
        /// What is wrong there.
        text: String,
    },
    /// Not every row of a list was published.
    #[error("{failed} of {rows} rows failed; the same command tries only those again")]
    Rows {
        /// How many were not.
        failed: u64,
        /// How many there are.
        rows: u64,
    },
    /// Somebody pressed Ctrl-C.
    #[error("stopped: {0} titles were published; the same command goes on from there")]
    Stopped(u64),
    /// The database or the object store failed again and again.
    #[error(
        "stopped: the database or the object store fails row after row; the same command goes on from there"
    )]
    GivenUp,
    /// The server's parts did not open.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The vault did not open.
    #[error(transparent)]
    Vault(#[from] crate::vault::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Publishing failed.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// Taking a file in failed.
    #[error(transparent)]
    Intake(#[from] publish::intake::Error),
    /// The object store did not open.
    #[error(transparent)]
    Origin(#[from] crate::origin::Error),
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        // The innermost cause says most, and none of them holds the token.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Self::Http(cause.to_string())
    }
}

/// Publishes and prints what was published.
///
/// # Errors
/// [`Error`]; nothing is left behind unless the error says how to go on.
pub async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    if let Some(list) = &args.list {
        return list::run(args, list, config).await;
    }
    let sources = plan::sources(args).await?;
    let bar = progress::bar(plan::total_bytes(&sources), args.json);
    #[expect(clippy::disallowed_methods, reason = "a stopwatch for the rate that is printed")]
    let started = std::time::Instant::now();
    let published = match &args.server {
        None => direct::publish(args, config, &sources, &bar).await?,
        Some(url) => through_server(args, url, &sources, &bar).await?,
    };
    bar.finish_and_clear();
    print(args, &published, started.elapsed()).map_err(Error::Print)
}

async fn through_server(
    args: &Args,
    url: &str,
    sources: &[Source],
    bar: &ProgressBar,
) -> Result<Published, Error> {
    let remote = Remote::connect(url, login(args)?).await?;
    let mut published = match args.resume {
        Some(release) => Published { title: None, release, plan: None, bytes: 0 },
        None => remote.create(args, sources).await?,
    };
    let release = published.release;
    let work = async {
        for (file, source) in sources.iter().enumerate() {
            bar.set_message(source.announced.name.clone());
            remote.upload(release, file, source, bar, published.bytes).await?;
            published.bytes += source.announced.size_bytes;
        }
        bar.set_message("publishing");
        remote.publish(release).await
    };
    tokio::select! {
        done = work => match done {
            Ok(()) => Ok(published),
            Err(error) => {
                tracing::warn!("go on with: matinee publish --server {url} --resume {release} …");
                Err(error)
            }
        },
        () = interrupted() => {
            remote.remove(release).await?;
            Err(Error::Cancelled)
        }
    }
}

fn login(args: &Args) -> Result<Login, Error> {
    if let Some(token) = &args.token {
        return Ok(Login::Token(token.clone()));
    }
    let email = args.email.clone().ok_or(Error::NoLogin)?;
    let password = if args.password_stdin {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(Error::Password)?;
        Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        Zeroizing::new(rpassword::prompt_password(format!("Password of {email}: ")).map_err(Error::Password)?)
    };
    Ok(Login::Password(email, password))
}

/// Resolves when somebody asks the command to stop.
async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => if pressed.is_err() { std::future::pending().await },
        _ = terminated => {}
    }
}

fn print(args: &Args, published: &Published, took: std::time::Duration) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, published)?;
        return writeln!(out);
    }
    let seconds = took.as_secs_f64().max(0.001);
    let rate = HumanBytes((published.bytes as f64 / seconds) as u64);
    writeln!(out, "published release {}", published.release)?;
    if let Some(title) = published.title {
        writeln!(out, "title             {title}")?;
    }
    if let Some(plan) = published.plan {
        writeln!(out, "plan              {plan}")?;
    }
    writeln!(out, "{} in {seconds:.1} s, {rate}/s", HumanBytes(published.bytes))
}
