//! The interface, in process: whole requests in, whole answers out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod account;
mod authority;
mod bench;
mod money;
mod secret;
mod storefront;
mod view;
