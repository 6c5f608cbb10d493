//! The one place where implementations are chosen, and the state that every endpoint shares.

use std::ops::Deref;
use std::sync::Arc;

use matinee_protocol::api::{Delivery, IceServer};
use matinee_protocol::id::{ReleaseId, SwarmId};
use zeroize::Zeroizing;

use crate::api::attempt::SignInLimits;
use crate::api::in_flight::InFlight;
use crate::api::rate::RequestLimits;
use crate::api::replay::SeenProofs;
use crate::atlas::{self, Atlas};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::config::Config;
use crate::keyring::{self, Keyring};
use crate::letter::Writer;
use crate::license::decide::{AtLimit, Policy};
use crate::oidc::Providers;
use crate::origin::Origin;
use crate::outbox::email::{self, Mailer};
use crate::outbox::{Outbox, webhook::Sender};
use crate::passkey::Passkeys;
use crate::password::Passwords;
use crate::payment::{Provider, cashier::Cashier, simulated::Simulated, stripe, tax};
use crate::proxies::Proxies;
use crate::publish::Desk;
use crate::random;
use crate::secrets::ReleaseSecrets;
use crate::signaling::Hub;
use crate::store::sealed::{self, Shelf};
use crate::store::{self, Store};
use crate::vault::{self, Vault};

/// The name of the secret that swarm ids are derived from.
const SWARM_SECRET: &str = "swarm";
/// The name of the secret that webhook keys are derived from.
const WEBHOOK_SECRET: &str = "webhooks";
/// What the derivation of a swarm id begins with (PROTOCOL §3).
const SWARM_LABEL: &[u8] = b"matinee/1 swarm";

/// Shared state; cloning shares it.
#[derive(Clone)]
pub struct App(Arc<State>);

