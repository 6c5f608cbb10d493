//! The audit trail, API keys, embed tokens, and accounts that are exported and closed.

use std::collections::BTreeSet;

use matinee_server::store::account::Role;
use matinee_server::store::api_key::{self, ApiKey, Scope};
use matinee_server::store::audit::{self, Act, Actor};
use matinee_server::store::ledger::Holder;
use matinee_server::store::page::Asked;
use matinee_server::store::{Store, Tx, account, ledger, session, viewer, whole};
use serde_json::json;

use crate::Database;
use crate::fixture::{self, NOW_MS};

fn act(subject: &str) -> Act<'static> {
    Act {
        actor: Actor::Command,
        action: "thing.do",
        subject: subject.to_owned(),
        detail: json!({ "views": 5 }),
        request_id: Some("r"),
    }
}

/// Runs a statement by hand, and says what the database said.
async fn by_hand(database: &Database, sql: &'static str) -> Result<u64, sqlx::Error> {
    match &mut database.write().await {
        Tx::Sqlite(link) => {
            let db = link.settled().await.unwrap();
            sqlx::query(sql).execute(db).await.map(|done| done.rows_affected())
        }
        Tx::Postgres(link) => sqlx::query(sql).execute(&mut **link).await.map(|done| done.rows_affected()),
    }
}

pub async fn the_trail_only_grows(database: &Database) {
    let mut tx = database.write().await;
    for (at, subject) in [(0, "a"), (1, "b"), (1, "a")] {
        audit::record(&mut tx, &act(subject), NOW_MS + at).await.unwrap();
    }
    tx.commit().await.unwrap();
    for sql in ["update audit set actor = 'nobody'", "delete from audit where subject = 'a'"] {
        let refused = by_hand(database, sql).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{sql}: {refused}");
    }
    let mut tx = database.read().await;
    let whole = audit::listed(&mut tx, None, &Asked::first(10)).await.unwrap();
    assert_eq!((whole.rows.len(), &whole.next), (3, &None));
    assert_eq!(whole.rows[0].detail, json!({ "views": 5 }));
    let mut asked = Asked::first(1);
    let mut seen = Vec::new();
    loop {
        let page = audit::listed(&mut tx, None, &asked).await.unwrap();
        seen.extend(page.rows);
        asked.after = page.next;
        if asked.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, whole.rows, "one by one, each once");
    assert_eq!(audit::listed(&mut tx, Some("a"), &Asked::first(10)).await.unwrap().rows.len(), 2);
    // What is rolled back was not done.
    drop(tx);
    let mut tx = database.write().await;
    audit::record(&mut tx, &act("c"), NOW_MS).await.unwrap();
    drop(tx);
    let rows = audit::listed(&mut database.read().await, Some("c"), &Asked::first(10)).await.unwrap().rows;
    assert!(rows.is_empty());
}

pub async fn keys_and_tokens_hold_as_long_as_they_say(database: &Database) {
    let mut tx = database.write().await;
    let shop = fixture::account(&mut tx, "shop@example.org", &[Role::Integrator]).await;
    let ana = fixture::account(&mut tx, "ana@example.org", &[Role::Viewer]).await;
    let key = ApiKey {
        id: "k".to_owned(),
        account: shop,
        name: "shop".to_owned(),
        prefix: "mtn_1".to_owned(),
        scopes: vec![Scope::Viewers, Scope::Embed],
        created_at_ms: NOW_MS,
        expires_at_ms: NOW_MS + 100,
        revoked_at_ms: None,
    };
    let hash = api_key::hash("mtn_1_secret");
    api_key::insert(&mut tx, &key, &hash).await.unwrap();
    let held = Some((key.clone(), vec![Role::Integrator]));
    assert_eq!(api_key::by_hash(&mut tx, &hash, NOW_MS + 99).await.unwrap(), held);
    assert_eq!(api_key::by_hash(&mut tx, &hash, NOW_MS + 100).await.unwrap(), None, "it runs out");
    assert_eq!(api_key::by_hash(&mut tx, &api_key::hash("other"), NOW_MS).await.unwrap(), None);
    assert!(!api_key::revoke(&mut tx, ana, "k", NOW_MS).await.unwrap(), "somebody else's");
    assert!(api_key::revoke(&mut tx, shop, "k", NOW_MS + 1).await.unwrap());
    assert!(!api_key::revoke(&mut tx, shop, "k", NOW_MS + 2).await.unwrap());
    assert_eq!(api_key::by_hash(&mut tx, &hash, NOW_MS).await.unwrap(), None);
    let listed = api_key::by_account(&mut tx, shop, &Asked::first(10)).await.unwrap();
    assert_eq!(listed.rows, [ApiKey { revoked_at_ms: Some(NOW_MS + 1), ..key }]);

    assert!(viewer::insert(&mut tx, shop, "customer-1", ana, NOW_MS).await.unwrap());
    let bob = fixture::account(&mut tx, "bob@example.org", &[Role::Viewer]).await;
    assert!(!viewer::insert(&mut tx, shop, "customer-1", bob, NOW_MS).await.unwrap());
    assert_eq!(viewer::by_reference(&mut tx, shop, "customer-1").await.unwrap(), Some(ana));
    assert_eq!(viewer::reference_of(&mut tx, shop, ana).await.unwrap().as_deref(), Some("customer-1"));
    assert_eq!(viewer::reference_of(&mut tx, bob, ana).await.unwrap(), None);

    let publisher = fixture::account(&mut tx, "studio@example.org", &[Role::Publisher]).await;
    fixture::plan(&mut tx, publisher, None).await;
    let title =
        matinee_server::store::title::listed(&mut tx, None, &Asked::first(1)).await.unwrap().rows[0].id;
    let hash = viewer::token_hash("a token");
    viewer::insert_token(&mut tx, &hash, ana, title, (NOW_MS, NOW_MS + 10)).await.unwrap();
    assert_eq!(viewer::take_token(&mut tx, &hash, NOW_MS + 10).await.unwrap(), None, "it has run out");
    assert_eq!(viewer::take_token(&mut tx, &hash, NOW_MS + 9).await.unwrap(), Some((ana, title)));
    assert_eq!(viewer::take_token(&mut tx, &hash, NOW_MS + 9).await.unwrap(), None, "once");
    viewer::insert_token(&mut tx, &hash, ana, title, (NOW_MS, NOW_MS + 10)).await.unwrap();
    assert_eq!(viewer::delete_expired_tokens(&mut tx, NOW_MS + 10).await.unwrap(), 1);
}

