//! The scenarios, by subject.

mod crowds;
mod exchange;
mod large;
mod liars;
mod sources;
