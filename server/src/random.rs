//! The only place that draws randomness from the system.

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

/// `N` bytes from the operating system.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the operating system gives randomness");
    out
}

/// A UUID of version 7 whose time is `now_ms`, as the bytes an id is made of.
pub fn id(now_ms: i64) -> [u8; 16] {
    let millis = u64::try_from(now_ms).unwrap_or(0);
    *uuid::Builder::from_unix_timestamp_millis(millis, &bytes()).into_uuid().as_bytes()
}

/// A cryptographic generator for constructions that take one.
pub fn generator() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
