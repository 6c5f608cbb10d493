//! Whole systems: real servers, native peers and browsers, with a real film.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod breaks;
mod browsers;
mod faults;
mod formats;
mod liars;
mod links;
mod native;
mod passkeys;
mod providers;
mod publishing;
mod shop;
