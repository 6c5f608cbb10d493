//! `matinee report`.

mod sales;
mod tax;

use std::io::Write as _;

use serde_json::json;

use super::publish::terms;
use super::{Error, open_store, print};
use crate::api::royalty_statement;
use crate::config::Config;
use crate::royalty::Statement;
use crate::store::audit::{self, AuditEntry};
use crate::store::entry::{self, ENTRIES_LISTED_MAX, Place};
use crate::store::page::Asked;
use crate::store::royalty::Span;
use crate::store::{Store, title};

/// Reports, on standard output.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Who did what that needs a right of its own, newest first.
    Audit {
        /// Only what was done to the thing of this id.
        #[arg(long)]
        subject: Option<String>,
        /// How many acts.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Purchases, renewals, money and views by title.
    Sales(sales::Args),
    /// The tax that was charged and given back in a month, by country and rate.
    Tax(tax::Args),
    /// Every entry of the ledger, oldest first.
    Ledger {
        /// How.
        #[arg(long, default_value = "csv")]
        format: Format,
        /// Print JSON, as with --format json.
        #[arg(long, conflicts_with = "format")]
        json: bool,
        /// Only one month, in UTC, for example 2026-10.
        #[arg(long, value_name = "MONTH", value_parser = Span::month)]
        month: Option<Span>,
    },
    /// Who earned what in a month.
    Royalties {
        /// The month, in UTC, for example 2026-10.
        #[arg(long, value_name = "MONTH", value_parser = Span::month)]
        month: Span,
        /// How.
        #[arg(long, default_value = "csv")]
        format: Format,
        /// Print JSON, as with --format json.
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// Comma-separated values (RFC 4180) with a heading.
    Csv,
    /// JSON: one object.
    Json,
}

impl Format {
    fn or_json(self, json: bool) -> Self {
        if json { Self::Json } else { self }
    }
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    if let Command::Sales(args) = command {
        return sales::run(&args, config).await;
    }
    let store = open_store(config).await?;
    match command {
        Command::Sales(_) => {}
        Command::Audit { subject, limit, json } => audit(&store, subject, limit, json).await?,
        Command::Tax(args) => tax::run(&store, &args).await?,
        Command::Ledger { format, json, month } => ledger(&store, format.or_json(json), month).await?,
        Command::Royalties { month, format, json } => {
            royalties(&store, config, format.or_json(json), month).await?;
        }
    }
    store.close().await;
    Ok(())
}

fn failed(error: impl Into<std::io::Error>) -> Error {
    Error::System("standard output".to_owned(), error.into())
}

fn unwritten(error: csv::Error) -> Error {
    failed(std::io::Error::other(error))
}

async fn audit(store: &Store, subject: Option<String>, limit: u32, json: bool) -> Result<(), Error> {
    let mut tx = store.read().await?;
    let acts = audit::listed(&mut tx, subject.as_deref(), &Asked::first(limit)).await?.rows;
    let line = |act: &AuditEntry| {
        let AuditEntry { at_ms, actor_kind, actor, action, subject, detail, .. } = act;
        format!("{at_ms}  {action}  {subject}  {actor_kind} {actor}  {detail}")
    };
    print(json, &acts, &acts.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Page by page: a ledger may be larger than memory.
async fn ledger(store: &Store, format: Format, month: Option<Span>) -> Result<(), Error> {
    let span = month.unwrap_or(Span { from_ms: 0, until_ms: i64::MAX });
    let mut place = Place(span.from_ms, String::new(), String::new());
    let mut table = (format == Format::Csv).then(|| csv::Writer::from_writer(std::io::stdout()));
    let mut lines = std::io::BufWriter::new(std::io::stdout());
    let mut first = true;
    loop {
        let mut tx = store.read().await?;
        let entries = entry::after(&mut tx, &place, span.until_ms, ENTRIES_LISTED_MAX).await?;
        drop(tx);
        let Some(last) = entries.last() else { break };
        place = last.place();
        for entry in &entries {
            match &mut table {
                Some(table) => table.serialize(entry).map_err(unwritten)?,
                None => {
                    let line = serde_json::to_string(entry).map_err(failed)?;
                    let before = if first { "{\"entries\":[\n" } else { ",\n" };
                    write!(lines, "{before}{line}").map_err(failed)?;
                }
            }
            first = false;
        }
    }
    match table {
        Some(mut table) => {
            if first {
                table.write_record(LEDGER_HEADING).map_err(unwritten)?;
            }
            table.flush().map_err(failed)
        }
        None => {
            let before = if first { "{\"entries\":[" } else { "\n" };
            writeln!(lines, "{before}]}}").and_then(|()| lines.flush()).map_err(failed)
        }
    }
}

/// The heading, where there is no entry to take it from.
const LEDGER_HEADING: [&str; 7] =
    ["at_ms", "journal", "kind", "reference", "account", "amount_minor", "currency"];

async fn royalties(store: &Store, config: &Config, format: Format, month: Span) -> Result<(), Error> {
    let mut tx = store.read().await?;
    let found = royalty_statement::compute(&mut tx, &config.payment.currency, month).await?;
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        let line = serde_json::to_string(&json!({ "statement": found })).map_err(failed)?;
        return writeln!(out, "{line}").map_err(failed);
    }
    let mut names = Vec::with_capacity(found.lines.len());
    for line in &found.lines {
        let title = title::by_id(&mut tx, line.title).await?;
        names.push(title.map_or_else(String::new, |title| title.name));
    }
    let mut table = csv::Writer::from_writer(out);
    write_royalties(&mut table, &found, &names).map_err(unwritten)?;
    table.flush().map_err(failed)
}

fn write_royalties(
    table: &mut csv::Writer<impl std::io::Write>,
    found: &Statement,
    names: &[String],
) -> Result<(), csv::Error> {
    let heading =
        ["title", "name", "holder", "plays", "revenue", "share_basis_points", "share", "minimum", "amount"];
    table.write_record(heading.into_iter().chain(["currency"]))?;
    let money =
        |minor| terms::shown(&matinee_protocol::api::Money { minor, currency: found.currency.clone() });
    for (line, name) in found.lines.iter().zip(names) {
        table.write_record([
            line.title.to_string(),
            plain(name),
            plain(&line.holder),
            line.plays.to_string(),
            money(line.revenue_minor),
            line.share_basis_points.to_string(),
            money(line.share_minor),
            money(line.minimum_minor),
            money(line.amount_minor),
            found.currency.clone(),
        ])?;
    }
    let none = String::new;
    let house = (none(), none(), "(house)".to_owned(), none(), money(found.revenue_minor));
    let (title, name, holder, plays, revenue) = house;
    let amount = money(found.house_minor);
    let last = [title, name, holder, plays, revenue, none(), none(), none(), amount, found.currency.clone()];
    table.write_record(last)
}

/// A name that a spreadsheet does not take for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}