/// What endpoints work with.
pub struct State {
    /// Configuration.
    pub config: Config,
    /// How the world names this server, without a slash at the end.
    pub public_url: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The database.
    pub store: Store,
    /// The key vault.
    pub vault: Vault,
    /// Signing keys.
    pub keyring: Keyring,
    /// Published releases, for a moment.
    pub catalog: Catalog,
    /// Unsealed release secrets, for a while.
    pub release_secrets: ReleaseSecrets,
    /// Ciphertext.
    pub origin: Origin,
    /// Publishing.
    pub desk: Desk,
    /// Swarm memberships.
    pub hub: Hub,
    /// Where money comes from.
    pub cashier: Cashier,
    /// Webhooks and email.
    pub outbox: Outbox,
    /// What is written to people by email, if anything is.
    pub letters: Writer,
    /// Password hashing, bounded.
    pub passwords: Passwords,
    /// Providers of identities.
    pub providers: Providers,
    /// Passkeys, where browsers have them under the public URL.
    pub passkeys: Option<Passkeys>,
    /// Sign-in attempts.
    pub sign_ins: SignInLimits,
    /// Whom requests come through.
    pub proxies: Proxies,
    /// In which country an address is.
    pub atlas: Atlas,
    /// Requests a minute.
    pub request_limits: RequestLimits,
    /// Requests under way with an idempotency key.
    pub in_flight: InFlight,
    /// Proofs seen on requests that do not touch the database.
    pub seen_proofs: SeenProofs,
    /// STUN and TURN servers told to members.
    pub ice_servers: Vec<IceServer>,
    swarm_secret: Zeroizing<[u8; 32]>,
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// Signing keys.
    #[error(transparent)]
    Keyring(#[from] keyring::Error),
    /// Email.
    #[error("configuration: {0}")]
    Email(#[from] email::Error),
    /// What sends to webhooks.
    #[error("webhooks: {0}")]
    Webhooks(#[from] reqwest::Error),
    /// The object store.
    #[error("origin: {0}")]
    Origin(String),
    /// The database of countries.
    #[error("configuration: {0}")]
    Atlas(#[from] atlas::Error),
    /// Proxies.
    #[error("configuration: {0}")]
    Proxies(String),
    /// Tax rates.
    #[error("configuration: tax: {0}")]
    Tax(String),
}

/// What an [`App`] is made of.
pub struct Parts {
    /// Configuration.
    pub config: Config,
    /// How the world names this server, without a slash at the end.
    pub public_url: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The database, its schema up to date.
    pub store: Store,
    /// The key vault.
    pub vault: Vault,
    /// Ciphertext.
    pub origin: Origin,
    /// STUN and TURN servers told to members.
    pub ice_servers: Vec<IceServer>,
}

/// What configuration says in words of its own, read.
#[derive(Debug)]
pub struct Read {
    rates: tax::Rates,
    mailer: Option<Mailer>,
    proxies: Proxies,
}

impl Read {
    /// Reads it; whoever says that a configuration is understood has asked here, as the server does.
    ///
    /// # Errors
    /// The first thing that is not understood.
    pub fn of(config: &Config) -> Result<Self, Error> {
        let (tax, server) = (&config.tax, &config.server);
        Ok(Self {
            rates: tax::Rates::parse(&tax.home_country, &tax.rates).map_err(Error::Tax)?,
            mailer: mailer(config)?,
            proxies: Proxies::parse(&server.trusted_proxies, &server.proxy_header).map_err(Error::Proxies)?,
        })
    }
}

impl App {
    /// Puts the server together; makes signing keys and the swarm secret where there are none.
    pub async fn open(parts: Parts) -> Result<Self, Error> {
        let Parts { config, public_url, clock, store, vault, origin, ice_servers } = parts;
        let Read { rates, mailer, proxies } = Read::of(&config)?;
        let issuer = if config.server.issuer.is_empty() { &public_url } else { &config.server.issuer };
        let keyring = Keyring::open(&store, &vault, &*clock, issuer).await?;
        let provider = provider(&config, &public_url);
        let cashier = Cashier::new(provider, Arc::clone(&clock), config.payment.check_after_s, rates);
        let swarm_secret = named_secret(&store, &vault, &*clock, SWARM_SECRET).await?;
        let webhook_secret = named_secret(&store, &vault, &*clock, WEBHOOK_SECRET).await?;
        let letters = mailer.as_ref().map_or_else(Writer::silent, |_| Writer::new(&public_url));
        let cashier = cashier.writing(letters.clone());
        let outbox = Outbox::new(webhook_secret, mailer, Sender::new(config.outbox.private_webhooks)?);
        Ok(Self(Arc::new(State {
            proxies,
            atlas: Atlas::open(&config.country.database)?,
            passwords: Passwords::new(config.account.password_hashings_max),
            providers: Providers::new(config.providers.clone(), &public_url),
            passkeys: Passkeys::at(&public_url),
            sign_ins: SignInLimits::new(config.account.sign_in_attempts_per_minute_max),
            request_limits: RequestLimits::new(config.server.requests_per_minute_max),
            in_flight: InFlight::default(),
            cashier,
            catalog: Catalog::new(store.clone()),
            release_secrets: ReleaseSecrets::default(),
            seen_proofs: SeenProofs::default(),
            hub: Hub::default(),
            desk: Desk::new(store.clone(), origin.clone(), vault.clone()),
            outbox,
            letters,
            config,
            public_url,
            clock,
            store,
            vault,
            keyring,
            origin,
            ice_servers,
            swarm_secret,
        })))
    }

    /// The opaque name of a release's swarm: HMAC-SHA256 under the swarm secret, truncated.
    pub fn swarm_id(&self, release: ReleaseId) -> SwarmId {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac =
            Hmac::<sha2::Sha256>::new_from_slice(&self.swarm_secret[..]).expect("HMAC takes any key");
        mac.update(SWARM_LABEL);
        mac.update(release.as_bytes());
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut id = [0; 16];
        id.copy_from_slice(&tag[..16]);
        SwarmId::from_bytes(id)
    }

    /// The operator's choices, as the rules take them.
    pub fn policy(&self) -> Policy {
        let section = &self.config.license;
        let limit = |max: u32| Some(max).filter(|max| *max > 0);
        Policy {
            devices_max: limit(section.devices_max),
            concurrent_views_max: limit(section.concurrent_views_max),
            leases_per_entitlement_max: limit(section.leases_per_entitlement_max),
            leases_per_account_max: limit(section.leases_per_account_max),
            unknown_country_allowed: self.config.country.unknown == "allow",
            at_limit: AtLimit::parse(&section.concurrent_views_at_limit).unwrap_or_default(),
        }
    }

    /// How releases may travel to a member.
    pub fn delivery(&self) -> Delivery {
        let section = &self.config.delivery;
        Delivery {
            peers: section.peers,
            relay_only: section.relay_only,
            upload_bytes_per_s_max: Some(section.upload_bytes_per_s_max).filter(|cap| *cap > 0),
        }
    }
}

/// The mail server, where one is configured.
fn mailer(config: &Config) -> Result<Option<Mailer>, email::Error> {
    let section = &config.outbox;
    let url = section.smtp_url.expose();
    if url.is_empty() { Ok(None) } else { Mailer::new(url, &section.mail_from).map(Some) }
}

fn provider(config: &Config, public_url: &str) -> Box<dyn Provider> {
    if config.payment.provider != "stripe" {
        return Box::new(Simulated);
    }
    let section = &config.stripe;
    Box::new(stripe::Stripe::new(stripe::Settings {
        api_url: section.api_url.clone(),
        secret_key: Zeroizing::new(section.secret_key.expose().to_owned()),
        return_url: public_url.to_owned(),
    }))
}

/// The server's secret of this name; makes it where there is none.
async fn named_secret(
    store: &Store,
    vault: &Vault,
    clock: &dyn Clock,
    named: &str,
) -> Result<Zeroizing<[u8; 32]>, Error> {
    let name = Shelf::Secrets.vault_name(named);
    let mut tx = store.write().await?;
    let fresh = Zeroizing::new(random::bytes::<32>());
    sealed::insert_secret(&mut tx, named, &vault.seal(&name, &fresh[..]), clock.now_ms()).await?;
    let kept = sealed::secret(&mut tx, named).await?;
    tx.commit().await?;
    let kept = kept.ok_or(store::Error::Corrupt("a secret of the server"))?;
    Ok(vault.open_secret(&name, &kept)?)
}
