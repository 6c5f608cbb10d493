//! Limits on sign-in attempts: on one account from one host, from one host on all, and on one account from everywhere.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use matinee_protocol::encoding::sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;
use crate::app::App;
use crate::license::place::Country;

/// Attempts from one address on all accounts, as a multiple of those on one.
const ADDRESS_FACTOR: u32 = 6;
/// Guesses of one account's password from everywhere, as a multiple of those from one host. It is far above what a host may
/// do, so that keeping an owner out takes dozens of networks, all of them all the time: an allowance comes back within
/// seconds. Links, passkeys and providers are not counted by it, and stay open even then.
const EVERYWHERE_FACTOR: u32 = 30;
/// The part of an IPv6 address that a host does not choose by itself.
const NETWORK_BITS: u32 = 64;
/// Links to sign in with that are written at once.
const LINKS_UNDER_WAY_MAX: usize = 64;
/// Seconds that a refused client is asked to wait.
const RETRY_AFTER_S: u64 = 60;

/// Counts attempts. Keys that had their full allowance back are dropped by [`SignInLimits::forget_idle`].
#[derive(Debug)]
pub struct SignInLimits {
    by_account: DefaultKeyedRateLimiter<[u8; 32]>,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    everywhere: DefaultKeyedRateLimiter<[u8; 32]>,
    links: Arc<Semaphore>,
}

impl SignInLimits {
    /// Limits of this many attempts a minute.
    pub fn new(attempts_per_minute_max: u32) -> Self {
        let attempts = NonZeroU32::new(attempts_per_minute_max).unwrap_or(NonZeroU32::MIN);
        let times = |factor| attempts.saturating_mul(NonZeroU32::new(factor).unwrap_or(NonZeroU32::MIN));
        Self {
            by_account: RateLimiter::keyed(Quota::per_minute(attempts)),
            by_address: RateLimiter::keyed(Quota::per_minute(times(ADDRESS_FACTOR))),
            everywhere: RateLimiter::keyed(Quota::per_minute(times(EVERYWHERE_FACTOR))),
            links: Arc::new(Semaphore::new(LINKS_UNDER_WAY_MAX)),
        }
    }

    /// Counts one attempt on an account, by whatever names it.
    pub fn attempt(&self, email: &str, address: IpAddr) -> Result<(), Problem> {
        let host = host(address);
        let account = sha256(format!("{host}\n{email}").as_bytes());
        if self.by_address.check_key(&host).is_err() || self.by_account.check_key(&account).is_err() {
            return Err(too_fast());
        }
        Ok(())
    }

    /// The same for a guess of its password, before that is looked at.
    pub fn guess(&self, email: &str, address: IpAddr) -> Result<(), Problem> {
        self.attempt(email, address)?;
        self.everywhere.check_key(&sha256(email.as_bytes())).map_err(|_| too_fast())
    }

    /// Counts an attempt that names no account yet.
    pub fn begin(&self, address: IpAddr) -> Result<(), Problem> {
        self.by_address.check_key(&host(address)).map_err(|_| too_fast())
    }

    /// Room to write a link after the answer.
    pub fn link(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.links).try_acquire_owned().map_err(|_| too_fast())
    }

    /// Drops what needs no counting any more.
    pub fn forget_idle(&self) {
        self.by_account.retain_recent();
        self.by_address.retain_recent();
        self.everywhere.retain_recent();
    }
}

fn too_fast() -> Problem {
    Problem::too_many("sign_in_too_fast", "too many sign-in attempts; wait a minute", RETRY_AFTER_S)
}

/// What counts as one host: whoever has an IPv6 address has all of its network's.
pub fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> NETWORK_BITS << NETWORK_BITS).into(),
        address => address,
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub struct Address(pub IpAddr);

impl FromRequestParts<App> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let connected = connected.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(Self(app.proxies.client(connected, &parts.headers)))
    }
}

/// In which country a request is sent, if that is known.
#[derive(Debug, Clone, Copy)]
pub struct Place(pub Option<Country>);

impl FromRequestParts<App> for Place {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let Address(address) = Address::from_request_parts(parts, app).await?;
        // A proxy that did not say for whom it asks stands somewhere else than the viewer.
        Ok(Self(app.atlas.country(address).filter(|_| !app.proxies.trusts(address))))
    }
}
