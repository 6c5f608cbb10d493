//! Entitlements and views.

use matinee_protocol::id::{EntitlementId, EpochIndex, FileIndex, LicenseId, ViewId};
use matinee_protocol::license::EpochRange;
use matinee_server::license::status::Status;
use matinee_server::store::page::Asked;
use matinee_server::store::view::{self, State};
use matinee_server::store::{entitlement, key_release};

use crate::Database;
use crate::fixture::{self, DAY_MS, NOW_MS, fresh, new_view};

pub async fn views_open_resume_and_end(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, Some(2)).await;
    assert_eq!(entitlement::by_id(&mut tx, bought.id).await.unwrap(), Some(bought.clone()));
    assert_eq!(
        entitlement::by_account(&mut tx, bought.account_id, &Asked::first(50)).await.unwrap().rows,
        std::slice::from_ref(&bought)
    );
    let (phone, desk) = (fixture::device(), fixture::device());

    let first = new_view(&bought, release, phone);
    assert!(view::open(&mut tx, &first, NOW_MS).await.unwrap());
    let counted = entitlement::count_view(&mut tx, bought.id, NOW_MS).await.unwrap().unwrap();
    assert_eq!((counted.views_left, counted.views_used), (Some(1), 1));
    assert_eq!(counted.play_until_ms, Some(NOW_MS + 2 * DAY_MS), "the first start fixes the window");
    assert!(!view::open(&mut tx, &new_view(&bought, release, phone), NOW_MS).await.unwrap(), "one a device");
    let open = view::active_on(&mut tx, bought.id, phone, first.title_id).await.unwrap().unwrap();
    assert_eq!((open.id, open.state, open.play_until_ms), (first.id, State::Active, counted.play_until_ms));
    assert!(view::resume(&mut tx, open.id, &[8; 32], NOW_MS + 5).await.unwrap());
    let resumed = view::by_id(&mut tx, open.id).await.unwrap().unwrap();
    assert_eq!((resumed.agreement_key, resumed.last_seen_at_ms), ([8; 32], NOW_MS + 5));

    let second = new_view(&bought, release, desk);
    assert!(view::open(&mut tx, &second, NOW_MS + 10).await.unwrap());
    let counted = entitlement::count_view(&mut tx, bought.id, NOW_MS + DAY_MS).await.unwrap().unwrap();
    assert_eq!((counted.views_left, counted.play_until_ms), (Some(0), Some(NOW_MS + 2 * DAY_MS)));
    assert_eq!(entitlement::count_view(&mut tx, bought.id, NOW_MS).await.unwrap(), None, "none left");

    assert!(view::touch(&mut tx, first.id, NOW_MS + 20).await.unwrap());
    assert!(view::end(&mut tx, first.id, State::Ended, "done", NOW_MS + 30).await.unwrap());
    assert!(!view::end(&mut tx, first.id, State::Revoked, "again", NOW_MS).await.unwrap(), "over is over");
    assert!(!view::touch(&mut tx, first.id, NOW_MS + 40).await.unwrap());
    assert!(!view::resume(&mut tx, first.id, &[9; 32], NOW_MS + 40).await.unwrap());
    assert_eq!(view::by_id(&mut tx, first.id).await.unwrap().unwrap().state, State::Ended);
    assert!(view::active_on(&mut tx, bought.id, phone, first.title_id).await.unwrap().is_none());

    assert!(view::end(&mut tx, second.id, State::Expired, "idle", NOW_MS + 50).await.unwrap());
    assert!(view::active_on(&mut tx, bought.id, desk, first.title_id).await.unwrap().is_none());
    assert_eq!(view::by_id(&mut tx, second.id).await.unwrap().unwrap().state, State::Expired);
    assert!(view::by_id(&mut tx, ViewId::from_bytes(fresh())).await.unwrap().is_none());
}

