//! Journals of several entries, their export, and what royalties are computed from.

use matinee_protocol::id::{EpochIndex, FileIndex, LicenseId, TitleId};
use matinee_protocol::license::EpochRange;
use matinee_server::royalty::Rule;
use matinee_server::store::account::Role;
use matinee_server::store::entry::{self, Place};
use matinee_server::store::ledger::{self, Holder, Journal};
use matinee_server::store::royalty::{self, Span};
use matinee_server::store::{Tx, entitlement, key_release, royalty_rule, view};

use crate::Database;
use crate::fixture::{self, DAY_MS, NOW_MS, dollars, new_view};

fn journal(id: &str, at_ms: i64) -> Journal<'_> {
    Journal { id, kind: "refund", reference: id, at_ms }
}

pub async fn a_journal_that_cannot_be_posted_changes_nothing(database: &Database) {
    let mut tx = database.write().await;
    let viewer = fixture::account(&mut tx, "viewer@example.org", &[Role::Viewer]).await;
    fixture::top_up(&mut tx, viewer, 120).await;
    let before = ledger::balances(&mut tx).await.unwrap();
    let (wallet, title) = (Holder::Wallet(viewer), TitleId::from_bytes(fixture::fresh()));
    let tax = Holder::Tax("DE".to_owned());
    // The wallet has enough; the sales, which come after it, have nothing.
    let entries = vec![(wallet.clone(), -100), (Holder::Sales(title), -20), (tax.clone(), 120)];
    assert!(!ledger::post(&mut tx, journal("one", NOW_MS), entries, "USD").await.unwrap());
    assert_eq!(ledger::balances(&mut tx).await.unwrap(), before);
    assert!(ledger::check(&mut tx).await.unwrap().is_sound());
    for entries in [
        vec![(wallet.clone(), -100), (tax.clone(), 99)],
        vec![(wallet.clone(), -100), (tax.clone(), 50), (tax.clone(), 50)],
        vec![(wallet.clone(), 0), (tax.clone(), 0)],
    ] {
        assert!(ledger::post(&mut tx, journal("two", NOW_MS), entries, "USD").await.is_err());
    }
    // Three entries, taken back in two parts.
    let entries = vec![(wallet.clone(), -101), (Holder::Sales(title), 85), (tax, 16)];
    assert!(ledger::post(&mut tx, journal("three", NOW_MS), entries, "USD").await.unwrap());
    let credits = ledger::credits(&mut tx, "three").await.unwrap();
    assert_eq!(credits, [(format!("sales/{title}/USD"), 85), ("tax/DE/USD".to_owned(), 16)]);
    for (id, span, left) in [("four", (0, 40), (52, 9)), ("five", (40, 101), (0, 0))] {
        let back = journal(id, NOW_MS + 1);
        assert!(ledger::take_back(&mut tx, back, &credits, span, &wallet, "USD").await.unwrap());
        let balance = async |tx: &mut Tx, name: &str| {
            let all = ledger::balances(tx).await.unwrap();
            all.into_iter().find(|(found, ..)| found == name).unwrap().1
        };
        assert_eq!((balance(&mut tx, &credits[0].0).await, balance(&mut tx, "tax/DE/USD").await), left);
    }
    assert_eq!(ledger::wallet(&mut tx, viewer, "USD").await.unwrap(), dollars(120));
    assert!(ledger::check(&mut tx).await.unwrap().is_sound());

    // The export: by time, then journal, then account, from any place on.
    let start = Place(0, String::new(), String::new());
    let all = entry::after(&mut tx, &start, i64::MAX, 1000).await.unwrap();
    assert_eq!(all.len(), 2 + 3 + 3 + 3);
    for (at, one) in all.iter().enumerate() {
        let rest = entry::after(&mut tx, &one.place(), i64::MAX, 1000).await.unwrap();
        assert_eq!(rest, all[at + 1..]);
    }
    assert_eq!(entry::after(&mut tx, &start, NOW_MS + 1, 1000).await.unwrap().len(), 5);
    assert_eq!(entry::after(&mut tx, &start, i64::MAX, 2).await.unwrap(), all[..2]);
}

