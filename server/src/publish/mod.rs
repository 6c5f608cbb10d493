//! Publishing: plaintext in, sealed and hashed segments out, a signed manifest at the end.
//!
//! [`announced`] is what a release is to hold; [`intake`] takes a file's bytes; [`seal`] is the computation in it;
//! [`buffer`] bounds its memory; [`release`] is the life of a release around it. The command writes straight to the stores
//! and HTTP uploads go through the same code.

pub mod announced;
pub mod buffer;
pub mod intake;
pub mod layout;
pub mod lock;
pub mod name;
pub mod probe;
pub mod release;
pub mod seal;

pub use announced::NewFile;
pub use intake::Intake;
pub use release::{Desk, Error};

#[cfg(test)]
mod tests;
