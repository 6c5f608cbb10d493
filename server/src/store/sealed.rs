//! Secrets as rows hold them, and the re-wrapping of every one of them when the vault key changes.

use super::{Error, Tx};

/// A secret sealed by the vault. What it says is useless without the vault key of that id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which vault key sealed it.
    pub key_id: String,
    /// Nonce and ciphertext.
    pub bytes: Vec<u8>,
}

/// The three tables that hold sealed secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// Release secrets, by release id.
    Releases,
    /// Signing keys, by kid.
    SigningKeys,
    /// The server's own secrets, by name.
    Secrets,
}

impl Shelf {
    /// Every shelf.
    pub const ALL: [Self; 3] = [Self::Releases, Self::SigningKeys, Self::Secrets];

    /// The name under which the vault seals the secret of a row.
    pub fn vault_name(self, row: &str) -> String {
        let table = match self {
            Self::Releases => "releases",
            Self::SigningKeys => "signing_keys",
            Self::Secrets => "secrets",
        };
        format!("{table}/{row}")
    }
}

/// Secrets on `shelf` that another vault key than `key_id` sealed: row key and secret, at most `rows_max`.
pub async fn under_other_keys(
    tx: &mut Tx,
    shelf: Shelf,
    key_id: &str,
    rows_max: i64,
) -> Result<Vec<(String, Sealed)>, Error> {
    let sql = match shelf {
        Shelf::Releases => {
            "select id, secret_key_id, secret from releases \
             where secret is not null and secret_key_id <> $1 order by id limit $2"
        }
        Shelf::SigningKeys => {
            "select kid, secret_key_id, secret from signing_keys where secret_key_id <> $1 order by kid limit $2"
        }
        Shelf::Secrets => {
            "select name, secret_key_id, secret from secrets where secret_key_id <> $1 order by name limit $2"
        }
    };
    let rows: Vec<(String, String, Vec<u8>)> =
        on!(tx, |db| sqlx::query_as(sql).bind(key_id).bind(rows_max).fetch_all(db).await)?;
    Ok(rows.into_iter().map(|(row, key_id, bytes)| (row, Sealed { key_id, bytes })).collect())
}

/// Puts the same secret back under a new wrapping. False if another wrapping got there first.
pub async fn rewrap(tx: &mut Tx, shelf: Shelf, row: &str, old: &Sealed, new: &Sealed) -> Result<bool, Error> {
    let sql = match shelf {
        Shelf::Releases => {
            "update releases set secret = $1, secret_key_id = $2 where id = $3 and secret_key_id = $4"
        }
        Shelf::SigningKeys => {
            "update signing_keys set secret = $1, secret_key_id = $2 where kid = $3 and secret_key_id = $4"
        }
        Shelf::Secrets => {
            "update secrets set secret = $1, secret_key_id = $2 where name = $3 and secret_key_id = $4"
        }
    };
    let changed = on!(tx, |db| sqlx::query(sql)
        .bind(new.bytes.as_slice())
        .bind(&new.key_id)
        .bind(row)
        .bind(&old.key_id)
        .execute(db)
        .await?
        .rows_affected());
    Ok(changed == 1)
}

/// The server's secret of this name.
pub async fn secret(tx: &mut Tx, name: &str) -> Result<Option<Sealed>, Error> {
    let row: Option<(String, Vec<u8>)> =
        on!(tx, |db| sqlx::query_as("select secret_key_id, secret from secrets where name = $1")
            .bind(name)
            .fetch_optional(db)
            .await)?;
    Ok(row.map(|(key_id, bytes)| Sealed { key_id, bytes }))
}

/// Keeps a secret under a name that has none yet. False if there is one.
pub async fn insert_secret(tx: &mut Tx, name: &str, secret: &Sealed, now_ms: i64) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into secrets (name, secret, secret_key_id, created_at_ms) values ($1, $2, $3, $4) \
         on conflict (name) do nothing"
    )
    .bind(name)
    .bind(secret.bytes.as_slice())
    .bind(&secret.key_id)
    .bind(now_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}
