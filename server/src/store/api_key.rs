//! API keys of integrators. The key itself is kept nowhere, only its hash and the beginning that tells keys apart.

use matinee_protocol::encoding::sha256;
use matinee_protocol::id::AccountId;

use super::account::{Role, parse_roles};
use super::page::{Asked, Page, Position};
use super::{Error, Tx, id};

/// What a key may be used for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Making viewers, showing and closing them.
    Viewers,
    /// Granting entitlements and taking them back.
    Entitlements,
    /// Embed tokens.
    Embed,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Viewers, Self::Entitlements, Self::Embed];

    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Viewers => "viewers",
            Self::Entitlements => "entitlements",
            Self::Embed => "embed",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.text() == text);
        found.ok_or_else(|| format!("no scope {text:?}: use viewers, entitlements or embed"))
    }
}

/// A key, without what it is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// When it was made, in Unix milliseconds.
    pub created_at_ms: i64,
    /// Until when it holds, in Unix milliseconds.
    pub expires_at_ms: i64,
    /// When it was revoked, in Unix milliseconds.
    pub revoked_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    account_id: String,
    name: String,
    prefix: String,
    scopes: String,
    created_at_ms: i64,
    expires_at_ms: i64,
    revoked_at_ms: Option<i64>,
}

impl TryFrom<Row> for ApiKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let scopes = row.scopes.split(',').map(|scope| scope.parse().map_err(|_| Error::Corrupt("scope")));
        Ok(Self {
            account: id(&row.account_id)?,
            scopes: scopes.collect::<Result<_, _>>()?,
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            created_at_ms: row.created_at_ms,
            expires_at_ms: row.expires_at_ms,
            revoked_at_ms: row.revoked_at_ms,
        })
    }
}

/// What is kept of a key. A plain hash is enough: the key holds 32 random bytes.
pub fn hash(key: &str) -> [u8; 32] {
    sha256(key.as_bytes())
}

/// Keeps a key.
pub async fn insert(tx: &mut Tx, key: &ApiKey, key_hash: &[u8; 32]) -> Result<(), Error> {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.text()).collect();
    on!(tx, |db| sqlx::query(
        "insert into api_keys (id, account_id, name, prefix, key_hash, scopes, created_at_ms, expires_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    )
    .bind(&key.id)
    .bind(key.account.to_string())
    .bind(&key.name)
    .bind(&key.prefix)
    .bind(key_hash.as_slice())
    .bind(scopes.join(","))
    .bind(key.created_at_ms)
    .bind(key.expires_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// The key of this hash with its owner's roles, if it holds now.
pub async fn by_hash(
    tx: &mut Tx,
    key_hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<(ApiKey, Vec<Role>)>, Error> {
    #[derive(sqlx::FromRow)]
    struct Owned {
        #[sqlx(flatten)]
        key: Row,
        roles: String,
    }
    let row: Option<Owned> = on!(tx, |db| {
        sqlx::query_as(
        "select k.id, k.account_id, k.name, k.prefix, k.scopes, k.created_at_ms, k.expires_at_ms, k.revoked_at_ms, \
         a.roles from api_keys k join accounts a on a.id = k.account_id \
         where k.key_hash = $1 and k.expires_at_ms > $2 and k.revoked_at_ms is null"
    )
    .bind(key_hash.as_slice())
    .bind(now_ms)
    .fetch_optional(db)
    .await
    })?;
    row.map(|row| Ok((row.key.try_into()?, parse_roles(&row.roles)?))).transpose()
}

/// The keys of an account, newest first, those that hold no more too.
pub async fn by_account(tx: &mut Tx, account: AccountId, asked: &Asked) -> Result<Page<ApiKey>, Error> {
    let (at, after) = asked.after();
    let rows: Vec<Row> = on!(tx, |db| {
        sqlx::query_as(
        "select id, account_id, name, prefix, scopes, created_at_ms, expires_at_ms, revoked_at_ms from api_keys \
         where account_id = $1 and (created_at_ms, id) < ($3, $4) order by created_at_ms desc, id desc limit $2"
    )
    .bind(account.to_string())
    .bind(asked.rows())
    .bind(at)
    .bind(after)
    .fetch_all(db)
    .await
    })?;
    let rows = rows.into_iter().map(ApiKey::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(asked.page(rows, |row| Position { at: row.created_at_ms, id: row.id.clone() }))
}

/// Revokes a key of an account. False if there is none or it was revoked before.
pub async fn revoke(tx: &mut Tx, account: AccountId, key: &str, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| {
        sqlx::query(
        "update api_keys set revoked_at_ms = $1 where id = $2 and account_id = $3 and revoked_at_ms is null"
    )
    .bind(now_ms)
    .bind(key)
    .bind(account.to_string())
    .execute(db)
    .await?
    .rows_affected()
    });
    Ok(changed == 1)
}
