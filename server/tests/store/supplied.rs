//! Titles out of a supplier's list: one under each reference, and what the list says of tracks and collections.

use matinee_protocol::id::{AccountId, CollectionId, ReleaseId, TitleId};
use matinee_server::store::account::Role;
use matinee_server::store::catalogue;
use matinee_server::store::collection::{self, Collection};
use matinee_server::store::import::{self, Key, Kind, NewTrack};
use matinee_server::store::supplied::{self, Supplied};
use matinee_server::store::{Tx, release, title, whole};

use crate::Database;
use crate::fixture::{self, NOW_MS, fresh};

async fn publisher(tx: &mut Tx, email: &str) -> AccountId {
    fixture::account(tx, email, &[Role::Publisher]).await
}

/// A title with an open release.
async fn begun(tx: &mut Tx, publisher: AccountId) -> (TitleId, ReleaseId) {
    let (title, release) = (TitleId::from_bytes(fresh()), ReleaseId::from_bytes(fresh()));
    title::insert(tx, title, publisher, "Big Buck Bunny", NOW_MS).await.unwrap();
    release::insert(tx, release, title, None, &fixture::files(), NOW_MS).await.unwrap();
    (title, release)
}

pub async fn a_reference_is_one_title(database: &Database) {
    let mut tx = database.write().await;
    let ours = publisher(&mut tx, "studio@example.org").await;
    let theirs = publisher(&mut tx, "label@example.org").await;
    let (first, second, third) =
        (begun(&mut tx, ours).await, begun(&mut tx, ours).await, begun(&mut tx, theirs).await);
    assert_eq!(supplied::by_reference(&mut tx, ours, "t1").await.unwrap(), None);
    assert!(supplied::insert(&mut tx, ours, "t1", first, NOW_MS).await.unwrap());
    assert!(!supplied::insert(&mut tx, ours, "t1", second, NOW_MS).await.unwrap(), "there is one");
    assert!(supplied::insert(&mut tx, theirs, "t1", third, NOW_MS).await.unwrap(), "another publisher's");
    let mut kept = Supplied { title: first.0, release: first.1, finished_at_ms: None };
    assert_eq!(supplied::by_reference(&mut tx, ours, "t1").await.unwrap(), Some(kept));
    assert!(supplied::finish(&mut tx, first.1, NOW_MS + 7).await.unwrap());
    assert!(!supplied::finish(&mut tx, first.1, NOW_MS + 8).await.unwrap(), "once");
    assert!(!supplied::finish(&mut tx, second.1, NOW_MS + 8).await.unwrap(), "it came by no list");
    kept.finished_at_ms = Some(NOW_MS + 7);
    assert_eq!(supplied::by_reference(&mut tx, ours, "t1").await.unwrap(), Some(kept));
    let other = supplied::by_reference(&mut tx, theirs, "t1").await.unwrap().unwrap();
    assert_eq!((other.title, other.finished_at_ms), (third.0, None));
    let exported = whole::export(&mut tx, ours).await.unwrap();
    assert_eq!(exported["supplied_titles"][0]["reference"], "t1");
    assert_eq!(exported["supplied_titles"].as_array().unwrap().len(), 1);
}

pub async fn a_removed_release_frees_its_reference(database: &Database) {
    let mut tx = database.write().await;
    let ours = publisher(&mut tx, "studio@example.org").await;
    let (title, release) = begun(&mut tx, ours).await;
    assert!(supplied::insert(&mut tx, ours, "t1", (title, release), NOW_MS).await.unwrap());
    assert!(release::delete_open(&mut tx, release).await.unwrap());
    assert_eq!(supplied::by_reference(&mut tx, ours, "t1").await.unwrap(), None);
    assert!(!supplied::finish(&mut tx, release, NOW_MS).await.unwrap());
    assert!(title::delete_unused(&mut tx, title).await.unwrap());
}

pub async fn a_track_is_given_one_title(database: &Database) {
    let mut tx = database.write().await;
    let ours = publisher(&mut tx, "studio@example.org").await;
    let ((first, _), (second, _)) = (begun(&mut tx, ours).await, begun(&mut tx, ours).await);
    let key = Key { name: "Björk".to_owned(), sort_key: "bjork".to_owned() };
    let artist = import::numbers(&mut tx, Kind::Artists, &[key]).await.unwrap()["bjork"];
    let new = |title| NewTrack {
        reference: "isobel".to_owned(),
        name: "Isobel".to_owned(),
        artist,
        album: None,
        genre: None,
        title,
        number: None,
        duration_ms: None,
        popularity: 1,
        words: "isobel bjork".to_owned(),
    };
    assert_eq!(import::track(&mut tx, "isobel").await.unwrap(), None);
    import::put_tracks(&mut tx, &[new(None)]).await.unwrap();
    let (track, none) = import::track(&mut tx, "isobel").await.unwrap().unwrap();
    assert_eq!(none, None);
    assert!(import::give_title(&mut tx, track, first).await.unwrap());
    assert!(import::give_title(&mut tx, track, first).await.unwrap(), "it has it");
    assert!(!import::give_title(&mut tx, track, second).await.unwrap(), "it has another");
    assert!(!import::give_title(&mut tx, track + 1, first).await.unwrap(), "there is none");
    assert_eq!(catalogue::track(&mut tx, None, track).await.unwrap().unwrap().title, Some(first));
    import::put_tracks(&mut tx, &[new(None)]).await.unwrap();
    let known = import::track(&mut tx, "isobel").await.unwrap();
    assert_eq!(known, Some((track, Some(first))), "an import that names no title takes none away");
    import::put_tracks(&mut tx, &[new(Some(second))]).await.unwrap();
    assert_eq!(import::track(&mut tx, "isobel").await.unwrap(), Some((track, Some(second))));
}

pub async fn collections_are_found_by_name(database: &Database) {
    let mut tx = database.write().await;
    let ours = publisher(&mut tx, "studio@example.org").await;
    let theirs = publisher(&mut tx, "label@example.org").await;
    let mut made = Vec::new();
    for (publisher_id, name) in [(ours, "All"), (ours, "New"), (ours, "New"), (theirs, "All")] {
        let id = CollectionId::from_bytes(fresh());
        let collection = Collection { id, publisher_id, name: name.to_owned(), created_at_ms: NOW_MS };
        collection::insert(&mut tx, &collection).await.unwrap();
        made.push(id);
    }
    assert_eq!(collection::by_name(&mut tx, ours, "All", 2).await.unwrap(), made[..1]);
    assert_eq!(collection::by_name(&mut tx, ours, "New", 9).await.unwrap().len(), 2);
    assert_eq!(collection::by_name(&mut tx, ours, "New", 1).await.unwrap().len(), 1);
    assert_eq!(collection::by_name(&mut tx, ours, "all", 2).await.unwrap(), [], "as it is written");
}
