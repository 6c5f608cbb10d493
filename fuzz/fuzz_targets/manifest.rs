//! A manifest under a good signature, so that what is behind the signature is reached: whatever validates can be
//! asked for any chunk without a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matinee_protocol::device::SigningKey;
use matinee_protocol::id::{ChunkAddress, FileIndex};
use matinee_protocol::jws::{self, KeySet, KeyUse};
use matinee_protocol::manifest::{Manifest, TYP, page_of};

const SEED: [u8; 32] = [7; 32];

fuzz_target!(|payload: &[u8]| {
    let key = SigningKey::from_seed(&SEED);
    let mut keys = KeySet::default();
    keys.insert("k", KeyUse::Release, key.public());
    let header =
        jws::Header { alg: jws::ALG.to_owned(), typ: TYP.to_owned(), kid: Some("k".to_owned()), jwk: None };
    let Ok(manifest) = Manifest::from_jws(&jws::sign(payload, &header, &key), &keys) else {
        return;
    };
    for file in 0..u32::try_from(manifest.files.len()).expect("at most 65536 files") {
        let index = FileIndex(file);
        let Some(described) = manifest.file(index) else { panic!("a file that was counted is there") };
        let last = described.chunks().saturating_sub(1);
        for chunk in [0, last / 2, last, last.saturating_add(1), u32::MAX] {
            let at = ChunkAddress::new(file, chunk);
            let bytes = manifest.travel_chunk_bytes(at);
            assert_eq!(bytes.is_some(), manifest.ciphertext_offset(at).is_some());
            if bytes.is_some() {
                assert!(described.page_hash(page_of(at.chunk).0).is_some());
                assert!(described.epoch_of(at.chunk).0 < described.epochs());
            }
        }
        let _ = manifest.ciphertext_bytes(index);
    }
});
