//! Registrations and sign-ins under way: what the server must remember between asking and being answered, once and for
//! minutes. Kept here and not in memory, so that a restart or another server goes on with them.

use matinee_protocol::encoding::sha256;
use matinee_protocol::id::AccountId;

use super::{Error, Tx, id};

/// Ceremonies under way at once.
pub const CEREMONIES_MAX: i64 = 10_000;

/// What a ceremony is for: one of another kind does not take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A passkey for a signed-in account.
    PasskeyRegistration,
    /// A passkey with which an account is opened.
    PasskeySignUp,
    /// A sign-in with a passkey.
    PasskeySignIn,
    /// A sign-in at a provider of identities.
    Provider,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Self::PasskeyRegistration => "passkey_registration",
            Self::PasskeySignUp => "passkey_sign_up",
            Self::PasskeySignIn => "passkey_sign_in",
            Self::Provider => "provider",
        }
    }
}

/// A ceremony under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// What it is for.
    pub kind: Kind,
    /// Whose it is, where that is known before it ends.
    pub account: Option<AccountId>,
    /// What is remembered.
    pub state: String,
}

/// What is kept of a ceremony's token. A plain hash is enough: the token is 32 random bytes.
pub fn hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

/// Keeps a ceremony. False if [`CEREMONIES_MAX`] are under way.
pub async fn insert(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    ceremony: &Ceremony,
    (now_ms, expires_at_ms): (i64, i64),
) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into ceremonies (token_hash, kind, account_id, state, created_at_ms, expires_at_ms) \
         select $1, $2, $3, $4, $5, $6 where (select count(*) from ceremonies where expires_at_ms > $5) < $7"
    )
    .bind(token_hash.as_slice())
    .bind(ceremony.kind.text())
    .bind(ceremony.account.map(|account| account.to_string()))
    .bind(&ceremony.state)
    .bind(now_ms)
    .bind(expires_at_ms)
    .bind(CEREMONIES_MAX)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}

/// Takes a ceremony, once: none if it was taken, has run out or is of another kind.
pub async fn take(
    tx: &mut Tx,
    token_hash: &[u8; 32],
    kind: Kind,
    now_ms: i64,
) -> Result<Option<Ceremony>, Error> {
    let row: Option<(Option<String>, String)> = on!(tx, |db| sqlx::query_as(
        "delete from ceremonies where token_hash = $1 and kind = $2 and expires_at_ms > $3 \
         returning account_id, state"
    )
    .bind(token_hash.as_slice())
    .bind(kind.text())
    .bind(now_ms)
    .fetch_optional(db)
    .await)?;
    let ceremony = |(account, state): (Option<String>, String)| {
        let account = account.as_deref().map(id).transpose()?;
        Ok(Ceremony { kind, account, state })
    };
    row.map(ceremony).transpose()
}

/// Forgets ceremonies that nobody ended.
pub async fn delete_expired(tx: &mut Tx, now_ms: i64) -> Result<u64, Error> {
    Ok(on!(tx, |db| sqlx::query("delete from ceremonies where expires_at_ms <= $1")
        .bind(now_ms)
        .execute(db)
        .await?
        .rows_affected()))
}
