//! Journals of several entries, their export, and what royalties are computed from.

use matinee_protocol::id::{CollectionId, EpochIndex, FileIndex, LicenseId, PlanId, ReleaseId, TitleId};
use matinee_protocol::license::EpochRange;
use matinee_server::license::calendar::Period;
use matinee_server::license::plan::{Renewal, Scope, Terms};
use matinee_server::royalty::Rule;
use matinee_server::royalty::usage::usage;
use matinee_server::store::account::Role;
use matinee_server::store::collection::{self, Collection};
use matinee_server::store::entitlement::{self, Entitlement};
use matinee_server::store::entry::{self, Place};
use matinee_server::store::ledger::{self, Holder, Journal};
use matinee_server::store::plan::{self, Plan};
use matinee_server::store::royalty::{self, Span};
use matinee_server::store::{Tx, key_release, release, royalty_rule, title, view};

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
    let rule = |holder: &str, share_basis_points, minimum_minor| Rule {
        holder: holder.to_owned(),
        share_basis_points,
        minimum_minor,
    };
    let rules = [rule("a studio", 5000, 0), rule("director", 100, 7)];
    royalty_rule::set(&mut tx, title, 0, "USD", &[rule("somebody else", 1, 1)]).await.unwrap();
    royalty_rule::set(&mut tx, title, 0, "USD", &rules).await.unwrap();
    let span = |from_ms: i64, until_ms: i64| Span { from_ms: NOW_MS + from_ms, until_ms: NOW_MS + until_ms };
    view_across_days(&mut tx, &bought, release).await;
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

    // The same use under a plan over a collection shares that plan's revenue.
    let monthly = monthly(&mut tx, title).await;
    fixture::top_up(&mut tx, bought.account_id, 795).await;
    let all = fixture::buy(&mut tx, bought.account_id, &monthly).await.unwrap();
    let all = Entitlement { scope: Scope::Title(title), ..all };
    view_across_days(&mut tx, &all, release).await;
    for (span, epochs) in
        [(span(0, DAY_MS), 4), (span(DAY_MS, 2 * DAY_MS), 1 + 3), (span(0, 2 * DAY_MS), 5 + 3)]
    {
        let used = royalty::month(&mut tx, "USD", span).await.unwrap();
        match used.pools.as_slice() {
            [pool] => assert_eq!((pool.revenue_minor, pool.weights[&title]), (795, epochs), "{span:?}"),
            other => assert!(other.is_empty() && span.from_ms > NOW_MS, "{other:?}"),
        }
    }
}

/// A monthly plan over a collection with a title.
async fn monthly(tx: &mut Tx, title: TitleId) -> Plan {
    let id = CollectionId::from_bytes(fixture::fresh());
    let publisher_id = title::by_id(tx, title).await.unwrap().unwrap().publisher_id;
    let made = Collection { id, publisher_id, name: "All".to_owned(), created_at_ms: NOW_MS };
    collection::insert(tx, &made).await.unwrap();
    collection::put_title(tx, id, title, 1, NOW_MS).await.unwrap();
    let renewal = Renewal { period: Period::Month, grace_ms: 0, trial_ms: None };
    let terms = Terms::Subscription(renewal);
    let plan = Plan::of_title(PlanId::from_bytes(fixture::fresh()), title, dollars(795), terms, NOW_MS);
    let plan = Plan { scopes: vec![Scope::Collection { collection: id, tier: 1 }], ..plan };
    plan::insert(tx, &plan).await.unwrap();
    plan
}

/// Two views of one day, the first of which goes on into the next, and one of that day; the keys of epochs overlap.
async fn view_across_days(tx: &mut Tx, bought: &Entitlement, release: ReleaseId) {
    let new = || new_view(bought, release, fixture::device());
    let (one, again, two) = (new(), new(), new());
    for (new, at_ms) in [(&one, 0), (&again, 1), (&two, DAY_MS)] {
        assert!(view::open(tx, new, NOW_MS + at_ms).await.unwrap());
        assert!(entitlement::count_view(tx, bought.id, NOW_MS + at_ms).await.unwrap().is_some());
    }
    for (first, at_ms) in [(0, 0), (1, 1), (2, DAY_MS), (1, DAY_MS)] {
        play(tx, one.id, first, NOW_MS + at_ms).await;
    }
    play(tx, again.id, 0, NOW_MS + 2).await;
    play(tx, again.id, 2, NOW_MS + DAY_MS + 1).await;
    play(tx, two.id, 0, NOW_MS + DAY_MS + 5).await;
}

pub async fn views_of_an_open_release_are_plays_and_use_all_of_it(database: &Database) {
    let mut tx = database.write().await;
    let (bought, _) = fixture::rented(&mut tx, None).await;
    let title = bought.scope.title().unwrap();
    let open = ReleaseId::from_bytes(fixture::fresh());
    release::insert(&mut tx, open, title, None, &fixture::files(), NOW_MS).await.unwrap();
    let monthly = monthly(&mut tx, title).await;
    fixture::top_up(&mut tx, bought.account_id, 795).await;
    let all = fixture::buy(&mut tx, bought.account_id, &monthly).await.unwrap();
    let all = Entitlement { scope: Scope::Title(title), ..all };
    assert!(key_release::of_entitlement(&mut tx, all.id).await.unwrap().is_empty());
    for at_ms in [0, 1, DAY_MS] {
        let new = new_view(&all, open, fixture::device());
        assert!(view::open(&mut tx, &new, NOW_MS + at_ms).await.unwrap());
    }
    let given = key_release::of_entitlement(&mut tx, all.id).await.unwrap();
    // 40 MiB are three epochs of 64 chunks; the other file is empty.
    assert_eq!(usage(given[&open].clone(), 0).epochs, 3);
    for (from_ms, until_ms, plays) in [(0, 1, 1), (0, DAY_MS, 1), (1, DAY_MS, 0), (0, DAY_MS + 1, 2)] {
        let span = Span { from_ms: NOW_MS + from_ms, until_ms: NOW_MS + until_ms };
        let month = royalty::month(&mut tx, "USD", span).await.unwrap();
        let seen = month.titles.get(&title).map_or(0, |of| of.plays);
        let epochs = month.pools.first().and_then(|pool| pool.weights.get(&title)).copied();
        assert_eq!((seen, epochs.unwrap_or(0)), (plays, 3 * plays), "{span:?}");
    }
}
