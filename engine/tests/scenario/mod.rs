//! The scenarios, by subject.

mod crowds;
mod exchange;
mod hostile;
mod large;
mod liars;
mod sources;
