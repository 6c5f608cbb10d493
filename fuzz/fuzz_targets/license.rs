//! The keys of a license after HPKE opened them, and the license document itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matinee_protocol::license;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keys) = license::decode_keys(bytes) {
        assert!(bytes.len().is_multiple_of(keys.len().max(1)));
    }
    let _ = serde_json::from_slice::<license::License>(bytes);
});
