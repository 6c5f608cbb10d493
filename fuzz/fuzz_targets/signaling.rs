//! Signaling messages of both directions: whatever is accepted survives being written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matinee_protocol::signaling::{Error, ToPeer, ToServer};

fuzz_target!(|text: &str| {
    if let Ok(message) = ToServer::decode(text) {
        assert_same(ToServer::decode(&message.encode()), &message);
    }
    if let Ok(message) = ToPeer::decode(text) {
        assert_same(ToPeer::decode(&message.encode()), &message);
    }
});

fn assert_same<T: PartialEq + std::fmt::Debug>(again: Result<T, Error>, message: &T) {
    // Written out, what was left away counts too, and a message at the limit grows over it.
    if again != Err(Error::TooLong) {
        assert_eq!(again.as_ref(), Ok(message));
    }
}
