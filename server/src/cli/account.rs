//! `matinee account`.

use matinee_protocol::id::AccountId;
use serde_json::json;

use super::{Error, account_key, account_named, account_show, note, now_ms, open_store, password, print};
use crate::api::{account_close, account_create};
use crate::config::Config;
use crate::password::{Password, Passwords};
use crate::random;
use crate::store::account::{self, Account, Role, canonical_email};
use crate::store::audit::Actor;
use crate::store::{session, sign_in_link, viewer};

/// Accounts.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Opens an account.
    Add {
        /// The email address it signs in with.
        #[arg(long)]
        email: String,
        /// The name shown; the address's own if not given.
        #[arg(long)]
        name: Option<String>,
        /// viewer, publisher, carrier, operator or integrator; may be given more than once. Everybody is a viewer.
        #[arg(long = "role")]
        roles: Vec<Role>,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Sets an account's roles.
    Roles {
        /// Its id or email address.
        account: String,
        /// viewer, publisher, carrier, operator or integrator; may be given more than once.
        #[arg(long = "role", required = true)]
        roles: Vec<Role>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows an account: its roles, what it bought, what it may play, what it paid. Purchases are what `refund` takes,
    /// entitlements what `revoke` takes.
    Show {
        /// Its id or email address.
        account: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Gives an account another password, and ends its login sessions: for whoever forgot theirs and is sent no link.
    Password {
        /// Its id or email address.
        account: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Closes an account; the books keep what it paid and used, under an id that names nobody.
    Close {
        /// Its id or email address.
        account: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// API keys of an integrator.
    #[command(subcommand)]
    Key(account_key::Command),
}

pub(super) async fn run(command: Command, config: &Config) -> Result<(), Error> {
    match command {
        Command::Add { email, name, roles, password_stdin, json } => {
            let name = name.unwrap_or_else(|| email.split('@').next().unwrap_or_default().to_owned());
            add(config, (&email, name, roles), password_stdin, json).await
        }
        Command::Password { account, password_stdin } => set_password(config, &account, password_stdin).await,
        Command::Close { account, json } => close(config, &account, json).await,
        Command::Roles { account, roles, json } => {
            let store = open_store(config).await?;
            let mut tx = store.write().await?;
            let found = account_named(&mut tx, &account).await?;
            let roles = with_viewer(roles);
            account::set_roles(&mut tx, found, &roles).await?;
            let detail = json!({ "roles": role_names(&roles) });
            note(&mut tx, "account.roles", &found, detail, now_ms()).await?;
            tx.commit().await?;
            store.close().await;
            let names = role_names(&roles);
            let data = json!({ "account": found, "roles": names });
            print(json, &data, &format!("{found} is {}", names.join(", ")))
        }
        Command::Show { account, json } => account_show::run(&account, json, config).await,
        Command::Key(command) => account_key::run(command, config).await,
    }
}

/// Opens an account.
async fn add(
    config: &Config,
    (email, name, roles): (&str, String, Vec<Role>),
    from_stdin: bool,
    json: bool,
) -> Result<(), Error> {
    account_create::check(email, &name).or_else(|problem| Error::refused(problem.detail.into_owned()))?;
    let store = open_store(config).await?;
    let taken = || format!("there is an account {email} already");
    let mut tx = store.read().await?;
    if account::by_email(&mut tx, email).await?.is_some() {
        return Error::refused(taken());
    }
    drop(tx);
    let hash = Passwords::new(1).hash(Password::new(password(from_stdin, email)?)).await?;
    let now_ms = now_ms();
    let added = Account {
        id: AccountId::from_bytes(random::id(now_ms)),
        email: canonical_email(email),
        name,
        roles: with_viewer(roles),
        created_at_ms: now_ms,
    };
    let mut tx = store.write().await?;
    if !account::insert(&mut tx, &added, &hash).await? {
        return Error::refused(taken());
    }
    // The operator answers for it.
    account::verify_email(&mut tx, added.id, now_ms).await?;
    let detail = json!({ "roles": role_names(&added.roles) });
    note(&mut tx, "account.add", &added.id, detail, now_ms).await?;
    tx.commit().await?;
    store.close().await;
    print(json, &json!({ "account": added.id, "email": added.email }), &format!("added {}", added.id))
}

/// The way back for operators and publishers, to whom no link may be sent.
async fn set_password(config: &Config, named: &str, from_stdin: bool) -> Result<(), Error> {
    let store = open_store(config).await?;
    let mut tx = store.read().await?;
    let owner = account_named(&mut tx, named).await?;
    let found = account::by_id(&mut tx, owner).await?;
    let is_guest = found.is_some_and(|found| found.roles.contains(&Role::Guest));
    if is_guest || viewer::is_integrators(&mut tx, owner).await? {
        return Error::refused(format!(
            "nobody signs in to {named}: it is a guest or an integrator's viewer"
        ));
    }
    drop(tx);
    let hash = Passwords::new(1).hash(Password::new(password(from_stdin, named)?)).await?;
    let now_ms = now_ms();
    let mut tx = store.write().await?;
    account::hold(&mut tx, owner).await?;
    if !account::set_password(&mut tx, owner, &hash).await? {
        return Error::refused(format!("the account {named} is closed"));
    }
    let ended = session::delete_all(&mut tx, owner).await?;
    sign_in_link::replace_if_verified(&mut tx, owner, now_ms).await?;
    note(&mut tx, "account.password", &owner, json!({ "sessions_ended": ended }), now_ms).await?;
    tx.commit().await?;
    store.close().await;
    Ok(())
}

/// A running server tells the peers of views that end with it within seconds.
async fn close(config: &Config, named: &str, json: bool) -> Result<(), Error> {
    let store = open_store(config).await?;
    let mut tx = store.write().await?;
    let owner = account_named(&mut tx, named).await?;
    account::hold(&mut tx, owner).await?;
    let here = (config.payment.currency.as_str(), now_ms());
    let ended = account_close::close(&mut tx, owner, Actor::Command, here)
        .await
        .or_else(|problem| Error::refused(problem.detail.into_owned()))?;
    tx.commit().await?;
    store.close().await;
    let data = json!({ "account": owner, "views_ended": ended.len() });
    print(json, &data, &format!("closed {owner}, {} views ended", ended.len()))
}

pub(super) fn role_names(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.text()).collect()
}

fn with_viewer(mut roles: Vec<Role>) -> Vec<Role> {
    roles.push(Role::Viewer);
    roles.sort_unstable();
    roles.dedup();
    roles
}
