//! Signaling (PROTOCOL §7): membership of swarms and the relaying of session descriptions, in this process.
//!
//! [`swarm`] chooses whom a newcomer is told of and is pure; [`hub`] holds every swarm and passes messages on;
//! [`socket`] drives one connection. A restart forgets everything here; members come back by themselves.

pub mod hub;
pub mod near;
pub mod rate;
pub mod socket;
pub mod swarm;

pub use hub::Hub;
pub use socket::{Admitted, Gate, Refusal, serve};
