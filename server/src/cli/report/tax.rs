//! `matinee report tax`.

use std::io::Write as _;

use serde_json::json;

use super::{Format, failed, unwritten};
use crate::cli::Error;
use crate::store::royalty::Span;
use crate::store::{Store, tax};

/// The tax that was charged and given back in a month, by country and rate.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The month, in UTC, for example 2026-10.
    #[arg(long, value_name = "MONTH", value_parser = Span::month)]
    month: Span,
    /// How.
    #[arg(long, default_value = "csv")]
    format: Format,
    /// The same as `--format json`
    #[arg(long)]
    json: bool,
}

/// The heading, where there is no line to take it from.
const HEADING: [&str; 8] = [
    "country",
    "rate_basis_points",
    "net_minor",
    "tax_minor",
    "refunded_net_minor",
    "refunded_tax_minor",
    "owed_minor",
    "currency",
];

pub(super) async fn run(store: &Store, args: &Args) -> Result<(), Error> {
    let lines = tax::by_country(&mut store.read().await?, args.month).await?;
    let mut out = std::io::stdout().lock();
    if args.format.or_json(args.json) == Format::Json {
        let line = serde_json::to_string(&json!({ "lines": lines })).map_err(failed)?;
        return writeln!(out, "{line}").map_err(failed);
    }
    let mut table = csv::Writer::from_writer(out);
    if lines.is_empty() {
        table.write_record(HEADING).map_err(unwritten)?;
    }
    for line in &lines {
        table.serialize(line).map_err(unwritten)?;
    }
    table.flush().map_err(failed)
}
