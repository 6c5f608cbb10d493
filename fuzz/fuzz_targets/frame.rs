//! A data-channel message: whatever is accepted is written back to the same bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use matinee_protocol::frame::Frame;

fuzz_target!(|message: &[u8]| {
    let Ok(frame) = Frame::decode(Bytes::copy_from_slice(message)) else {
        return;
    };
    // Kinds of later versions are skipped, hence never written.
    if matches!(frame, Frame::Unknown { .. }) {
        return;
    }
    let again = frame.encode();
    assert_eq!(Frame::decode(again).as_ref(), Ok(&frame));
});
