//! What the tests of Matinee stand on: films, real browsers, servers and peers started for one test.

pub mod browser;
pub mod film;
