//! What the tests of Matinee stand on: films, real browsers, servers and peers started for one test.

pub mod browser;
pub mod deployment;
pub mod film;
pub mod forge;
pub mod liar;
pub mod mail;
pub mod oidc;
pub mod peer;
#[path = "../../server/tests/store/postgres.rs"]
pub mod postgres;
pub mod process;
pub mod python;
pub mod stripe;
pub mod viewer;
pub mod watching;
