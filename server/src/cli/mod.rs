//! The `matinee` command: one file a subcommand. Errors are one line on standard error; exit code 1 is a failure, 2 a
//! wrong command line.

mod account;
mod account_key;
mod account_show;
mod backup;
mod catalogue;
mod collection;
mod coupon;
mod database;
mod doctor;
mod grant;
mod init;
mod key;
mod ledger;
mod plan;
pub mod publish;
mod refund;
mod report;
mod revoke;
mod rows;
mod royalty;
mod serve;
mod title;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use matinee_protocol::id::AccountId;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::api::cursor::PAGE_ROWS_MAX;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config};
use crate::store::page::{Asked, Page};
use crate::store::{self, Store, Tx};
use crate::{app, keyring, password, vault};

/// Bytes of a password read from standard input.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Licenses paid media and carries none of it twice.
#[derive(Debug, Parser)]
#[command(name = "matinee", version, about, propagate_version = true)]
pub struct Cli {
    /// The folder of database, keys and objects.
    #[arg(
        long,
        global = true,
        env = "MATINEE_DATA_DIR",
        default_value = "./matinee-data",
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
    /// The configuration file; config.toml in the data folder if not given.
    #[arg(long, global = true, env = "MATINEE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database: `sqlite:PATH` or `postgres://HOST/DATABASE`.
    #[arg(long, global = true, value_name = "ADDRESS", hide_env_values = true)]
    store: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes the data folder: database, key file, signing keys, configuration.
    Init(init::Args),
    /// Runs the server.
    Serve(serve::Args),
    /// Seals files and publishes them as a release.
    Publish(publish::Args),
    /// Accounts.
    #[command(subcommand)]
    Account(account::Command),
    /// Titles.
    #[command(subcommand)]
    Title(title::Command),
    /// Plans.
    #[command(subcommand)]
    Plan(plan::Command),
    /// Artists, albums and tracks.
    #[command(subcommand)]
    Catalogue(catalogue::Command),
    /// Collections: titles that are sold together.
    #[command(subcommand)]
    Collection(collection::Command),
    /// Makes, ends and lists coupons.
    Coupon(coupon::Args),
    /// Makes gift codes.
    Gift(coupon::GiftArgs),
    /// Gives an account the right to a title.
    Grant(grant::Args),
    /// Takes an entitlement back and ends its views.
    Revoke(revoke::Args),
    /// Gives money back and ends what it had bought.
    Refund(refund::Args),
    /// Who earns what of titles.
    #[command(subcommand)]
    Royalty(royalty::Command),
    /// Signing keys and vault keys.
    #[command(subcommand)]
    Key(key::Command),
    /// The ledger.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Reports.
    #[command(subcommand)]
    Report(report::Command),
    /// Saves the database while the server runs.
    Backup(backup::BackupArgs),
    /// Puts a saved database back.
    Restore(backup::RestoreArgs),
    /// The database.
    #[command(subcommand)]
    Store(database::Command),
    /// Looks at everything that a server needs, and says what to do.
    Doctor(doctor::Args),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints what makes a shell complete this command's words.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// The configuration.
#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Reads it as the server would, and says what it comes to.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// Signing keys.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// The server's parts.
    #[error(transparent)]
    App(#[from] app::Error),
    /// Passwords.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// Publishing.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// The object store.
    #[error(transparent)]
    Origin(#[from] crate::origin::Error),
    /// A file, a socket or the terminal.
    #[error("{0}: {1}")]
    System(String, std::io::Error),
    /// What was asked cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    fn refused<T>(text: impl Into<String>) -> Result<T, Self> {
        Err(Self::Refused(text.into()))
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&Error::System("runtime".to_owned(), error)),
    };
    let outcome = runtime.block_on(run(cli));
    // A blocking read of standard input would hold the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    let mut text = error.to_string().replace('\n', " ");
    text.truncate(text.floor_char_boundary(1000));
    drop(writeln!(std::io::stderr(), "matinee: {text}"));
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> Result<(), Error> {
    let mut config = Config::load(&cli.data_dir, cli.config.as_deref(), std::env::vars())?;
    if let Some(address) = cli.store {
        config.store.address = address;
    }
    match cli.command {
        Command::Init(args) => init::run(&args, &config).await,
        Command::Serve(args) => serve::run(args, config).await,
        Command::Publish(args) => Ok(publish::run(&args, &config).await?),
        Command::Account(command) => account::run(command, &config).await,
        Command::Title(command) => title::run(command, &config).await,
        Command::Plan(command) => plan::run(command, &config).await,
        Command::Catalogue(command) => catalogue::run(command, &config).await,
        Command::Collection(command) => collection::run(command, &config).await,
        Command::Coupon(args) => coupon::run(args, &config).await,
        Command::Gift(args) => coupon::gift(args, &config).await,
        Command::Grant(args) => grant::run(&args, &config).await,
        Command::Revoke(args) => revoke::run(&args, &config).await,
        Command::Refund(args) => refund::run(&args, &config).await,
        Command::Royalty(command) => royalty::run(command, &config).await,
        Command::Key(command) => key::run(command, &config).await,
        Command::Ledger(command) => ledger::run(command, &config).await,
        Command::Report(command) => report::run(command, &config).await,
        Command::Backup(args) => backup::backup(&args, &config).await,
        Command::Restore(args) => backup::restore(&args, &config).await,
        Command::Store(command) => database::run(command).await,
        Command::Doctor(args) => doctor::run(&args, &config).await,
        Command::Config(ConfigCommand::Check { json }) => check_config(&config, json),
        Command::Completions { shell } => completions(shell),
    }
}

/// Says what configuration comes to, if it is what a server starts with.
fn check_config(config: &Config, json: bool) -> Result<(), Error> {
    app::Read::of(config)?;
    let shown = config.shown();
    print(json, &shown, &format!("# understood\n{}", shown.to_string().trim_end()))
}

fn completions(shell: clap_complete::Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "matinee", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script).map_err(|error| Error::System("standard output".to_owned(), error))
}

