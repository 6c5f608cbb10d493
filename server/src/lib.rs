//! The licensing server: accounts, money, views, licenses, publishing, the origin and signaling.
//!
//! `router` lists every route with the authority it needs; `api` holds one file an endpoint; `license` holds the rules
//! as pure code; `store` holds the only SQL; `app` is the one place where implementations are chosen.

pub mod api;
pub mod app;
pub mod atlas;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod job;
pub mod keyring;
pub mod letter;
pub mod license;
pub mod oidc;
pub mod origin;
pub mod outbox;
pub mod passkey;
pub mod password;
pub mod payment;
pub mod proxies;
pub mod publish;
pub mod random;
pub mod router;
pub mod royalty;
pub mod secrets;
pub mod signaling;
pub mod store;
pub mod storefront;
pub mod stun;
pub mod vault;
pub mod words;
