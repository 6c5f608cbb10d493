//! How many requests one login, or one address without a login, may send in a minute, told in `RateLimit` headers.

use std::net::IpAddr;
use std::num::NonZeroU32;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use matinee_protocol::encoding::sha256;

use super::authority::login_token;
use super::problem::Problem;

/// What is left (draft-ietf-httpapi-ratelimit-headers).
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// What there is altogether.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Seconds of the window.
const WINDOW_S: u32 = 60;
/// Logins and addresses counted at once. Beyond it a login counts as its address: whoever makes logins up gains nothing.
const COUNTED_MAX: usize = 200_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    Login([u8; 32]),
    Address(IpAddr),
}

type Limiter = RateLimiter<Who, DefaultKeyedStateStore<Who>, DefaultClock, StateInformationMiddleware>;

/// Counts requests.
#[derive(Debug)]
pub struct RequestLimits {
    limiter: Option<Limiter>,
    per_minute_max: u32,
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
        Self { limiter, per_minute_max }
    }

    /// Counts a request. None where it is not counted: a request with a view token has the limits of its view, and an
    /// address of this machine is a proxy that did not say for whom it asks.
    pub fn count(&self, headers: &HeaderMap, address: IpAddr) -> Result<Option<Standing>, Problem> {
        let Some(limiter) = &self.limiter else { return Ok(None) };
        let by_view = |value: &HeaderValue| value.as_bytes().starts_with(b"DPoP ");
        if headers.get(header::AUTHORIZATION).is_some_and(by_view) {
            return Ok(None);
        }
        let login = login_token(headers).filter(|_| limiter.len() < COUNTED_MAX);
        let who = match login {
            Some((token, _)) => Who::Login(sha256(token.as_bytes())),
            None if address.is_loopback() => return Ok(None),
            None => Who::Address(address),
        };
        match limiter.check_key(&who) {
            Ok(state) => Ok(Some(Standing {
                left: state.remaining_burst_capacity(),
                per_minute_max: self.per_minute_max,
            })),
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let problem = Problem::too_many(
                    "too_fast",
                    "too many requests; wait as long as Retry-After says",
                    wait.as_secs() + 1,
                );
                let standing = Standing { left: 0, per_minute_max: self.per_minute_max };
                Err(standing
                    .headers()
                    .into_iter()
                    .fold(problem, |problem, (name, value)| problem.with(name, value)))
            }
        }
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

    #[test]
    fn logins_and_addresses_are_counted_apart() {
        let limits = RequestLimits::new(2);
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let login = |token: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(token))])
        };
        let nobody = HeaderMap::new();
        assert_eq!(limits.count(&nobody, address(1)).unwrap().unwrap().left, 1);
        assert!(limits.count(&nobody, address(1)).is_ok());
        assert_eq!(limits.count(&nobody, address(1)).unwrap_err().code, "too_fast");
        assert!(limits.count(&nobody, address(2)).is_ok());
        assert!(limits.count(&login("Bearer a"), address(1)).is_ok(), "a login is not its address");
        assert!(limits.count(&login("Bearer a"), address(2)).is_ok());
        assert!(limits.count(&login("Bearer a"), address(3)).is_err(), "from wherever it asks");
        assert!(limits.count(&login("Bearer b"), address(3)).is_ok());
        for _ in 0..5 {
            assert_eq!(limits.count(&login("DPoP x"), address(1)).unwrap(), None);
            assert_eq!(limits.count(&nobody, IpAddr::from([127, 0, 0, 1])).unwrap(), None);
        }
        assert_eq!(RequestLimits::new(0).count(&nobody, address(1)).unwrap(), None);
    }

    #[test]
    fn headers_say_what_is_left() {
        let standing = Standing { left: 90, per_minute_max: 120 };
        let texts: Vec<_> =
            standing.headers().into_iter().map(|(_, value)| value.to_str().unwrap().to_owned()).collect();
        assert_eq!(texts, ["\"requests\";q=120;w=60", "\"requests\";r=90;t=15"]);
    }
}
