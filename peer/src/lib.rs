//! The native peer: drivers around the swarm engine.
//!
//! `cli` puts together what a command needs; `opened` is a release in use; `gateway` serves players, `net` talks to
//! server and peers, `storage` keeps verified ciphertext.

pub mod banned;
pub mod cli;
pub mod clock;
pub mod device;
pub mod gateway;
pub mod lease;
pub mod net;
pub mod opened;
pub mod state;
pub mod storage;
