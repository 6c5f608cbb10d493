//! The HTTP interface of a real server: who may do what, and money under load.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod authority;
mod books;
mod crash;
mod money;
mod payment;
mod stripe_library;
