//! The interface, in process: whole requests in, whole answers out.

mod account;
mod authority;
mod bench;
mod money;
mod secret;
mod storefront;
mod view;
