//! The books: refunds by command, exports, royalty statements, on both databases.

use std::collections::BTreeMap;

use matinee_tests::deployment::{Deployment, PRICE_MINOR};
use matinee_tests::film;
use matinee_tests::postgres::Cluster;
use matinee_tests::process::{run, run_ok};
use matinee_tests::viewer::{Viewer, nonce, now_s};
use reqwest::Method;
use serde_json::{Value, json};

async fn on_both<F: AsyncFn(&Deployment, &Viewer)>(test: F) {
    let postgres = Cluster::shared();
    for store in [None, Some(postgres.database().await)] {
        let deployment = Deployment::start_on(store).await;
        deployment.add_account("operator@example.com", "operator").await;
        let operator = Viewer::sign_in(&deployment.url(), "operator@example.com").await;
        test(&deployment, &operator).await;
    }
}

async fn get(who: &Viewer, path: &str) -> Value {
    let answer = who.request(Method::GET, path).send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn buy(viewer: &Viewer, plan: &str) -> (String, String) {
    let bought = viewer.post("/v1/purchases", &nonce(), &json!({ "plan": plan })).await;
    let bought: Value = bought.json().await.unwrap();
    let id = |name: &str| bought[name]["id"].as_str().unwrap_or_else(|| panic!("{bought}")).to_owned();
    (id("purchase"), id("entitlement"))
}

/// This month, in UTC.
fn month() -> String {
    let now = jiff::Timestamp::from_second(now_s() as i64).unwrap();
    now.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m").to_string()
}

#[tokio::test]
async fn refunds_by_command() {
    on_both(async |deployment, _| {
        let published = deployment.publish("Returned", &[&film::exact(1_000)], 3).await;
        let viewer = deployment.viewer("buyer@example.com").await;
        let (purchase, entitlement) = buy(&viewer, &published.plan).await;
        let words = ["refund", &purchase, "--amount", "0.20USD", "--keep", "--json"];
        let made: Value = serde_json::from_str(&run_ok(deployment.command(&words), "").await).unwrap();
        assert_eq!((&made["state"], &made["to"]), (&json!("succeeded"), &json!("wallet")));
        assert_eq!(viewer.wallet().await, 1_000 - PRICE_MINOR + 20);
        let opening = viewer.open(&entitlement).await;
        let told = run_ok(deployment.command(&["refund", &purchase, "--reason", "sorry"]), "").await;
        assert_eq!(told, "gave back 0.30 USD, 1 views ended\n");
        assert_eq!(viewer.wallet().await, 1_000);
        assert_eq!(viewer.try_license(&opening, 0, 0).await.status(), 403);
        for (words, expected) in [
            (vec!["refund", &purchase], "matinee: 0 minor units are left to refund\n"),
            (vec!["refund", &purchase, "--amount", "1EUR"], "matinee: this purchase was paid in USD\n"),
            (
                vec!["refund", &purchase, "--to", "payer"],
                "matinee: this purchase had no payment of its own: refund it to the wallet\n",
            ),
        ] {
            let ended = run(deployment.command(&words), "").await;
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), expected), "{words:?}");
        }
        deployment.check_ledger().await;
    })
    .await;
}

