//! `matinee store`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{Error, note, now_ms, print};
use crate::store::{Store, copy};

/// The database.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Copies everything into a new, empty database of either kind: all of it or nothing. Stop the server first.
    Copy {
        /// The database there is: `sqlite:PATH` or `postgres://HOST/DATABASE`.
        #[arg(long, value_name = "ADDRESS")]
        from: String,
        /// The new one.
        #[arg(long, value_name = "ADDRESS")]
        to: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command) -> Result<(), Error> {
    let Command::Copy { from, to, json } = command;
    if let Some(path) = from.strip_prefix("sqlite:")
        && !std::path::Path::new(path).is_file()
    {
        return Error::refused(format!("there is no database {path}"));
    }
    let (source, target) = (Store::open(&from).await?, Store::open(&to).await?);
    if source.migrations_missing().await? > 0 {
        return Error::refused(
            "the source is of an older version; run matinee doctor, then serve, with it once",
        );
    }
    target.migrate().await?;
    let bar = bar(quiet(json));
    let mut now = String::new();
    let copied = copy::copy(&source, &target, |table, rows| {
        if now != table.name() {
            table.name().clone_into(&mut now);
            bar.set_message(now.clone());
        }
        bar.inc(rows);
    });
    let copied = match copied.await {
        Ok(copied) => copied,
        Err(failure) => {
            bar.abandon();
            return Error::refused(failure.to_string());
        }
    };
    bar.finish_and_clear();
    let rows: i64 = copied.iter().map(|(_, rows)| rows).sum();
    let mut tx = target.write().await?;
    // An address may hold a password: only the kind of the database is told.
    let kind = from.split(':').next().unwrap_or_default();
    note(&mut tx, "database.copy", &kind, json!({ "rows": rows }), now_ms()).await?;
    tx.commit().await?;
    source.close().await;
    target.close().await;
    let tables: serde_json::Map<_, _> =
        copied.iter().map(|(name, rows)| (name.clone(), json!(rows))).collect();
    let text = format!(
        "copied {rows} rows of {} tables, counted on both sides; set store.address to the new database",
        copied.len()
    );
    print(json, &json!({ "rows": rows, "tables": tables }), &text)
}

fn quiet(json: bool) -> bool {
    use std::io::IsTerminal as _;
    json || !std::io::stderr().is_terminal()
}

fn bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{spinner} {msg:<24} {human_pos} rows {per_sec} {elapsed}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
