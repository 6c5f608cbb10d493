//! The server's gates through their public edge: uploads, the origin, signaling and receipts over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod bench;
mod origin;
mod receipts;
mod signaling;
mod upload;
