//! Titles, plans, releases, uploads, carries, receipts and reports.

use matinee_protocol::id::{FileIndex, PlanId, ReleaseId, TitleId, ViewId};
use matinee_server::store::account::Role;
use matinee_server::store::page::Asked;
use matinee_server::store::release::{self, State};
use matinee_server::store::{carry, plan, receipt, report, right, title, upload};

use crate::Database;
use crate::fixture::{self, NOW_MS, fresh};

const SEGMENT: u64 = 16 * 1024 * 1024;

pub async fn titles_plans_and_releases(database: &Database) {
    let mut tx = database.write().await;
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let plan = fixture::plan(&mut tx, publisher, Some(5)).await;
    let unlimited = fixture::plan(&mut tx, publisher, None).await;
    assert_eq!(plan::by_id(&mut tx, plan.id).await.unwrap(), Some(plan.clone()));
    assert_eq!(plan::by_title(&mut tx, fixture::title_of(&unlimited)).await.unwrap(), [unlimited]);
    assert_eq!(plan::by_id(&mut tx, PlanId::from_bytes(fresh())).await.unwrap(), None);
    let found = title::by_id(&mut tx, fixture::title_of(&plan)).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.publisher_name.as_str()), ("Big Buck Bunny", "Somebody"));
    assert_eq!(title::by_id(&mut tx, TitleId::from_bytes(fresh())).await.unwrap(), None);
    let whole = title::listed(&mut tx, None, &Asked::first(50)).await.unwrap();
    assert_eq!((whole.rows.len(), &whole.next), (2, &None));
    let first = title::listed(&mut tx, None, &Asked::first(1)).await.unwrap();
    assert_eq!(first.rows, whole.rows[..1]);
    let second = title::listed(&mut tx, None, &Asked { limit: 1, after: first.next }).await.unwrap();
    assert_eq!((&second.rows[..], &second.next), (&whole.rows[1..], &None), "one after the other, once each");

    assert!(release::latest_published(&mut tx, fixture::title_of(&plan)).await.unwrap().is_none());
    let first = fixture::release(&mut tx, fixture::title_of(&plan)).await;
    let open = ReleaseId::from_bytes(fresh());
    release::insert(&mut tx, open, fixture::title_of(&plan), None, &fixture::files(), NOW_MS + 10)
        .await
        .unwrap();
    let latest = release::latest_published(&mut tx, fixture::title_of(&plan)).await.unwrap().unwrap();
    assert_eq!((latest.id, latest.state, latest.sealed), (first, State::Published, true));
    let seen = right::title_and_newest(&mut tx, fixture::title_of(&plan), publisher, None).await.unwrap();
    assert_eq!(seen.unwrap().1, Some(first));
    assert_eq!(latest.published_at_ms, Some(NOW_MS + 1));
    assert_eq!(latest.secret.unwrap().key_id, "vault-a");
    assert_eq!(release::manifest(&mut tx, first).await.unwrap().as_deref(), Some("a.b.c"));
    assert_eq!(release::manifest(&mut tx, open).await.unwrap(), None);
    let found = release::by_id(&mut tx, open).await.unwrap().unwrap();
    assert_eq!((found.sealed, found.secret, found.publisher_id), (false, None, publisher));
    assert_eq!(release::files(&mut tx, open).await.unwrap(), fixture::files());
    assert_eq!(release::file(&mut tx, open, FileIndex(1)).await.unwrap().as_ref(), fixture::files().get(1));
    assert_eq!(release::file(&mut tx, open, FileIndex(2)).await.unwrap(), None);
    assert!(!release::publish(&mut tx, first, "d.e.f", NOW_MS).await.unwrap(), "published once");
    assert!(!release::delete_open(&mut tx, first).await.unwrap(), "a published release stays");
    assert!(release::delete_open(&mut tx, open).await.unwrap());
    assert!(release::by_id(&mut tx, open).await.unwrap().is_none());
}

pub async fn uploads_move_by_whole_segments(database: &Database) {
    let mut tx = database.write().await;
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let plan = fixture::plan(&mut tx, publisher, None).await;
    let id = ReleaseId::from_bytes(fresh());
    release::insert(&mut tx, id, fixture::title_of(&plan), None, &fixture::files(), NOW_MS).await.unwrap();
    let file = FileIndex(0);
    assert!(upload::advance(&mut tx, id, file, 0, 0, SEGMENT, &[1; 64]).await.unwrap());
    assert!(
        !upload::advance(&mut tx, id, file, 0, 0, SEGMENT, &[2; 64]).await.unwrap(),
        "it was there before"
    );
    assert!(upload::advance(&mut tx, id, file, 1, SEGMENT, 2 * SEGMENT, &[3; 64]).await.unwrap());
    let stored = release::file(&mut tx, id, file).await.unwrap().unwrap();
    assert_eq!(stored.uploaded_bytes, 2 * SEGMENT);
    assert_eq!(upload::chunk_hashes(&mut tx, id, file).await.unwrap(), [vec![1; 64], vec![3; 64]]);
    assert!(!release::publish(&mut tx, id, "a.b.c", NOW_MS).await.unwrap(), "not whole yet");
    let size = fixture::files()[0].size_bytes;
    assert!(upload::advance(&mut tx, id, file, 2, 2 * SEGMENT, size, &[4; 32]).await.unwrap());
    assert!(release::publish(&mut tx, id, "a.b.c", NOW_MS).await.unwrap());
    assert!(!upload::advance(&mut tx, id, file, 3, size, size, &[]).await.unwrap(), "immutable now");
    upload::forget(&mut tx, id).await.unwrap();
    assert!(upload::chunk_hashes(&mut tx, id, file).await.unwrap().is_empty());

    let phone = fixture::device();
    let wanted = ViewId::from_bytes(fresh());
    assert_eq!(carry::open(&mut tx, wanted, publisher, id, phone, NOW_MS).await.unwrap(), (wanted, true));
    let again = ViewId::from_bytes(fresh());
    assert_eq!(carry::open(&mut tx, again, publisher, id, phone, NOW_MS + 1).await.unwrap(), (wanted, false));
}

pub async fn receipts_and_reports(database: &Database) {
    let mut tx = database.write().await;
    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    let plan = fixture::plan(&mut tx, publisher, None).await;
    let id = fixture::release(&mut tx, fixture::title_of(&plan)).await;
    let (up, down) = (fixture::device(), fixture::device());
    let table = [(100, 100), (100, 0), (50, 0), (250, 150), (5000, 750), (6000, 0)];
    for (total, added) in table {
        let credited = receipt::credit(&mut tx, id, up, down, total, 1000, NOW_MS).await.unwrap();
        assert_eq!(credited, added, "total {total}");
    }
    assert_eq!(receipt::credited_bytes(&mut tx, up).await.unwrap(), 1000);
    assert_eq!(receipt::credited_bytes(&mut tx, down).await.unwrap(), 0);

    for (report, reporter) in [("a", down), ("b", down), ("c", fixture::device())] {
        report::insert(&mut tx, report, id, reporter, up, "wrong hash", NOW_MS).await.unwrap();
    }
    assert_eq!(report::reporters(&mut tx, up, NOW_MS).await.unwrap(), 2);
    assert_eq!(report::reporters(&mut tx, up, NOW_MS + 1).await.unwrap(), 0);
}
