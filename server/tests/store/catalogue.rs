//! The catalogue: what is put in is found, in the order of its popularity.

use matinee_server::store::Tx;
use matinee_server::store::catalogue::{self, After, Of, Track};
use matinee_server::store::import::{self, Import, Key, Kind, NewTrack};
use matinee_server::words;
use sqlx::Connection as _;

use crate::Database;
use crate::fixture::NOW_MS;

fn key(name: &str) -> Key {
    Key { name: name.to_owned(), sort_key: words::sort_key(name) }
}

/// A track by an artist of a genre, on an album of the artist's.
async fn put(tx: &mut Tx, reference: &str, (name, artist, genre): (&str, &str, &str), popularity: i32) {
    let artists = import::numbers(tx, Kind::Artists, &[key(artist)]).await.unwrap();
    let genres = import::numbers(tx, Kind::Genres, &[key(genre)]).await.unwrap();
    let by = artists[&words::sort_key(artist)];
    let albums = import::album_numbers(tx, &[(by, key("Best of"), Some(1999))]).await.unwrap();
    let track = NewTrack {
        reference: reference.to_owned(),
        name: name.to_owned(),
        artist: by,
        album: Some(albums[&(by, "best of".to_owned())]),
        genre: Some(genres[&words::sort_key(genre)]),
        title: None,
        number: Some(popularity % 7),
        duration_ms: Some(180_000),
        popularity,
        words: words::folded(&format!("{name} {artist} best of")),
    };
    import::put_tracks(tx, &[track]).await.unwrap();
}

async fn found(tx: &mut Tx, query: &str) -> Vec<String> {
    let tracks = catalogue::search(tx, None, &words::query(query), 10).await.unwrap();
    tracks.into_iter().map(|track| track.name).collect()
}

pub async fn what_is_put_is_found_and_changes(database: &Database) {
    let mut tx = database.write().await;
    put(&mut tx, "a", ("Army of Me", "Björk", "Pop"), 50).await;
    put(&mut tx, "b", ("Hyperballad", "Björk", "Pop"), 90).await;
    put(&mut tx, "c", ("Armistice", "Phoenix", "Rock"), 70).await;
    put(&mut tx, "d", ("Don't Stop", "2 Unlimited", "Dance"), 10).await;
    assert_eq!(found(&mut tx, "a").await, ["Armistice", "Army of Me"], "the most popular first");
    assert_eq!(found(&mut tx, "BJORK").await, ["Hyperballad", "Army of Me"]);
    assert_eq!(found(&mut tx, "björk arm").await, ["Army of Me"]);
    assert_eq!(found(&mut tx, "army m").await, ["Army of Me"]);
    assert_eq!(found(&mut tx, "arm m").await, [""; 0], "only the last word may have just been begun");
    assert_eq!(found(&mut tx, "2 u").await, ["Don't Stop"]);
    for hostile in ["'", "\"", "a' | 'b", "army:*", "\" OR \"a", "-army", "NEAR(", "", "a*b*", "armyx"] {
        let told = found(&mut tx, hostile).await;
        assert!(told.len() <= 2, "{hostile:?} finds {told:?}");
    }
    assert_eq!(catalogue::counts(&mut tx).await.unwrap(), [3, 3, 3, 4]);

    // The same reference again is the same track: renamed, and now the most popular.
    put(&mut tx, "a", ("Isobel", "Björk", "Pop"), 95).await;
    assert_eq!(found(&mut tx, "arm").await, ["Armistice"]);
    assert_eq!(found(&mut tx, "bjork").await, ["Isobel", "Hyperballad"]);
    assert_eq!(catalogue::counts(&mut tx).await.unwrap(), [3, 3, 3, 4]);
    tx.commit().await.unwrap();
    import::settle(&database.store).await.unwrap();
    assert_eq!(found(&mut database.read().await, "i").await, ["Isobel"]);

    let mut tx = database.read().await;
    let isobel = catalogue::search(&mut tx, None, &["isobel".to_owned()], 1).await.unwrap().remove(0);
    assert_eq!((isobel.artist.name.as_str(), isobel.duration_ms), ("Björk", Some(180_000)));
    let album = isobel.album.clone().unwrap();
    assert_eq!(catalogue::track(&mut tx, None, isobel.id).await.unwrap(), Some(isobel.clone()));
    assert!(catalogue::track(&mut tx, None, 4711).await.unwrap().is_none());
    let shown = catalogue::album(&mut tx, album.id).await.unwrap().unwrap();
    assert_eq!(
        (shown.name.as_str(), shown.year, shown.artist.name.as_str()),
        ("Best of", Some(1999), "Björk")
    );
    let names = |tracks: Vec<Track>| tracks.into_iter().map(|track| track.name).collect::<Vec<_>>();
    // Numbers 4 and 6.
    assert_eq!(
        names(catalogue::on_album(&mut tx, None, album.id, 10).await.unwrap()),
        ["Isobel", "Hyperballad"]
    );
    assert_eq!(catalogue::albums_by(&mut tx, isobel.artist.id, 10).await.unwrap(), [shown]);
    let genres = catalogue::genres(&mut tx, 10).await.unwrap();
    assert_eq!(genres.iter().map(|genre| genre.name.as_str()).collect::<Vec<_>>(), ["Dance", "Pop", "Rock"]);
    assert!(catalogue::genre(&mut tx, genres[0].id).await.unwrap().is_some());
}

