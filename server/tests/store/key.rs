//! Signing keys, sealed secrets and proofs.

use matinee_protocol::jws::KeyUse;
use matinee_server::store::proof;
use matinee_server::store::sealed::{self, Sealed, Shelf};
use matinee_server::store::signing_key::{self, SigningKey, State};

use crate::Database;
use crate::fixture::{self, NOW_MS};

fn key(kid: &str, key_use: KeyUse, state: State, created_at_ms: i64) -> SigningKey {
    SigningKey {
        kid: kid.to_owned(),
        key_use,
        state,
        public: [9; 32],
        secret: fixture::sealed(),
        created_at_ms,
        retired_at_ms: None,
    }
}

pub async fn signing_keys_move_through_their_states(database: &Database) {
    let mut tx = database.write().await;
    let first = key("v-1", KeyUse::View, State::Current, NOW_MS);
    let next = key("v-2", KeyUse::View, State::Next, NOW_MS + 1);
    let release = key("r-1", KeyUse::Release, State::Current, NOW_MS + 2);
    for key in [&first, &next, &release] {
        signing_key::insert(&mut tx, key).await.unwrap();
    }
    let all = signing_key::all(&mut tx).await.unwrap();
    assert_eq!(all, [first.clone(), next.clone(), release]);
    assert_eq!(signing_key::by_state(&mut tx, KeyUse::View, State::Next).await.unwrap(), Some(next));
    assert_eq!(signing_key::by_state(&mut tx, KeyUse::Release, State::Next).await.unwrap(), None);
    signing_key::set_state(&mut tx, "v-1", State::Retired, Some(NOW_MS + 3)).await.unwrap();
    signing_key::set_state(&mut tx, "v-2", State::Current, None).await.unwrap();
    let current = signing_key::by_state(&mut tx, KeyUse::View, State::Current).await.unwrap().unwrap();
    assert_eq!(current.kid, "v-2");
    let retired = signing_key::by_state(&mut tx, KeyUse::View, State::Retired).await.unwrap().unwrap();
    assert_eq!((retired.kid.as_str(), retired.retired_at_ms), ("v-1", Some(NOW_MS + 3)));
}

pub async fn secrets_are_rewrapped(database: &Database) {
    let mut tx = database.write().await;
    let secret = fixture::sealed();
    assert!(sealed::insert_secret(&mut tx, "swarm", &secret, NOW_MS).await.unwrap());
    assert!(!sealed::insert_secret(&mut tx, "swarm", &fixture::sealed(), NOW_MS).await.unwrap());
    assert_eq!(sealed::secret(&mut tx, "swarm").await.unwrap(), Some(secret));
    assert_eq!(sealed::secret(&mut tx, "other").await.unwrap(), None);
    signing_key::insert(&mut tx, &key("v-1", KeyUse::View, State::Current, NOW_MS)).await.unwrap();
    let (_, release) = fixture::rented(&mut tx, None).await;

    for (shelf, row) in [
        (Shelf::Secrets, "swarm".to_owned()),
        (Shelf::SigningKeys, "v-1".to_owned()),
        (Shelf::Releases, release.to_string()),
    ] {
        assert!(sealed::under_other_keys(&mut tx, shelf, "vault-a", 10).await.unwrap().is_empty());
        let rows = sealed::under_other_keys(&mut tx, shelf, "vault-b", 10).await.unwrap();
        assert_eq!(rows.len(), 1, "{shelf:?}");
        let (name, old) = &rows[0];
        assert_eq!(*name, row);
        let new = Sealed { key_id: "vault-b".to_owned(), bytes: vec![1, 2, 3] };
        assert!(sealed::rewrap(&mut tx, shelf, name, old, &new).await.unwrap());
        assert!(!sealed::rewrap(&mut tx, shelf, name, old, &new).await.unwrap(), "the second finds it done");
        assert!(sealed::under_other_keys(&mut tx, shelf, "vault-b", 10).await.unwrap().is_empty());
    }
}

pub async fn proofs_are_accepted_once(database: &Database) {
    let mut tx = database.write().await;
    let (one, other) = (fixture::device(), fixture::device());
    assert!(proof::spend(&mut tx, one, "jti", NOW_MS).await.unwrap());
    assert!(!proof::spend(&mut tx, one, "jti", NOW_MS).await.unwrap());
    assert!(proof::spend(&mut tx, other, "jti", NOW_MS).await.unwrap(), "ids are a device's own");
    assert_eq!(proof::delete_expired(&mut tx, NOW_MS + 120_000).await.unwrap(), 0, "still acceptable");
    assert_eq!(proof::delete_expired(&mut tx, NOW_MS + 121_000).await.unwrap(), 2);
}