pub async fn an_account_is_exported_and_closed(database: &Database) {
    let mut tx = database.write().await;
    let (bought, _) = fixture::rented(&mut tx, Some(3)).await;
    let id = bought.account_id;
    session::insert(&mut tx, &session::hash("t"), id, NOW_MS, NOW_MS + 100).await.unwrap();
    session::describe(&mut tx, &session::hash("t"), "Browser/1").await.unwrap();
    let logins = session::by_account(&mut tx, id, NOW_MS).await.unwrap();
    assert_eq!(logins.len(), 1);
    assert_eq!(logins[0].agent.as_deref(), Some("Browser/1"));
    assert!(session::by_account(&mut tx, id, NOW_MS + 100).await.unwrap().is_empty());
    let exported = whole::export(&mut tx, id).await.unwrap();
    assert_eq!(exported.len(), whole::EXPORTED.len());
    assert_eq!(exported["purchases"][0]["price_minor"], 50);
    assert_eq!(exported["accounts"][0]["email"], "viewer@example.org");
    assert_eq!(exported["ledger_entries"].as_array().unwrap().len(), 2);
    assert_eq!(exported["entitlements"][0]["renews"], false, "a truth value on either database");
    // What is owed is in the books under a name of its own.
    let owed = ledger::Journal { id: "owed", kind: "dispute", reference: "d", at_ms: NOW_MS };
    let entries = vec![(Holder::Debt(id), -20), (Holder::Tax("DE".to_owned()), 20)];
    assert!(ledger::post(&mut tx, owed, entries, "USD").await.unwrap());
    for (actor, action) in [(Actor::Account(id), "title.create"), (Actor::Command, "account.roles")] {
        let act = Act { actor, action, subject: id.to_string(), detail: json!({}), request_id: None };
        audit::record(&mut tx, &act, NOW_MS).await.unwrap();
    }
    let exported = whole::export(&mut tx, id).await.unwrap();
    let money: Vec<_> =
        exported["ledger_entries"].as_array().unwrap().iter().map(|row| &row["amount_minor"]).collect();
    assert!(money.len() == 3 && money.contains(&&json!(-20)), "{money:?}");
    let actors: Vec<_> = exported["audit"].as_array().unwrap().iter().map(|row| &row["actor"]).collect();
    assert_eq!(actors.len(), 2);
    assert!(actors.contains(&&json!(id)) && actors.contains(&&json!(null)), "{actors:?}");

    let before = ledger::balances(&mut tx).await.unwrap();
    assert!(!whole::is_needed(&mut tx, id).await.unwrap());
    assert_eq!(whole::standing(&mut tx, id).await.unwrap(), [bought.id.to_string()]);
    assert!(whole::close(&mut tx, id, NOW_MS).await.unwrap());
    assert!(!whole::close(&mut tx, id, NOW_MS).await.unwrap(), "once");
    assert_eq!(ledger::balances(&mut tx).await.unwrap(), before);
    let closed = account::by_id(&mut tx, id).await.unwrap().unwrap();
    assert_eq!(closed.email, format!("closed-{id}@accounts.invalid"));
    assert_eq!(account::by_email(&mut tx, "viewer@example.org").await.unwrap(), None);
    assert!(session::by_account(&mut tx, id, NOW_MS).await.unwrap().is_empty());
    let exported = whole::export(&mut tx, id).await.unwrap();
    assert!(!serde_json::Value::Object(exported).to_string().contains("viewer@example.org"));
}

/// Every table that leads to an account, by however many others, is exported or says why it is not.
#[tokio::test]
async fn every_table_about_an_account_is_exported() {
    let database = Database::sqlite().await;
    let Store::Sqlite { readers, .. } = &database.store else { panic!("not SQLite") };
    let links: Vec<(String, String)> = sqlx::query_as(
        "select distinct t.name, f.\"table\" from sqlite_master t join pragma_foreign_key_list(t.name) f \
         where t.type = 'table' order by t.name",
    )
    .fetch_all(&mut *readers.lend().await.unwrap())
    .await
    .unwrap();
    // Those two name an account without a key.
    let mut about: BTreeSet<&str> = ["accounts", "audit", "ledger_entries"].into();
    while let Some((table, _)) =
        links.iter().find(|(table, of)| about.contains(of.as_str()) && !about.contains(table.as_str()))
    {
        about.insert(table);
    }
    let told: BTreeSet<_> =
        whole::EXPORTED.iter().chain(whole::NOT_EXPORTED).map(|(table, _)| *table).collect();
    let missing: Vec<_> = about.difference(&told).collect();
    assert!(missing.is_empty(), "add to store::whole: {missing:?}");
    assert!(about.len() > 30, "{about:?}");
    database.store.close().await;
}
