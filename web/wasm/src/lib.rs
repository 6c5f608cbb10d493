//! The engine for browsers: `matinee-protocol` and `matinee-engine` behind a JavaScript face.
//!
//! The engine worker is the driver: it owns channels, HTTP, disk and clock, calls the methods of [`engine::Engine`] with
//! what happened, and then takes [`engine::Engine::poll`] until it has nothing more. Byte strings cross as
//! `Uint8Array`, ids as the text the protocol gives them, indices as numbers.
//!
//! Content keys live in this module's memory and have no way out.

pub mod engine;
mod opening;
mod output;
#[cfg(feature = "vectors")]
mod vector;

pub use engine::Engine;
#[cfg(feature = "vectors")]
pub use vector::vectors;

use wasm_bindgen::prelude::wasm_bindgen;

/// Sends panics to the console with their message; called once when the module loads.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}
