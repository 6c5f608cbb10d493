//! The server's gates through their public edge: uploads, the origin, signaling and receipts over real sockets.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; it exports nothing"
)]

mod bench;
mod origin;
mod receipts;
mod signaling;
mod upload;
