//! Accounts.

use matinee_protocol::api::{AccountSummary, Money};
use matinee_protocol::id::AccountId;

use super::{Error, Tx, id, session};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Buys and plays.
    Viewer,
    /// Plays what is free for guests: an account that nobody signs in to again.
    Guest,
    /// Publishes titles.
    Publisher,
    /// Holds and serves ciphertext without a license.
    Carrier,
    /// Runs the server.
    Operator,
    /// Brings its own viewers, by programs with API keys.
    Integrator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Viewer, Self::Guest, Self::Publisher, Self::Carrier, Self::Operator, Self::Integrator];

    /// Its name.
    pub fn text(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Guest => "guest",
            Self::Publisher => "publisher",
            Self::Carrier => "carrier",
            Self::Operator => "operator",
            Self::Integrator => "integrator",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.text() == text).ok_or_else(|| {
            format!("no role {text:?}: use viewer, publisher, carrier, operator or integrator")
        })
    }
}

/// Roles as one column.
fn roles_text(roles: &[Role]) -> String {
    roles.iter().map(|role| role.text()).collect::<Vec<_>>().join(",")
}

/// Roles out of one column.
pub(super) fn parse_roles(text: &str) -> Result<Vec<Role>, Error> {
    text.split(',').map(|role| role.parse().map_err(|_| Error::Corrupt("role"))).collect()
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The name it signs in with, lower case.
    pub email: String,
    /// The name shown.
    pub name: String,
    /// What it may do.
    pub roles: Vec<Role>,
    /// When it was opened.
    pub created_at_ms: i64,
}

impl Account {
    /// As the interface shows it.
    pub fn summary(self, sign_in: SignIn, wallet: Money) -> AccountSummary {
        AccountSummary {
            id: self.id,
            email: self.email,
            email_verified: sign_in.email_verified,
            has_password: sign_in.has_password,
            name: self.name,
            roles: self.roles.iter().map(|role| role.text().to_owned()).collect(),
            wallet,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    email: String,
    name: String,
    roles: String,
    created_at_ms: i64,
}

#[derive(sqlx::FromRow)]
struct RowWithSignIn {
    #[sqlx(flatten)]
    account: Row,
    #[sqlx(flatten)]
    sign_in: SignIn,
}

impl TryFrom<Row> for Account {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: id(&row.id)?,
            email: row.email,
            name: row.name,
            roles: parse_roles(&row.roles)?,
            created_at_ms: row.created_at_ms,
        })
    }
}

/// What stands for a password with which nobody signs in.
pub const NO_PASSWORD: &str = "!";

/// The form in which sign-in names are compared.
pub fn canonical_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Opens an account. False if the sign-in name is taken.
pub async fn insert(tx: &mut Tx, account: &Account, password_hash: &str) -> Result<bool, Error> {
    let inserted = on!(tx, |db| sqlx::query(
        "insert into accounts (id, email, name, password_hash, roles, created_at_ms) \
         values ($1, $2, $3, $4, $5, $6) on conflict (email) do nothing"
    )
    .bind(account.id.to_string())
    .bind(&account.email)
    .bind(&account.name)
    .bind(password_hash)
    .bind(roles_text(&account.roles))
    .bind(account.created_at_ms)
    .execute(db)
    .await?
    .rows_affected());
    Ok(inserted == 1)
}

/// The account with this id.
pub async fn by_id(tx: &mut Tx, account: AccountId) -> Result<Option<Account>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "select id, email, name, roles, created_at_ms from accounts where id = $1"
    )
    .bind(account.to_string())
    .fetch_optional(db)
    .await)?;
    row.map(Account::try_from).transpose()
}

/// The account that signs in with this name.
pub async fn by_email(tx: &mut Tx, email: &str) -> Result<Option<Account>, Error> {
    let row: Option<Row> = on!(tx, |db| sqlx::query_as(
        "select id, email, name, roles, created_at_ms from accounts where email = $1"
    )
    .bind(canonical_email(email))
    .fetch_optional(db)
    .await)?;
    row.map(Account::try_from).transpose()
}

/// The password hash of the account that signs in with this name; none where it has no password.
pub async fn password_hash(tx: &mut Tx, email: &str) -> Result<Option<(AccountId, String)>, Error> {
    let row: Option<(String, String)> = on!(tx, |db| sqlx::query_as(
        "select id, password_hash from accounts where email = $1 and password_hash <> $2"
    )
    .bind(canonical_email(email))
    .bind(NO_PASSWORD)
    .fetch_optional(db)
    .await)?;
    row.map(|(account, hash)| Ok((id(&account)?, hash))).transpose()
}

/// Gives an account another password. False if there is no such account.
pub async fn set_password(tx: &mut Tx, account: AccountId, password_hash: &str) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update accounts set password_hash = $1 where id = $2 and deleted_at_ms is null"
    )
    .bind(password_hash)
    .bind(account.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}

/// Notes that whoever has an account reads the letters to its address. False if that was known before.
pub async fn verify_email(tx: &mut Tx, account: AccountId, now_ms: i64) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query(
        "update accounts set email_verified_at_ms = $1 where id = $2 and email_verified_at_ms is null"
    )
    .bind(now_ms)
    .bind(account.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(changed == 1)
}