#[tokio::test]
async fn the_ledger_is_exported_whole() {
    on_both(async |deployment, operator| {
        let empty = run_ok(deployment.command(&["report", "ledger"]), "").await;
        assert_eq!(empty, "at_ms,journal,kind,reference,account,amount_minor,currency\n");
        let empty = run_ok(deployment.command(&["report", "ledger", "--format", "json"]), "").await;
        assert_eq!(serde_json::from_str::<Value>(&empty).unwrap(), json!({ "entries": [] }));
        let published = deployment.publish("Booked", &[&film::exact(1_000)], 3).await;
        let viewer = deployment.viewer("buyer@example.com").await;
        for _ in 0..4 {
            buy(&viewer, &published.plan).await;
        }
        let mut paged = Vec::new();
        let mut path = "/v1/ledger/entries?limit=3".to_owned();
        loop {
            let page = get(operator, &path).await;
            let entries = page["entries"].as_array().unwrap();
            assert!(entries.len() <= 3);
            paged.extend(entries.iter().cloned());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/v1/ledger/entries?limit=3&cursor={next}");
        }
        assert_eq!(paged.len(), 10, "a top-up and four purchases");
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in &paged {
            *sums.entry(entry["journal"].as_str().unwrap()).or_default() +=
                entry["amount_minor"].as_i64().unwrap();
        }
        assert!(sums.len() == 5 && sums.values().all(|sum| *sum == 0), "{sums:?}");
        assert!(paged.windows(2).all(|two| two[0]["at_ms"].as_i64() <= two[1]["at_ms"].as_i64()));
        let whole = run_ok(deployment.command(&["report", "ledger", "--format", "json"]), "").await;
        assert_eq!(serde_json::from_str::<Value>(&whole).unwrap(), json!({ "entries": paged }));
        let table = run_ok(deployment.command(&["report", "ledger", "--month", &month()]), "").await;
        let rows: Vec<&str> = table.lines().collect();
        assert_eq!((rows.len(), rows[0]), (11, "at_ms,journal,kind,reference,account,amount_minor,currency"));
        for (row, entry) in rows[1..].iter().zip(&paged) {
            let fields: Vec<&str> = row.split(',').collect();
            assert_eq!(fields[1], entry["journal"].as_str().unwrap());
            assert_eq!(fields[5], entry["amount_minor"].to_string());
        }
        let before = run_ok(deployment.command(&["report", "ledger", "--month", "2001-01"]), "").await;
        assert_eq!(before.lines().count(), 1);
        let last = paged[9]["at_ms"].as_i64().unwrap();
        let none = get(operator, &format!("/v1/ledger/entries?from_ms={}", last + 1)).await;
        assert_eq!(none, json!({ "entries": [], "next": null }));
        for query in ["limit=0", "cursor=AAAA", "from_ms=x"] {
            let path = format!("/v1/ledger/entries?{query}");
            let refused = operator.request(Method::GET, &path).send().await.unwrap();
            assert_eq!(refused.status(), 400, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_month_of_royalties() {
    on_both(async |deployment, operator| {
        let film = deployment.publish("=Film", &[&film::exact(1_000)], 3).await;
        let free = deployment.publish("Unsold", &[&film::exact(1_000)], 3).await;
        let viewer = deployment.viewer("viewer@example.com").await;
        // Three sales of which one comes back; two of them played, one of those twice.
        let mut bought = Vec::new();
        for _ in 0..3 {
            bought.push(buy(&viewer, &film.plan).await);
        }
        for (_, entitlement) in [&bought[0], &bought[0], &bought[1]] {
            viewer.on_new_device().open(entitlement).await;
        }
        run_ok(deployment.command(&["refund", &bought[2].0]), "").await;
        let path = format!("/v1/titles/{}/royalty-rules", film.title);
        let rule = |holder: &str, share: u32, minimum: i64| {
            json!({ "holder": holder, "share_basis_points": share, "minimum_minor": minimum })
        };
        let put = async |rules: Value| {
            let request = operator.request(Method::PUT, &path).json(&json!({ "rules": rules }));
            request.send().await.unwrap().status().as_u16()
        };
        for wrong in [
            json!([rule("a", 5_000, 0), rule("b", 5_001, 0)]),
            json!([rule("a", 1, 0), rule("a", 1, 0)]),
            json!([rule("", 1, 0)]),
            json!([rule("a", 1, -1)]),
        ] {
            assert_eq!(put(wrong.clone()).await, 422, "{wrong}");
        }
        assert_eq!(put(json!([rule("old", 10_000, 0)])).await, 200);
        assert_eq!(put(json!([rule("composer", 333, 0), rule("studio", 5_000, 30)])).await, 200);
        let words = ["royalty", "set", "--title", &free.title, "--holder", "Studio=5000,0.10USD", "--json"];
        run_ok(deployment.command(&words), "").await;
        let told = run_ok(deployment.command(&["royalty", "show", &free.title]), "").await;
        assert_eq!(told, "Studio=5000,0.10USD\n");

        let month = month();
        let seen = get(operator, &format!("/v1/royalties/{month}")).await;
        let line = |holder: &str, share_basis_points: u32, share: i64, minimum: i64| {
            json!({
                "title": film.title, "holder": holder, "plays": 2, "revenue_minor": 100,
                "share_basis_points": share_basis_points, "share_minor": share, "minimum_minor": minimum,
                "amount_minor": share + minimum,
            })
        };
        // 100 cents: 3.33 and 50 and 46.67 for the house. Of what was bought, each is one play a day: two at 30 are 10
        // more than the studio's share.
        let statement = json!({
            "currency": "USD", "revenue_minor": 100, "house_minor": 37,
            "lines": [line("composer", 333, 3, 0), line("studio", 5_000, 50, 10)],
        });
        assert_eq!(seen, json!({ "month": month, "final": false, "statement": statement }));
        let words = ["report", "royalties", "--month", &month, "--format", "json"];
        let printed: Value = serde_json::from_str(&run_ok(deployment.command(&words), "").await).unwrap();
        assert_eq!(printed, json!({ "statement": statement }));
        let table = run_ok(deployment.command(&["report", "royalties", "--month", &month]), "").await;
        assert_eq!(
            table,
            format!(
                "title,name,holder,plays,revenue,share_basis_points,share,minimum,amount,currency\n\
                 {0},'=Film,composer,2,1.00,333,0.03,0.00,0.03,USD\n\
                 {0},'=Film,studio,2,1.00,5000,0.50,0.10,0.60,USD\n\
                 ,,(house),,1.00,,,,0.37,USD\n",
                film.title
            )
        );
        let before = get(operator, "/v1/royalties/2001-01").await;
        assert_eq!((&before["final"], &before["statement"]["lines"]), (&json!(true), &json!([])));
    })
    .await;
}

#[tokio::test]
async fn a_month_of_taxes() {
    let taxed = [("MATINEE_TAX__HOME_COUNTRY", "DE"), ("MATINEE_TAX__RATES", "DE=1900,CH=810")];
    let taxed = taxed.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let postgres = Cluster::shared();
    for store in [None, Some(postgres.database().await)] {
        let deployment = Deployment::start_with(store, taxed.clone()).await;
        let film = deployment.publish("Film", &[&film::exact(1_000)], 3).await;
        let viewer = deployment.viewer("viewer@example.com").await;
        let (purchase, _) = buy(&viewer, &film.plan).await;
        buy(&viewer, &film.plan).await;
        run_ok(deployment.command(&["refund", &purchase]), "").await;
        // 50 cents hold 8 of tax; one of two comes back.
        let month = month();
        let table = run_ok(deployment.command(&["report", "tax", "--month", &month]), "").await;
        assert_eq!(
            table,
            "country,rate_basis_points,net_minor,tax_minor,refunded_net_minor,refunded_tax_minor,owed_minor,currency\n\
             DE,1900,84,16,42,8,8,USD\n"
        );
        let words = ["report", "tax", "--month", &month, "--format", "json"];
        let printed: Value = serde_json::from_str(&run_ok(deployment.command(&words), "").await).unwrap();
        assert_eq!(printed["lines"][0]["owed_minor"], 8);
    }
}
