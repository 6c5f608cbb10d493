//! The swarm of one release as a pure state machine: no I/O, no clock, randomness only from a seed.
//!
//! The same code runs in the native peer and, compiled to WebAssembly, in browsers. A **driver** owns the sockets,
//! the disk and the clock, and does three things:
//!
//! 1. tells the engine what happened: [`Swarm::handle`] with an [`Input`] and the time,
//! 2. then drains [`Swarm::poll_output`] until `None` and carries out each [`Output`] in order,
//! 3. and calls [`Input::Tick`] when [`Swarm::next_wakeup_ms`] says so.
//!
//! What the driver promises:
//! - `now_ms` is Unix time in milliseconds (view tokens are judged by it). A clock that goes back is held still.
//! - `Store` is final for the engine: from then on the chunk counts as held, is announced and may be asked for by
//!   [`Output::Read`], so a read must see a write that is still queued. What cannot be stored or read any more is taken
//!   back by [`Input::Lost`].
//! - Back-pressure: the engine emits at most [`SEND_WINDOW_BYTES`] of chunk data to a peer, then waits for
//!   [`Input::Drained`]. The driver gives it whenever its queue to that peer is at or below its own low-water mark
//!   (64 KiB is a good one, 256 KiB on fast links) and something was sent since the last one: at once after sending if
//!   the queue is already that short. The engine adapts the window to how fast the channel drains.
//! - After [`Output::Close`] the peer is forgotten: the driver flushes what it has queued (a goodbye) and closes.
//!   Telling `PeerClosed` afterwards does no harm.
//! - `FetchOrigin` is answered by any number of `OriginChunk` in any order, then exactly one `OriginEnded`, unless the
//!   engine cancels it. `FetchPage` is answered by one `PageArrived` or `PageFailed` (from the driver's disk if it kept
//!   what [`Output::StorePage`] gave it). Pages found on disk at start may be given unasked: they are verified anyway.

mod assembly;
mod chunk;
pub mod config;
mod exchange;
mod fallback;
mod input;
mod inventory;
mod membership;
mod origin;
mod output;
mod page;
mod peer;
mod receipt;
mod reputation;
mod schedule;
mod stats;
mod swarm;
mod timer;
mod upload;

pub use config::{Config, Identity, OriginPolicy, SEND_WINDOW_BYTES};
pub use input::{Input, OriginError, Playhead, Want};
pub use output::{Fault, Output};
pub use stats::{PeerStats, Stats};
pub use swarm::Swarm;
