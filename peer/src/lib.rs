//! The native peer: drivers around the swarm engine.

pub mod net;
