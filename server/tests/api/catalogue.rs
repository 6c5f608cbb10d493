//! Looking through the catalogue.

use matinee_server::store::account::Role;
use matinee_server::store::import::{self, Key, Kind, NewTrack};
use matinee_server::words;
use serde_json::{Value, json};

use crate::bench::Bench;

/// Twelve tracks of two artists; the higher its number, the more popular.
async fn stocked() -> Bench {
    let bench = Bench::new().await;
    stock(&bench).await;
    bench
}

async fn stock(bench: &Bench) {
    let mut tx = bench.app.store.write().await.unwrap();
    let key = |name: &str| Key { name: name.to_owned(), sort_key: words::sort_key(name) };
    let artists = import::numbers(&mut tx, Kind::Artists, &[key("Ann"), key("Ben")]).await.unwrap();
    let genres = import::numbers(&mut tx, Kind::Genres, &[key("Folk")]).await.unwrap();
    let albums = [(artists["ann"], key("Dawn"), Some(2001)), (artists["ben"], key("Dusk"), None)];
    let albums = import::album_numbers(&mut tx, &albums).await.unwrap();
    let track = |number: i32| {
        let (artist, album) = if number % 2 == 0 { ("ann", "dawn") } else { ("ben", "dusk") };
        NewTrack {
            reference: number.to_string(),
            name: format!("Song {number}"),
            artist: artists[artist],
            album: Some(albums[&(artists[artist], album.to_owned())]),
            genre: Some(genres["folk"]),
            title: (number == 11).then_some(bench.title),
            number: Some(number),
            duration_ms: None,
            popularity: number,
            words: format!("song {number} {artist} {album}"),
        }
    };
    import::put_tracks(&mut tx, &(0..12).map(track).collect::<Vec<_>>()).await.unwrap();
    tx.commit().await.unwrap();
}

async fn get(bench: &Bench, path: &str) -> Value {
    bench.get(path).send().await.expect(200).json()
}