/// Whether that is known.
pub async fn is_verified(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    Ok(with_sign_in(tx, account).await?.is_some_and(|(_, sign_in)| sign_in.email_verified))
}

/// What an account is told of how it is signed in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct SignIn {
    /// Whether whoever has it has shown that the letters to its address are theirs.
    pub email_verified: bool,
    /// Whether a password opens it.
    pub has_password: bool,
}

/// An account, and how it is signed in to.
pub async fn with_sign_in(tx: &mut Tx, account: AccountId) -> Result<Option<(Account, SignIn)>, Error> {
    let row: Option<RowWithSignIn> = on!(tx, |db| {
        sqlx::query_as(
        "select id, email, name, roles, created_at_ms, email_verified_at_ms is not null as email_verified, \
         password_hash <> $2 as has_password from accounts where id = $1"
    )
    .bind(account.to_string())
    .bind(NO_PASSWORD)
    .fetch_optional(db)
    .await
    })?;
    row.map(|row| Ok((row.account.try_into()?, row.sign_in))).transpose()
}

/// Takes everything away that opens an account, and ends its login sessions. Whether there was a password, a passkey or an
/// identity elsewhere.
pub async fn end_ways_in(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    let had = ways_in(tx, account).await? != WaysIn::default();
    set_password(tx, account, NO_PASSWORD).await?;
    for sql in ["delete from passkeys where account_id = $1", "delete from identities where account_id = $1"]
    {
        on!(tx, |db| sqlx::query(sql).bind(account.to_string()).execute(db).await.map(drop))?;
    }
    // The last: who is signing in with one of those waits for it, or is found here.
    session::delete_all(tx, account).await?;
    Ok(had)
}

/// What was registered to open an account, whether it is served any longer or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WaysIn {
    /// A password.
    pub password: bool,
    /// A passkey.
    pub passkey: bool,
    /// Identities elsewhere: their issuers.
    pub issuers: Vec<String>,
}

/// What opens an account.
pub async fn ways_in(tx: &mut Tx, account: AccountId) -> Result<WaysIn, Error> {
    let (password, passkey): (bool, bool) = on!(tx, |db| sqlx::query_as(
        "select exists (select 1 from accounts where id = $1 and password_hash <> $2), \
         exists (select 1 from passkeys where account_id = $1)"
    )
    .bind(account.to_string())
    .bind(NO_PASSWORD)
    .fetch_one(db)
    .await)?;
    let issuers: Vec<(String,)> =
        on!(tx, |db| sqlx::query_as("select distinct issuer from identities where account_id = $1")
            .bind(account.to_string())
            .fetch_all(db)
            .await)?;
    Ok(WaysIn { password, passkey, issuers: issuers.into_iter().map(|(issuer,)| issuer).collect() })
}

/// Holds an account's row until the transaction ends, so that what is counted for it stays so. False if there is none.
pub async fn hold(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    let held = on!(tx, |db| sqlx::query("update accounts set roles = roles where id = $1")
        .bind(account.to_string())
        .execute(db)
        .await?
        .rows_affected());
    Ok(held == 1)
}

/// The same, if it is still open.
pub async fn hold_open(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    let sql = "update accounts set roles = roles where id = $1 and deleted_at_ms is null";
    let held = on!(tx, |db| sqlx::query(sql).bind(account.to_string()).execute(db).await?.rows_affected());
    Ok(held == 1)
}

/// The same as [`hold`], if it still has this password.
pub async fn hold_with_password(tx: &mut Tx, account: AccountId, password_hash: &str) -> Result<bool, Error> {
    let sql = "update accounts set roles = roles where id = $1 and password_hash = $2";
    let held = on!(tx, |db| sqlx::query(sql)
        .bind(account.to_string())
        .bind(password_hash)
        .execute(db)
        .await?
        .rows_affected());
    Ok(held == 1)
}

/// How many guests were let in since then.
pub async fn guests_since(tx: &mut Tx, since_ms: i64) -> Result<i64, Error> {
    let (count,): (i64,) = on!(tx, |db| sqlx::query_as(
        "select count(*) from accounts where roles = 'guest' and created_at_ms > $1"
    )
    .bind(since_ms)
    .fetch_one(db)
    .await)?;
    Ok(count)
}

/// Gives an account other roles. False if there is no such account.
pub async fn set_roles(tx: &mut Tx, account: AccountId, roles: &[Role]) -> Result<bool, Error> {
    let changed = on!(tx, |db| sqlx::query("update accounts set roles = $1 where id = $2")
        .bind(roles_text(roles))
        .bind(account.to_string())
        .execute(db)
        .await?
        .rows_affected());
    Ok(changed == 1)
}

/// Removes an account that has no title. Only for one that was made a moment ago and has nothing else either.
pub async fn delete_unused(tx: &mut Tx, account: AccountId) -> Result<bool, Error> {
    let removed = on!(tx, |db| sqlx::query(
        "delete from accounts where id = $1 and not exists (select 1 from titles where publisher_id = $1)"
    )
    .bind(account.to_string())
    .execute(db)
    .await?
    .rows_affected());
    Ok(removed == 1)
}
