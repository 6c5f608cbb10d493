//! A proof's claims under the good signature of a device that lies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matinee_protocol::device::SigningKey;
use matinee_protocol::dpop::{self, Expectation};
use matinee_protocol::jws;

const SEED: [u8; 32] = [7; 32];
const NOW_S: u64 = 1_795_000_000;

fuzz_target!(|payload: &[u8]| {
    let key = SigningKey::from_seed(&SEED);
    let header = jws::Header {
        alg: jws::ALG.to_owned(),
        typ: dpop::TYP.to_owned(),
        kid: None,
        jwk: Some(key.public().to_jwk()),
    };
    let expected = Expectation {
        method: "POST",
        url: "https://matinee.example/v1/views/22222222-2222-2222-2222-222222222222/licenses",
        token: None,
        body: b"",
        nonce: None,
        now_s: NOW_S,
    };
    if let Ok(proof) = dpop::verify(&jws::sign(payload, &header, &key), &expected) {
        assert_eq!(proof.public, key.public());
    }
});