/// The migration that makes SQLite's index anew fills it with the tracks that are there, numbered as the store numbers them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_made_anew_holds_what_is_there() {
    let database = Database::sqlite().await;
    let mut tx = database.write().await;
    put(&mut tx, "a", ("Army of Me", "Björk", "Pop"), 50).await;
    put(&mut tx, "c", ("Armistice", "Phoenix", "Rock"), 70).await;
    tx.commit().await.unwrap();

    let mut connection = sqlx::SqliteConnection::connect(&database.address).await.unwrap();
    let anew = include_str!("../../../migrations/sqlite/0016_search.sql");
    sqlx::raw_sql(anew).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let mut tx = database.write().await;
    assert_eq!(found(&mut tx, "arm").await, ["Armistice", "Army of Me"], "the most popular first");
    put(&mut tx, "c", ("Lisztomania", "Phoenix", "Rock"), 30).await;
    assert_eq!(found(&mut tx, "arm").await, ["Army of Me"], "what was there is found and taken out again");
    assert_eq!(found(&mut tx, "phoenix").await, ["Lisztomania"]);
}

/// Every transaction leaves a part of SQLite's index; settling makes one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_index_has_one_part() {
    let database = Database::sqlite().await;
    for at in 0..3 {
        let mut tx = database.write().await;
        put(&mut tx, &format!("t{at}"), (&format!("Song {at}"), "Björk", "Pop"), at).await;
        tx.commit().await.unwrap();
    }
    let mut connection = sqlx::SqliteConnection::connect(&database.address).await.unwrap();
    let parts = "select count(distinct segid) from tracks_search_idx";
    let (before,): (i64,) = sqlx::query_as(parts).fetch_one(&mut connection).await.unwrap();
    assert!(before > 1, "there is nothing to settle");
    import::settle(&database.store).await.unwrap();
    let (after,): (i64,) = sqlx::query_as(parts).fetch_one(&mut connection).await.unwrap();
    assert_eq!(after, 1);
    connection.close().await.unwrap();
    assert_eq!(found(&mut database.read().await, "so").await, ["Song 2", "Song 1", "Song 0"]);
}

pub async fn pages_go_through_everything_once(database: &Database) {
    let mut tx = database.write().await;
    // Many of the same popularity, and two hundred and more rows in one statement's worth.
    for number in 0..30 {
        let artist = ["Ann", "Ben", "Cy"][number % 3];
        put(&mut tx, &number.to_string(), (&format!("Song {number}"), artist, "Pop"), (number / 9) as i32)
            .await;
    }
    let ann = import::numbers(&mut tx, Kind::Artists, &[key("Ann")]).await.unwrap()["ann"];
    let pop = import::numbers(&mut tx, Kind::Genres, &[key("Pop")]).await.unwrap()["pop"];
    for (of, count) in [(Of::All, 30), (Of::Artist(ann), 10), (Of::Genre(pop), 30), (Of::Genre(pop + 1), 0)] {
        let mut all: Vec<Track> = Vec::new();
        let mut after = After::START;
        loop {
            let page = catalogue::by_popularity(&mut tx, None, of, after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = After { popularity: last.popularity, id: last.id };
            all.extend(page);
        }
        let places: Vec<_> = all.iter().map(|track| (-track.popularity, track.id)).collect();
        assert!(places.is_sorted_by(|one, other| one < other), "{of:?}: {places:?}");
        assert_eq!(all.len(), count, "{of:?}");
    }
    let mut names = Vec::new();
    let mut after = None;
    while let Some(artist) = catalogue::artists(&mut tx, after, 1).await.unwrap().pop() {
        names.push(artist.name);
        after = Some(artist.id);
    }
    assert_eq!(names, ["Ann", "Ben", "Cy"]);
}

pub async fn imports_are_noted(database: &Database) {
    let mut tx = database.write().await;
    assert_eq!(import::progress(&mut tx, &[1; 32]).await.unwrap(), None);
    let half = Import { bytes_done: 50, rows_done: 2, finished: false };
    import::note(&mut tx, &[1; 32], ("a.csv", 100), half, NOW_MS).await.unwrap();
    assert_eq!(import::progress(&mut tx, &[1; 32]).await.unwrap(), Some(half));
    let whole = Import { bytes_done: 100, rows_done: 4, finished: true };
    import::note(&mut tx, &[1; 32], ("a.csv", 100), whole, NOW_MS).await.unwrap();
    assert_eq!(import::progress(&mut tx, &[1; 32]).await.unwrap(), Some(whole));
    assert_eq!(import::progress(&mut tx, &[2; 32]).await.unwrap(), None);
}
