//! The only place that reads the clocks and the operating system's randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Unix time in milliseconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Unix time in seconds, as JWTs want it (RFC 7519).
#[must_use]
pub fn now_s() -> u64 {
    now_ms() / 1000
}

/// The monotonic clock, for timeouts and rates.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Fresh random bytes from the operating system.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}
