//! Rebuilds when a migration or an embedded page changes, which the macros that embed them do not notice.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
    println!("cargo::rerun-if-changed=../web/dist");
}
