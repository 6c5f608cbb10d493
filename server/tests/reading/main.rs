//! What is asked again and again, by jobs and by viewers, reads what it gives and never a whole table that grows with
//! the customers: SQLite's planner is asked about every statement that they make.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test that cannot go on should say where; of what it shares with others it uses a part"
)]

#[path = "../api/bench.rs"]
mod bench;
#[path = "../store/postgres.rs"]
mod postgres;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use matinee_server::job;
use matinee_server::store::Store;
use serde_json::json;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use tokio_util::sync::CancellationToken;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::bench::{Bench, Device};

/// Tables that have a row for each customer, or for each thing that a customer does.
const GROWING: &[&str] = &[
    "accounts",
    "sessions",
    "devices",
    "device_removals",
    "payments",
    "purchases",
    "tax_lines",
    "refunds",
    "entitlements",
    "entitlement_events",
    "views",
    "view_breaks",
    "carries",
    "leases",
    "key_releases",
    "proofs",
    "journals",
    "ledger_entries",
    "ledger_accounts",
    "idempotency_keys",
    "outbox",
    "deliveries",
    "payment_events",
    "sign_in_links",
    "embed_tokens",
    "receipts",
];

/// The statements that were made, as the driver logs them.
#[derive(Debug, Default, Clone)]
struct Made(Arc<Mutex<BTreeSet<String>>>);

impl<S: Subscriber> Layer<S> for Made {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            event.record(&mut self.clone());
        }
    }
}

impl Visit for Made {
    fn record_str(&mut self, field: &Field, text: &str) {
        if field.name() == "db.statement" {
            self.0.lock().unwrap().insert(text.trim().to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// The statements of a text; those of a procedure with its values as a statement's own.
fn statements(text: &str) -> Vec<String> {
    let body = text.split_once(" begin ").and_then(|(before, body)| {
        before
            .contains("create temp trigger call_")
            .then(|| body.trim_end_matches("; end").replace("new.v", "?"))
    });
    let reads = |statement: &&str| {
        ["select ", "insert into ", "update ", "delete from ", "with "]
            .iter()
            .any(|verb| statement.starts_with(verb))
            && !statement.starts_with("insert into procedure_")
            && !statement.starts_with("insert into guards")
    };
    body.as_deref().unwrap_or(text).split("; ").filter(reads).map(str::to_owned).collect()
}

/// What of a statement's plan goes through a whole growing table.
async fn scans(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("explain query plan {statement}"));
    let plan = sqlx::query(explain).fetch_all(connection).await;
    let plan = plan.unwrap_or_else(|error| panic!("{error}: {statement}"));
    let details = plan.iter().map(|row| row.get::<String, _>("detail"));
    details
        .filter(|detail| {
            let table =
                detail.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            // A short name stands for a table in the statement.
            let whole = GROWING.iter().find(|name| statement.contains(&format!("{name} {table} ")));
            GROWING.contains(&table) || whole.is_some()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_jobs_nor_viewers_read_a_whole_table() {
    let made = Made::default();
    let subscriber = tracing_subscriber::registry().with(made.clone());
    tracing::subscriber::set_global_default(subscriber).expect("no other test of this process logs");
    let bench = Bench::new().await;
    // From here on: what is done but once, at the start, may read everything.
    made.0.lock().unwrap().clear();

    let (ana, rental) = bench.viewer_with_rental("ana@example.org").await;
    let phone = Device::new(1);
    let opened = crate::bench::opening(&bench.open(&ana, rental, &phone).await.expect(201));
    bench.license(opened.view, &opened.view_token, &phone, 1).await.expect(200);
    for path in [
        "payments",
        "purchases",
        "refunds",
        "entitlements",
        "devices",
        "sessions",
        "leases",
        "account",
        "account/export",
    ] {
        bench.get(format!("/v1/{path}")).bearer(&ana).send().await.expect(200);
    }
    for path in ["", "/entitlements"] {
        bench.get(format!("/v1/titles/{}{path}", bench.title)).bearer(&ana).send().await.expect(200);
    }
    let back = bench.post(format!("/v1/entitlements/{rental}/return"), &json!({})).bearer(&ana).key("back");
    back.send().await.expect(200);
    // Each job has its first turn at once.
    let stop = CancellationToken::new();
    tokio::time::timeout(Duration::from_secs(2), job::run(bench.app.clone(), stop)).await.unwrap_err();

    let made = made.0.lock().unwrap().clone();
    let Store::Sqlite { readers, .. } = &bench.app.store else { panic!("not SQLite") };
    let mut connection = readers.lend().await.unwrap();
    let (mut asked, mut whole) = (0, Vec::new());
    for statement in made.iter().flat_map(|text| statements(text)) {
        asked += 1;
        for scan in scans(&mut connection, &statement).await {
            whole.push(format!("{scan}: {statement}"));
        }
    }
    assert!(asked > 60, "only {asked} statements were seen");
    assert!(whole.is_empty(), "an index is missing:\n{}", whole.join("\n"));
}