/// Logs to standard error, as `RUST_LOG` asks; as JSON lines with `MATINEE_LOG_FORMAT=json`. That a statement was slow is
/// news from a server only: what else runs for long shows how far it is.
fn log(command: &Command) {
    use tracing_subscriber::EnvFilter;
    let default = if matches!(command, Command::Serve(_)) { "info,sqlx=warn" } else { "info,sqlx=error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let json = std::env::var("MATINEE_LOG_FORMAT").is_ok_and(|format| format == "json");
    drop(if json { builder.json().try_init() } else { builder.try_init() });
}

/// Opens the database and brings its schema up to date.
async fn open_store(config: &Config) -> Result<Store, Error> {
    if config.store.address.is_empty() && !config.data_dir.is_dir() {
        let folder = config.data_dir.display();
        return Error::refused(format!("there is no data folder {folder}: run matinee init first"));
    }
    let store = Store::open(&config.store_address()).await?;
    store.migrate().await?;
    Ok(store)
}

/// Every row of a listing, page by page.
async fn every<T>(
    mut listed: impl AsyncFnMut(&Asked) -> Result<Page<T>, store::Error>,
) -> Result<Vec<T>, store::Error> {
    let (mut asked, mut rows) = (Asked::first(PAGE_ROWS_MAX), Vec::new());
    loop {
        let page = listed(&asked).await?;
        rows.extend(page.rows);
        asked.after = page.next;
        if asked.after.is_none() {
            return Ok(rows);
        }
    }
}

fn now_ms() -> i64 {
    SystemClock.now_ms()
}

/// Writes what a command did into the audit trail, in the transaction that does it.
async fn note(
    tx: &mut Tx,
    action: &'static str,
    subject: &impl ToString,
    detail: serde_json::Value,
    now_ms: i64,
) -> Result<(), store::Error> {
    store::audit::By::command().note(tx, action, subject, detail, now_ms).await
}

/// The account that an argument names, by id or email address.
async fn account_named(tx: &mut Tx, text: &str) -> Result<AccountId, Error> {
    if let Ok(id) = text.parse::<AccountId>()
        && let Some(found) = store::account::by_id(tx, id).await?
    {
        return Ok(found.id);
    }
    match store::account::by_email(tx, text).await? {
        Some(found) => Ok(found.id),
        None => Error::refused(format!("there is no account {text}")),
    }
}

/// Reads a password from standard input or, with a terminal, without showing it.
fn password(from_stdin: bool, of: &str) -> Result<Zeroizing<String>, Error> {
    let failed = |error| Error::System("password".to_owned(), error);
    if !from_stdin {
        return rpassword::prompt_password(format!("Password of {of}: ")).map(Zeroizing::new).map_err(failed);
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Prints data: one line of JSON, or what people read.
fn print(json: bool, data: &impl Serialize, text: &str) -> Result<(), Error> {
    let failed = |error| Error::System("standard output".to_owned(), error);
    let mut out = std::io::stdout().lock();
    if json {
        let line = serde_json::to_string(data).map_err(|error| failed(error.into()))?;
        writeln!(out, "{line}").map_err(failed)
    } else {
        writeln!(out, "{text}").map_err(failed)
    }
}
