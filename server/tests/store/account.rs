//! Accounts, logins and devices.

use matinee_protocol::id::AccountId;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::{device, session};

use crate::Database;
use crate::fixture::{self, NOW_MS, fresh};

pub async fn accounts_sign_in_and_out(database: &Database) {
    let mut tx = database.write().await;
    let id = fixture::account(&mut tx, "ana@example.org", &[Role::Viewer, Role::Publisher]).await;
    let mut again = Account {
        id: AccountId::from_bytes(fresh()),
        email: "ana@example.org".to_owned(),
        name: "Ana".to_owned(),
        roles: vec![Role::Viewer],
        created_at_ms: NOW_MS,
    };
    assert!(!account::insert(&mut tx, &again, "other").await.unwrap(), "an email signs in one account");
    again.email = "ana2@example.org".to_owned();
    assert!(account::insert(&mut tx, &again, "other").await.unwrap());

    let found = account::by_id(&mut tx, id).await.unwrap().unwrap();
    assert_eq!(found.roles, [Role::Viewer, Role::Publisher]);
    assert_eq!(account::by_email(&mut tx, " ANA@example.org ").await.unwrap(), Some(found));
    assert_eq!(
        account::password_hash(&mut tx, "ana@example.org").await.unwrap(),
        Some((id, "hash".to_owned()))
    );
    assert_eq!(account::password_hash(&mut tx, "nobody@example.org").await.unwrap(), None);
    assert!(account::set_roles(&mut tx, id, &[Role::Operator]).await.unwrap());
    assert!(!account::set_roles(&mut tx, AccountId::from_bytes(fresh()), &[Role::Viewer]).await.unwrap());

    let hash = session::hash("a token");
    session::insert(&mut tx, &hash, id, NOW_MS, NOW_MS + 100).await.unwrap();
    let signed_in = Some((id, vec![Role::Operator]));
    assert_eq!(session::by_hash(&mut tx, &hash, NOW_MS + 99).await.unwrap(), signed_in);
    assert_eq!(session::by_hash(&mut tx, &hash, NOW_MS + 100).await.unwrap(), None, "a login runs out");
    assert_eq!(session::by_hash(&mut tx, &session::hash("other"), NOW_MS).await.unwrap(), None);
    assert_eq!(session::delete_expired(&mut tx, NOW_MS + 99).await.unwrap(), 0);
    session::delete(&mut tx, &hash).await.unwrap();
    assert_eq!(session::by_hash(&mut tx, &hash, NOW_MS).await.unwrap(), None);
    session::insert(&mut tx, &hash, id, NOW_MS, NOW_MS + 100).await.unwrap();
    assert_eq!(session::delete_expired(&mut tx, NOW_MS + 100).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(account::by_id(&mut database.read().await, id).await.unwrap().is_some());
}

pub async fn devices_are_noted_once(database: &Database) {
    let mut tx = database.write().await;
    let id = fixture::account(&mut tx, "ana@example.org", &[Role::Viewer]).await;
    let phone = fixture::device();
    device::seen(&mut tx, id, phone, NOW_MS).await.unwrap();
    device::seen(&mut tx, id, phone, NOW_MS + 1).await.unwrap();
    device::seen(&mut tx, id, fixture::device(), NOW_MS).await.unwrap();
    assert_eq!(device::count(&mut tx, id).await.unwrap(), 2);
}
