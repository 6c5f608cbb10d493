//! The published test vectors are what this build computes.

use std::path::Path;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/v1.json");

/// `MATINEE_WRITE_VECTORS=1 cargo test -p matinee-protocol --test vectors` writes the file anew.
#[test]
fn published_vectors_are_current() {
    let computed = serde_json::to_string_pretty(&matinee_protocol::vectors::compute()).unwrap() + "\n";
    if std::env::var_os("MATINEE_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(Path::new(FILE).parent().unwrap()).unwrap();
        std::fs::write(FILE, &computed).unwrap();
    }
    let published = std::fs::read_to_string(FILE).expect("tests/vectors/v1.json exists");
    assert!(published == computed, "tests/vectors/v1.json is not what this build computes");
}
