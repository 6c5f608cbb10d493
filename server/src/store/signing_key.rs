//! Signing keys, sealed by the vault.

use matinee_protocol::jws::KeyUse;

use super::sealed::Sealed;
use super::{Error, Tx};

/// What a key does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Current,
    /// Published until what it signed has run out.
    Retired,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retired => "retired",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        [Self::Next, Self::Current, Self::Retired]
            .into_iter()
            .find(|state| state.text() == text)
            .ok_or(Error::Corrupt("signing key state"))
    }
}

/// A signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// Its public name.
    pub kid: String,
    /// What it signs.
    pub key_use: KeyUse,
    /// Whether it signs.
    pub state: State,
    /// The Ed25519 public key.
    pub public: [u8; 32],
    /// The seed, sealed.
    pub secret: Sealed,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it stopped signing.
    pub retired_at_ms: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    kid: String,
    key_use: String,
    state: String,
    public_key: Vec<u8>,
    secret: Vec<u8>,
    secret_key_id: String,
    created_at_ms: i64,
    retired_at_ms: Option<i64>,
}

impl TryFrom<Row> for SigningKey {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            kid: row.kid,
            key_use: parse_use(&row.key_use)?,
            state: State::parse(&row.state)?,
            public: row.public_key.try_into().map_err(|_| Error::Corrupt("public key"))?,
            secret: Sealed { key_id: row.secret_key_id, bytes: row.secret },
            created_at_ms: row.created_at_ms,
            retired_at_ms: row.retired_at_ms,
        })
    }
}

fn use_text(key_use: KeyUse) -> &'static str {
    match key_use {
        KeyUse::View => "view",
        KeyUse::Release => "release",
    }
}

fn parse_use(text: &str) -> Result<KeyUse, Error> {
    [KeyUse::View, KeyUse::Release]
        .into_iter()
        .find(|key_use| use_text(*key_use) == text)
        .ok_or(Error::Corrupt("signing key use"))
}

/// Every key, oldest first.
pub async fn all(tx: &mut Tx) -> Result<Vec<SigningKey>, Error> {
    let rows: Vec<Row> = on!(tx, |db| sqlx::query_as(
        "select kid, key_use, state, public_key, secret, secret_key_id, created_at_ms, retired_at_ms \
         from signing_keys order by created_at_ms, kid"
    )
    .fetch_all(db)
    .await)?;
    rows.into_iter().map(SigningKey::try_from).collect()
}

/// The newest key of this use in this state.
pub async fn by_state(tx: &mut Tx, key_use: KeyUse, state: State) -> Result<Option<SigningKey>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "select kid, key_use, state, public_key, secret, secret_key_id, created_at_ms, retired_at_ms \
         from signing_keys where key_use = $1 and state = $2 order by created_at_ms desc, kid limit 1"
    )
    .bind(use_text(key_use))
    .bind(state.text())
    .fetch_optional(db)
    .await)?;
    row.map(SigningKey::try_from).transpose()
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, key: &SigningKey) -> Result<(), Error> {
    on!(tx, |db| sqlx::query(
        "insert into signing_keys \
         (kid, key_use, state, public_key, secret, secret_key_id, created_at_ms, retired_at_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)"
    )
    .bind(&key.kid)
    .bind(use_text(key.key_use))
    .bind(key.state.text())
    .bind(key.public.as_slice())
    .bind(key.secret.bytes.as_slice())
    .bind(&key.secret.key_id)
    .bind(key.created_at_ms)
    .bind(key.retired_at_ms)
    .execute(db)
    .await
    .map(drop))?;
    Ok(())
}

/// Moves a key to another state.
pub async fn set_state(
    tx: &mut Tx,
    kid: &str,
    state: State,
    retired_at_ms: Option<i64>,
) -> Result<(), Error> {
    on!(tx, |db| sqlx::query("update signing_keys set state = $1, retired_at_ms = $2 where kid = $3")
        .bind(state.text())
        .bind(retired_at_ms)
        .bind(kid)
        .execute(db)
        .await
        .map(drop))?;
    Ok(())
}