async fn play(tx: &mut Tx, view: matinee_protocol::id::ViewId, first: u32, at_ms: i64) {
    let range = EpochRange { file: FileIndex(0), first: EpochIndex(first), count: 3 };
    let license = LicenseId::from_bytes(fixture::fresh());
    key_release::insert(tx, license, view, &[range], at_ms).await.unwrap();
}

pub async fn use_is_counted_out_of_the_key_releases(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, None).await;
    let title = bought.scope.title().unwrap();
    // One view across the end of the span, one after its end; the keys of epochs overlap.
    let (one, two) =
        (new_view(&bought, release, fixture::device()), new_view(&bought, release, fixture::device()));
    for new in [&one, &two] {
        assert!(view::open(&mut tx, new, NOW_MS).await.unwrap());
        assert!(entitlement::count_view(&mut tx, bought.id, NOW_MS).await.unwrap().is_some());
    }
    for (first, at_ms) in [(0, 0), (1, 1), (2, DAY_MS), (1, DAY_MS)] {
        play(&mut tx, one.id, first, NOW_MS + at_ms).await;
    }
    play(&mut tx, two.id, 0, NOW_MS + DAY_MS + 5).await;
    let rule = |holder: &str, share_basis_points, minimum_minor| Rule {
        holder: holder.to_owned(),
        share_basis_points,
        minimum_minor,
    };
    let rules = [rule("a studio", 5000, 0), rule("director", 100, 7)];
    royalty_rule::set(&mut tx, title, 0, "USD", &[rule("somebody else", 1, 1)]).await.unwrap();
    royalty_rule::set(&mut tx, title, 0, "USD", &rules).await.unwrap();
    let span = |from_ms: i64, until_ms: i64| Span { from_ms: NOW_MS + from_ms, until_ms: NOW_MS + until_ms };
    for (span, plays, sales) in [
        (span(0, DAY_MS), 1, 50),
        (span(1, DAY_MS), 0, 0),
        (span(DAY_MS, 2 * DAY_MS), 1, 0),
        (span(0, 2 * DAY_MS), 2, 50),
    ] {
        let month = royalty::month(&mut tx, "USD", span).await.unwrap();
        let of = &month.titles[&title];
        assert_eq!(
            (of.plays, of.sales_minor, of.rules.as_slice()),
            (plays, sales, rules.as_slice()),
            "{span:?}"
        );
        assert!(month.pools.is_empty());
    }
    assert!(royalty::month(&mut tx, "USD", span(3 * DAY_MS, 4 * DAY_MS)).await.unwrap().titles.is_empty());
    let euros = royalty::month(&mut tx, "EUR", span(0, DAY_MS)).await.unwrap();
    assert!(euros.titles[&title].rules.is_empty() && euros.titles[&title].sales_minor == 0);

    // The same use under a plan over several titles shares that plan's revenue.
    let plan = bought.plan_id.unwrap();
    let viewer = Holder::Wallet(bought.account_id);
    fixture::top_up(&mut tx, bought.account_id, 795).await;
    let paid = journal("pool", NOW_MS);
    assert!(ledger::transfer(&mut tx, paid, &viewer, &Holder::PlanSales(plan), &dollars(795)).await.unwrap());
    for (span, epochs) in
        [(span(0, DAY_MS), 4), (span(DAY_MS, 2 * DAY_MS), 1 + 3), (span(0, 2 * DAY_MS), 5 + 3)]
    {
        let used = royalty::month(&mut tx, "USD", span).await.unwrap();
        match used.pools.as_slice() {
            [pool] => assert_eq!((pool.revenue_minor, pool.epochs[&title]), (795, epochs), "{span:?}"),
            other => assert!(other.is_empty() && span.from_ms > NOW_MS, "{other:?}"),
        }
    }
}
