//! The HTTP interface of a real server: who may do what, and money under load.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod authority;
mod books;
mod crash;
mod document;
mod money;
mod oidc;
mod payment;
mod receipt;
mod refund;
mod renewal;
mod stripe_library;