fn names(page: &Value) -> Vec<&str> {
    page["tracks"].as_array().unwrap().iter().map(|track| track["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn somebody_types() {
    let bench = stocked().await;
    let found = get(&bench, "/v1/search?q=so&limit=2").await;
    assert_eq!(names(&found), ["Song 11", "Song 10"]);
    let first = &found["tracks"][0];
    assert_eq!(
        (&first["artist"]["name"], &first["album"]["name"], &first["genre"]["name"], &first["title"]),
        (&json!("Ben"), &json!("Dusk"), &json!("Folk"), &json!(bench.title))
    );
    assert!(first.get("duration_ms").is_none(), "what is not known is not there");
    assert_eq!(names(&get(&bench, "/v1/search?q=song+ANN+1").await), ["Song 10"]);
    assert_eq!(names(&get(&bench, "/v1/search?q=%20").await), [""; 0]);
    for (query, status) in [("", 400), ("?q=a&sort=x", 400), ("?q=a&limit=0", 400)] {
        let refused = bench.get(format!("/v1/search{query}")).send().await.expect(status);
        assert_eq!(refused.code(), "query_invalid", "{query}");
    }
    let long = format!("/v1/search?q={}", "a".repeat(201));
    assert_eq!(bench.get(long).send().await.expect(400).code(), "query_invalid");
}

#[tokio::test]
async fn somebody_browses() {
    let bench = stocked().await;
    let mut seen = Vec::new();
    let mut path = "/v1/tracks?limit=5".to_owned();
    loop {
        let page = get(&bench, &path).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/tracks?limit=5&cursor={next}");
    }
    let expected: Vec<_> = (0..12).rev().map(|number| format!("Song {number}")).collect();
    assert_eq!(seen, expected);

    let artists = get(&bench, "/v1/artists?limit=1").await;
    assert_eq!(artists["artists"][0]["name"], "Ann");
    let after = artists["next"].as_str().unwrap();
    let ben = get(&bench, &format!("/v1/artists?cursor={after}")).await["artists"][0].clone();
    assert_eq!(ben["name"], "Ben");
    let shown = get(&bench, &format!("/v1/artists/{}", ben["id"])).await;
    assert_eq!((&shown["artist"], &shown["albums"][0]["name"]), (&ben, &json!("Dusk")));
    let page = get(&bench, &format!("/v1/artists/{}/tracks?limit=2", ben["id"])).await;
    assert_eq!(names(&page), ["Song 11", "Song 9"]);
    let album = get(&bench, &format!("/v1/albums/{}", shown["albums"][0]["id"])).await;
    assert_eq!(names(&album), ["Song 1", "Song 3", "Song 5", "Song 7", "Song 9", "Song 11"]);
    assert_eq!(album["album"]["artist"], ben);
    let genre = get(&bench, "/v1/genres").await["genres"][0].clone();
    let page = get(&bench, &format!("/v1/genres/{}/tracks?limit=3", genre["id"])).await;
    assert_eq!(names(&page), ["Song 11", "Song 10", "Song 9"]);
    for path in [
        "/v1/tracks/99",
        "/v1/tracks/x",
        "/v1/tracks/99/related",
        "/v1/artists/99",
        "/v1/artists/99/tracks",
        "/v1/albums/99",
        "/v1/genres/99/tracks",
    ] {
        assert_eq!(bench.get(path).send().await.expect(404).code(), "not_found", "{path}");
    }
    for path in ["/v1/tracks?cursor=x", &format!("/v1/artists/{}/tracks?cursor=x", ben["id"])] {
        assert_eq!(bench.get(path).send().await.expect(400).code(), "cursor_invalid", "{path}");
    }
}

#[tokio::test]
async fn what_to_hear_next() {
    let bench = stocked().await;
    let of = get(&bench, "/v1/search?q=song+5").await["tracks"][0].clone();
    assert_eq!(get(&bench, &format!("/v1/tracks/{}", of["id"])).await, of);
    let related = get(&bench, &format!("/v1/tracks/{}/related", of["id"])).await;
    // The album in its order, then of the genre what is next to it in popularity.
    let expected = ["Song 1", "Song 3", "Song 7", "Song 9", "Song 11", "Song 4", "Song 2", "Song 0"];
    assert_eq!(names(&related), expected);
}

pub async fn a_private_title_is_named_to_its_group(bench: &Bench) {
    stock(bench).await;
    let studio = bench.studio_login().await;
    let made = bench.post("/v1/groups", &json!({ "name": "Stations" })).bearer(&studio).send().await;
    let group = made.expect(201).json()["group"]["id"].clone();
    let rights = format!("/v1/titles/{}/rights", bench.title);
    bench.call("PUT", &rights).json(&json!({ "group": group })).bearer(&studio).send().await.expect(204);
    let member = bench.login("ana@example.org", &[Role::Viewer]).await;
    let members = format!("/v1/groups/{}/members", group.as_str().unwrap());
    let ana = json!({ "email": "ana@example.org" });
    bench.post(&members, &ana).bearer(&studio).send().await.expect(201);
    let stranger = bench.login("bob@example.org", &[Role::Viewer]).await;

    let track = get(bench, "/v1/search?q=song+11").await["tracks"][0].clone();
    let next = get(bench, "/v1/search?q=song+9").await["tracks"][0]["id"].clone();
    for path in [
        "/v1/search?q=song+11".to_owned(),
        "/v1/tracks".to_owned(),
        format!("/v1/tracks/{}", track["id"]),
        format!("/v1/tracks/{next}/related"),
        format!("/v1/artists/{}/tracks", track["artist"]["id"]),
        format!("/v1/albums/{}", track["album"]["id"]),
        format!("/v1/genres/{}/tracks", track["genre"]["id"]),
    ] {
        for (login, told) in
            [(None, false), (Some(&stranger), false), (Some(&member), true), (Some(&studio), true)]
        {
            let call = bench.get(&path);
            let call = if let Some(login) = login { call.bearer(login) } else { call };
            let answer = call.send().await.expect(200).json().to_string();
            assert!(answer.contains("Song 11"), "{path}: {answer}");
            assert_eq!(answer.contains(&bench.title.to_string()), told, "{path}, {login:?}: {answer}");
        }
    }
}
