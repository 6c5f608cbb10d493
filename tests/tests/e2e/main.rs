//! Whole systems: real servers, native peers and browsers, with a real film.

mod browsers;
mod faults;
mod formats;
mod liars;
mod native;
mod publishing;
