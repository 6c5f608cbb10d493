//! The store against the rules: what a guarded statement lets through is what the rule allows, row by row.

use matinee_protocol::id::{EntitlementId, PlanId, PurchaseId};
use matinee_server::license::calendar::Period;
use matinee_server::license::decide;
use matinee_server::license::entitlement::Entitlement;
use matinee_server::license::plan::{Plan, Renewal, Scope, Terms};
use matinee_server::license::status::{Event, Status, next};
use matinee_server::payment::tax::Rates;
use matinee_server::store::renewal::{self, Due, Plans, Renewed, Rules};
use matinee_server::store::{Error, Tx, entitlement, ledger, plan};

use crate::Database;
use crate::fixture::{self, DAY_MS, NOW_MS, dollars, fresh};

/// Every status, and every limit absent, reached and not reached by a millisecond.
fn every_window(template: &Entitlement) -> Vec<Entitlement> {
    let limits = [None, Some(NOW_MS), Some(NOW_MS + 1)];
    let mut all = Vec::new();
    for status in Status::ALL {
        for valid_until_ms in limits {
            for start_by_ms in limits {
                for play_until_ms in limits {
                    for (views_left, views_used) in
                        [(None, 0), (None, 1), (Some(0), 0), (Some(0), 1), (Some(1), 0), (Some(1), 1)]
                    {
                        all.push(Entitlement {
                            id: EntitlementId::from_bytes(fresh()),
                            status,
                            valid_until_ms,
                            start_by_ms,
                            play_until_ms,
                            play_within_ms: Some(DAY_MS),
                            views_left,
                            views_used,
                            ..template.clone()
                        });
                    }
                }
            }
        }
    }
    all
}

pub async fn a_view_is_counted_where_the_rule_allows_it(database: &Database) {
    let mut tx = database.write().await;
    let (template, _) = fixture::rented(&mut tx, None).await;
    let mut counted = 0;
    for before in every_window(&template) {
        entitlement::insert(&mut tx, &before).await.unwrap();
        let after = entitlement::count_view(&mut tx, before.id, NOW_MS).await.unwrap();
        let allowed = decide::windows(&before, NOW_MS).is_ok();
        assert_eq!(after, allowed.then(|| before.started(false, NOW_MS)), "{before:?}");
        counted += usize::from(allowed);
    }
    assert!(counted > 50, "{counted}");
}

pub async fn a_view_that_is_presumed_is_counted_as_one_that_is_asked_for(database: &Database) {
    let mut tx = database.write().await;
    let (template, _) = fixture::rented(&mut tx, None).await;
    let windows = every_window(&template);
    for before in &windows {
        entitlement::insert(&mut tx, before).await.unwrap();
    }
    tx.commit().await.unwrap();
    for before in &windows {
        let mut tx = database.store.presume().await.unwrap();
        let foreseen = entitlement::count_view_as_found(&mut tx, before, NOW_MS).await.unwrap();
        let counted = tx.commit().await.is_ok() && foreseen.is_some();
        assert_eq!(counted, decide::windows(before, NOW_MS).is_ok(), "{before:?}");
        let after = entitlement::by_id(&mut database.store.read().await.unwrap(), before.id).await.unwrap();
        assert_eq!(after, Some(if counted { before.started(false, NOW_MS) } else { before.clone() }));
    }
}

pub async fn a_view_is_not_presumed_of_what_has_changed(database: &Database) {
    let mut tx = database.write().await;
    let (found, _) = fixture::rented(&mut tx, None).await;
    let first = entitlement::count_view(&mut tx, found.id, NOW_MS).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = database.store.presume().await.unwrap();
    let presumes = tx.presumes();
    let counted = entitlement::count_view_as_found(&mut tx, &found, NOW_MS + 1).await.unwrap();
    if presumes {
        assert!(matches!(tx.commit().await, Err(Error::Presumed)));
        let still = entitlement::by_id(&mut database.store.read().await.unwrap(), found.id).await.unwrap();
        assert_eq!(still, first);
    } else {
        assert_eq!(counted.map(|counted| counted.views_used), Some(2), "who asks counts what there is");
    }
}

pub async fn a_status_moves_as_the_table_says(database: &Database) {
    let mut tx = database.write().await;
    let (template, _) = fixture::rented(&mut tx, None).await;
    for status in Status::ALL {
        for event in Event::ALL {
            let id = EntitlementId::from_bytes(fresh());
            let before = Entitlement { id, status, ..template.clone() };
            entitlement::insert(&mut tx, &before).await.unwrap();
            let moved = entitlement::apply(&mut tx, id, event, "because", NOW_MS + 3).await.unwrap();
            let found = entitlement::by_id(&mut tx, id).await.unwrap().unwrap();
            let expected = next(status, event);
            assert_eq!(
                (moved, found.status),
                (expected.is_some(), expected.unwrap_or(status)),
                "{status:?} {event:?}"
            );
            let events = entitlement::events(&mut tx, id).await.unwrap();
            let told: Vec<_> = events.iter().map(|event| (event.event.as_str(), event.at_ms)).collect();
            let expected = if moved { vec![(event.text(), NOW_MS + 3)] } else { Vec::new() };
            assert_eq!(told, expected);
        }
    }
    let nothing = EntitlementId::from_bytes(fresh());
    assert!(!entitlement::apply(&mut tx, nothing, Event::Revoke, "", NOW_MS).await.unwrap());
}

