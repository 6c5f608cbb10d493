//! A view token's claims under a good signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matinee_protocol::device::SigningKey;
use matinee_protocol::jws::{self, KeySet, KeyUse};
use matinee_protocol::token;

const SEED: [u8; 32] = [7; 32];
const NOW_S: u64 = 1_795_000_000;

fuzz_target!(|payload: &[u8]| {
    let key = SigningKey::from_seed(&SEED);
    let mut keys = KeySet::default();
    keys.insert("k", KeyUse::View, key.public());
    let header = jws::Header {
        alg: jws::ALG.to_owned(),
        typ: token::TYP.to_owned(),
        kid: Some("k".to_owned()),
        jwk: None,
    };
    let signed = jws::sign(payload, &header, &key);
    if let Ok(claims) = token::verify(&signed, &keys, "https://matinee.example", NOW_S) {
        let again = token::issue(&claims, "k", &key);
        assert_eq!(token::verify(&again, &keys, "https://matinee.example", NOW_S).ok(), Some(claims));
    }
});
