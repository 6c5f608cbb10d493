//! The envelope of everything signed, and the published key set.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matinee_protocol::jws::{KeySet, Parts};

const BYTES_MAX: usize = 64 * 1024;

fuzz_target!(|text: &str| {
    if let Ok(parts) = Parts::decode(text, "JWT", BYTES_MAX) {
        // The header's own key is the one an attacker chooses.
        if let Some(key) = parts.header.jwk.as_ref().and_then(|jwk| jwk.public_key()) {
            let _ = parts.verify(&key);
        }
    }
    if let Ok(keys) = KeySet::from_jwks(text.as_bytes()) {
        let json = serde_json::to_vec(&keys.to_jwks()).expect("a key set serializes");
        assert_eq!(KeySet::from_jwks(&json).ok(), Some(keys));
    }
});