pub async fn a_renewal_says_what_the_rule_says(database: &Database) {
    let mut tx = database.write().await;
    let plans = Plans::default();
    let rates = Rates::default();
    let rules = Rules { plans: &plans, tax: &rates, provider: "simulated" };
    let (rental, _) = fixture::rented(&mut tx, None).await;
    let renewal = Renewal { period: Period::Month, grace_ms: DAY_MS as u64, trial_ms: None };
    let title = rental.scope.title().unwrap();
    let id = PlanId::from_bytes(fresh());
    let monthly = Plan::of_title(id, title, dollars(30), Terms::Subscription(renewal), NOW_MS);
    plan::insert(&mut tx, &monthly).await.unwrap();
    assert_eq!(plan::by_id(&mut tx, id).await.unwrap(), Some(monthly.clone()));
    fixture::top_up(&mut tx, rental.account_id, 60).await;
    let bought = fixture::buy(&mut tx, rental.account_id, &monthly).await.unwrap();
    assert_eq!(bought.scope, Scope::Title(title));
    let end_ms = bought.billing.unwrap().end_ms;
    let renew = async |tx: &mut Tx, now_ms| {
        let purchase = PurchaseId::from_bytes(fresh());
        renewal::renew(tx, bought.id, purchase, &rules, now_ms).await.unwrap()
    };
    assert_eq!(renewal::due(&mut tx, end_ms - 1).await.unwrap(), []);
    assert_eq!(renew(&mut tx, end_ms - 1).await, Renewed::NotDue);
    let due = renewal::due(&mut tx, end_ms).await.unwrap();
    assert_eq!(due, [Due { entitlement: bought.clone(), since_ms: end_ms }]);
    assert_eq!(renew(&mut tx, end_ms).await, Renewed::Yes);
    let renewed = entitlement::by_id(&mut tx, bought.id).await.unwrap();
    assert_eq!(renewed, bought.renewed(), "the store writes what the rule makes of it");
    assert_eq!(renew(&mut tx, end_ms).await, Renewed::NotDue);
    assert_eq!(ledger::wallet(&mut tx, bought.account_id, "USD").await.unwrap(), dollars(0));
    let end_ms = renewed.and_then(|renewed| renewed.billing).unwrap().end_ms;
    assert_eq!(renew(&mut tx, end_ms).await, Renewed::Failed);
    assert_eq!(renew(&mut tx, end_ms).await, Renewed::NotDue, "put off");
    assert_eq!(renew(&mut tx, end_ms + DAY_MS).await, Renewed::Lapsed);
    assert_eq!(entitlement::by_id(&mut tx, bought.id).await.unwrap().unwrap().status, Status::Expired);
    assert!(!renewal::set(&mut tx, bought.id, false, end_ms).await.unwrap(), "over is over");
}

pub async fn a_renewal_that_is_presumed_is_charged_once_and_never_for_nothing(database: &Database) {
    let plans = Plans::default();
    let rates = Rates::default();
    let rules = Rules { plans: &plans, tax: &rates, provider: "simulated" };
    let mut tx = database.write().await;
    let (rental, _) = fixture::rented(&mut tx, None).await;
    let renewal = Renewal { period: Period::Month, grace_ms: DAY_MS as u64, trial_ms: None };
    let terms = Terms::Subscription(renewal);
    let id = PlanId::from_bytes(fresh());
    let monthly = Plan::of_title(id, rental.scope.title().unwrap(), dollars(30), terms, NOW_MS);
    plan::insert(&mut tx, &monthly).await.unwrap();
    fixture::top_up(&mut tx, rental.account_id, 60).await;
    let bought = fixture::buy(&mut tx, rental.account_id, &monthly).await.unwrap();
    tx.commit().await.unwrap();
    let mut now_ms = bought.billing.unwrap().end_ms;
    // The wallet holds one period more. The second is asked for as found before the first was paid, the third in earnest.
    let first = renewal::due(&mut database.store.read().await.unwrap(), now_ms).await.unwrap();
    for (paid, fails) in [(true, false), (false, false), (false, true)] {
        let mut due = first[0].clone();
        if fails {
            let mut tx = database.store.read().await.unwrap();
            now_ms = entitlement::by_id(&mut tx, bought.id).await.unwrap().unwrap().billing.unwrap().end_ms;
            due = renewal::due(&mut tx, now_ms).await.unwrap().remove(0);
        }
        let mut tx = database.store.presume().await.unwrap();
        let presumes = tx.presumes();
        let purchase = PurchaseId::from_bytes(fresh());
        let told = renewal::renew_as_found(&mut tx, &due, purchase, &rules, now_ms).await.unwrap();
        if presumes {
            assert_eq!(told, Renewed::Yes, "so it is presumed");
            assert_eq!(tx.commit().await.is_ok(), paid);
        } else {
            assert_eq!(told == Renewed::Yes, paid);
            if paid {
                tx.commit().await.unwrap();
            }
        }
        let mut tx = database.store.read().await.unwrap();
        let now = entitlement::by_id(&mut tx, bought.id).await.unwrap();
        assert_eq!(now, bought.renewed(), "once and no more");
        assert_eq!(ledger::wallet(&mut tx, bought.account_id, "USD").await.unwrap(), dollars(0));
    }
}
