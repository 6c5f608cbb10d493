//! How many requests one login, or one host without a login, may send in a minute, told in `RateLimit` headers.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use matinee_protocol::encoding::sha256;

use super::attempt::host;
use super::authority::login_token;
use super::problem::Problem;

/// What is left (draft-ietf-httpapi-ratelimit-headers).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What there is altogether.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Seconds of the window.
const WINDOW_S: u32 = 60;
/// Logins and hosts counted at once. Beyond it a login counts as its host.
const COUNTED_MAX: usize = 200_000;
/// How long a login that was found is taken for one, after it was found last.
const KNOWN_LIFE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Login([u8; 32]),
    Host(IpAddr),
}

type Limiter = RateLimiter<Who, DefaultKeyedStateStore<Who>, DefaultClock, StateInformationMiddleware>;

/// Counts requests.
#[derive(Debug)]
pub struct RequestLimits {
    limiter: Option<Limiter>,
    per_minute_max: u32,
    /// Logins and API keys that were found, hashed.
    known: moka::sync::Cache<[u8; 32], ()>,
}

/// How a request stands against the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    left: u32,
    per_minute_max: u32,
}

impl RequestLimits {
    /// A limit of this many requests a minute; 0 is none.
    pub fn new(per_minute_max: u32) -> Self {
        let quota = NonZeroU32::new(per_minute_max).map(Quota::per_minute);
        let limiter =
            quota.map(|quota| RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>());
        let known =
            moka::sync::Cache::builder().max_capacity(COUNTED_MAX as u64).time_to_idle(KNOWN_LIFE).build();
        Self { limiter, per_minute_max, known }
    }

    /// Notes that a login or an API key is one, by the hash of its token.
    pub fn found(&self, token_hash: [u8; 32]) {
        if self.limiter.is_some() {
            self.known.insert(token_hash, ());
        }
    }

    /// Counts a request. None where it is not counted: a request for a route `by_view`, with a view token, has the limits of
    /// its view, and an address of this machine is a proxy that did not say for whom it asks.
    ///
    /// A login that was not found yet counts against its host as well: whoever makes logins up gains nothing.
    pub fn count(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        by_view: bool,
    ) -> Result<Option<Standing>, Problem> {
        let Some(limiter) = &self.limiter else { return Ok(None) };
        let has_view_token = |value: &HeaderValue| value.as_bytes().starts_with(b"DPoP ");
        if by_view && headers.get(header::AUTHORIZATION).is_some_and(has_view_token) {
            return Ok(None);
        }
        let login = login_token(headers).map(|(token, _)| sha256(token.as_bytes()));
        let is_known = login.is_some_and(|login| self.known.contains_key(&login));
        let host = Some(host(address)).filter(|_| !is_known && !address.is_loopback());
        let of_host = host.map(|host| self.check(limiter, &Who::Host(host))).transpose()?;
        match login.filter(|_| limiter.len() < COUNTED_MAX) {
            Some(login) => self.check(limiter, &Who::Login(login)).map(Some),
            None => Ok(of_host),
        }
    }

    fn check(&self, limiter: &Limiter, who: &Who) -> Result<Standing, Problem> {
        let until = match limiter.check_key(who) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                return Ok(Standing { left, per_minute_max: self.per_minute_max });
            }
            Err(until) => until,
        };
        let wait = until.wait_time_from(DefaultClock::default().now());
        let detail = "too many requests; wait as long as Retry-After says";
        let problem = Problem::too_many("too_fast", detail, wait.as_secs() + 1);
        let standing = Standing { left: 0, per_minute_max: self.per_minute_max };
        Err(standing.headers().into_iter().fold(problem, |problem, (name, value)| problem.with(name, value)))
    }

    /// Drops what needs no counting any more.
    pub fn forget_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
        }
    }
}

impl Standing {
    /// The two headers: the policy, and what is left of it and after how many seconds all of it is there again.
    pub fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        let used = self.per_minute_max.saturating_sub(self.left);
        let full_in_s =
            (u64::from(used) * u64::from(WINDOW_S)).div_ceil(u64::from(self.per_minute_max.max(1)));
        let texts = [
            (RATE_LIMIT_POLICY, format!("\"requests\";q={};w={WINDOW_S}", self.per_minute_max)),
            (RATE_LIMIT, format!("\"requests\";r={};t={full_in_s}", self.left)),
        ];
        texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(token).unwrap())])
    }

    #[test]
    fn logins_and_hosts_are_counted_apart() {
        let limits = RequestLimits::new(2);
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let nobody = HeaderMap::new();
        for token in ["a", "b"] {
            limits.found(sha256(token.as_bytes()));
        }
        assert_eq!(limits.count(&nobody, address(1), false).unwrap().unwrap().left, 1);
        assert!(limits.count(&nobody, address(1), false).is_ok());
        assert_eq!(limits.count(&nobody, address(1), false).unwrap_err().code, "too_fast");
        assert!(limits.count(&nobody, address(2), false).is_ok());
        assert!(limits.count(&bearer("Bearer a"), address(1), false).is_ok(), "a login is not its host");
        assert!(limits.count(&bearer("Bearer a"), address(2), false).is_ok());
        assert!(limits.count(&bearer("Bearer a"), address(3), false).is_err(), "from wherever it asks");
        assert!(limits.count(&bearer("Bearer b"), address(3), false).is_ok());
        for _ in 0..5 {
            assert_eq!(limits.count(&bearer("DPoP x"), address(1), true).unwrap(), None);
            assert_eq!(limits.count(&nobody, IpAddr::from([127, 0, 0, 1]), false).unwrap(), None);
        }
        assert!(limits.count(&bearer("DPoP x"), address(1), false).is_err(), "it opens nothing else");
        assert_eq!(RequestLimits::new(0).count(&nobody, address(1), false).unwrap(), None);
    }

    #[test]
    fn logins_that_are_made_up_count_against_their_host() {
        let limits = RequestLimits::new(2);
        let ask = |token: &str, last: u16| {
            let host = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
            limits.count(&bearer(token), host, false)
        };
        assert_eq!(ask("Bearer a", 1).unwrap().unwrap().left, 1);
        assert_eq!(ask("Bearer b", 2).unwrap().unwrap().left, 1, "of its own");
        assert_eq!(ask("Bearer c", 3).unwrap_err().code, "too_fast");
        limits.found(sha256(b"c"));
        assert!(ask("Bearer c", 3).is_ok());
    }

    #[test]
    fn headers_say_what_is_left() {
        let standing = Standing { left: 90, per_minute_max: 120 };
        let texts: Vec<_> =
            standing.headers().into_iter().map(|(_, value)| value.to_str().unwrap().to_owned()).collect();
        assert_eq!(texts, ["\"requests\";q=120;w=60", "\"requests\";r=90;t=15"]);
    }
}
