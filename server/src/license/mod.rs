//! The rules of licensing, as pure code: no SQL, no HTTP, no clock. Facts and the present go in, decisions come out.
//! The store keeps what is defined here and imports it, never the other way round.

pub mod breaks;
pub mod calendar;
pub mod decide;
pub mod entitlement;
pub mod epochs;
pub mod issue;
pub mod lease;
pub mod place;
pub mod plan;
pub mod prorate;
pub mod status;
pub mod title;
pub mod view;

#[cfg(test)]
mod tests;

pub use decide::{Allowed, Facts, Refusal, decide, may_continue};

/// What stands for "no limit" where the interface has a time: the last second of the year 9999.
pub const NO_LIMIT_MS: i64 = 253_402_300_799_000;
