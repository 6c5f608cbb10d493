//! The interface, in process: whole requests in, whole answers out.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; it exports nothing"
)]

mod account;
mod authority;
mod bench;
mod catalogue;
mod closure;
mod integrator;
mod login;
mod manners;
mod money;
mod secret;
mod storefront;
mod view;
