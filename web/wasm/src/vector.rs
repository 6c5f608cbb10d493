//! The protocol's test vectors, computed by the WebAssembly build.

use matinee_protocol::vectors::compute;
use wasm_bindgen::prelude::wasm_bindgen;

/// Every vector of the protocol as JSON text, computed here and now: to be compared with `tests/vectors/v1.json`.
#[wasm_bindgen]
pub fn vectors() -> String {
    compute().to_string()
}