pub async fn windows_close(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, None).await;
    let count = |id, at| (id, at);
    let (id, too_late) = count(bought.id, NOW_MS + 30 * DAY_MS);
    assert_eq!(
        entitlement::count_view(&mut tx, id, too_late).await.unwrap(),
        None,
        "the start window is over"
    );
    let last = entitlement::count_view(&mut tx, id, too_late - 1).await.unwrap().unwrap();
    assert_eq!((last.views_left, last.play_until_ms), (None, Some(too_late - 1 + 2 * DAY_MS)));
    assert!(
        entitlement::count_view(&mut tx, id, too_late + DAY_MS).await.unwrap().is_some(),
        "started in time"
    );
    let over = last.play_until_ms.unwrap();
    assert_eq!(entitlement::count_view(&mut tx, id, over).await.unwrap(), None, "the play window is over");

    let idle = new_view(&bought, release, fixture::device());
    assert!(view::open(&mut tx, &idle, NOW_MS).await.unwrap());
    assert_eq!(view::expire_idle(&mut tx, NOW_MS, NOW_MS + 1).await.unwrap(), 0);
    assert_eq!(view::expire_idle(&mut tx, NOW_MS + 1, NOW_MS + 1).await.unwrap(), 1);
}

pub async fn revocation_ends_every_view(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, Some(9)).await;
    let mut opened = Vec::new();
    for _ in 0..3 {
        let wanted = new_view(&bought, release, fixture::device());
        assert!(view::open(&mut tx, &wanted, NOW_MS).await.unwrap());
        opened.push(wanted.id);
    }
    assert!(entitlement::count_view(&mut tx, bought.id, NOW_MS).await.unwrap().is_some(), "it is in use");
    assert!(view::end(&mut tx, opened[0], State::Ended, "done", NOW_MS).await.unwrap());
    assert!(entitlement::revoke(&mut tx, bought.id, "charged back", NOW_MS + 5).await.unwrap());
    assert!(!entitlement::revoke(&mut tx, bought.id, "again", NOW_MS + 6).await.unwrap());
    assert!(!entitlement::revoke(&mut tx, EntitlementId::from_bytes(fresh()), "none", NOW_MS).await.unwrap());
    assert!(entitlement::by_id(&mut tx, bought.id).await.unwrap().unwrap().status == Status::Revoked);
    assert_eq!(entitlement::count_view(&mut tx, bought.id, NOW_MS).await.unwrap(), None);
    let mut ended = view::revoke_all(&mut tx, bought.id, "charged back", NOW_MS + 5).await.unwrap();
    ended.sort();
    let mut expected = opened[1..].to_vec();
    expected.sort();
    assert_eq!(ended, expected);
    let mut told = view::revoked_since(&mut tx, NOW_MS + 5).await.unwrap();
    told.sort();
    let reason = |view| (view, "charged back".to_owned());
    assert_eq!(told, expected.into_iter().map(reason).collect::<Vec<_>>());
    assert!(view::revoked_since(&mut tx, NOW_MS + 6).await.unwrap().is_empty());
}

pub async fn keys_are_counted(database: &Database) {
    let mut tx = database.write().await;
    let (bought, release) = fixture::rented(&mut tx, None).await;
    let wanted = new_view(&bought, release, fixture::device());
    assert!(view::open(&mut tx, &wanted, NOW_MS).await.unwrap());
    assert_eq!(key_release::epochs_since(&mut tx, wanted.id, 0).await.unwrap(), 0);
    let range = |file, first, count| EpochRange { file: FileIndex(file), first: EpochIndex(first), count };
    let licenses = [(NOW_MS, vec![range(0, 0, 3)]), (NOW_MS + 60, vec![range(0, 1, 3), range(1, 0, 1)])];
    for (at_ms, ranges) in licenses {
        let license = LicenseId::from_bytes(fresh());
        key_release::insert(&mut tx, license, wanted.id, &ranges, at_ms).await.unwrap();
    }
    assert_eq!(key_release::epochs_since(&mut tx, wanted.id, NOW_MS - 1).await.unwrap(), 7);
    assert_eq!(key_release::epochs_since(&mut tx, wanted.id, NOW_MS).await.unwrap(), 4);
}
