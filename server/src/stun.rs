//! Embedded STUN (RFC 8489): tells a peer the address it is seen from. Binding requests only, over UDP.
//!
//! Anything that is no well-formed binding request is passed over in silence, so the port is of no use for scanning, and
//! an answer is hardly longer than the shortest request, so it is of no use for amplification either.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::message::{BINDING_REQUEST, BINDING_SUCCESS, MESSAGE_HEADER_SIZE, Message, is_stun_message};
use rtc_stun::xoraddr::XorMappedAddress;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Bytes of a request at most: ICE's own binding requests, with every attribute, stay below 200.
const REQUEST_BYTES_MAX: usize = 548;
/// Requests a second from one address.
const REQUESTS_PER_S: NonZeroU32 = NonZeroU32::new(32).expect("32 is not 0");
/// Requests at once from one address.
const REQUESTS_BURST: NonZeroU32 = NonZeroU32::new(128).expect("128 is not 0");
/// Addresses that are counted before the idle ones are forgotten.
const ADDRESSES_MAX: usize = 65_536;
/// Requests after which the count of addresses is looked at.
const SWEEP_REQUESTS: u32 = 4_096;

/// The answer to a datagram, or `None` if it deserves none.
#[must_use]
pub fn answer(datagram: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    if datagram.len() > REQUEST_BYTES_MAX || !is_stun_message(datagram) {
        return None;
    }
    // The first two bits are zero and the length is exact and padded (RFC 8489, section 5).
    let length = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
    if datagram[0] & 0xc0 != 0 || length % 4 != 0 || MESSAGE_HEADER_SIZE + length != datagram.len() {
        return None;
    }
    let mut request = Message::new();
    request.unmarshal_binary(datagram).ok()?;
    if request.typ != BINDING_REQUEST {
        return None;
    }
    let mut success = Message::new();
    let mapped = XorMappedAddress { ip: from.ip().to_canonical(), port: from.port() };
    success
        .build(&[
            Box::new(request.transaction_id),
            Box::new(BINDING_SUCCESS),
            Box::new(mapped),
            Box::new(FINGERPRINT),
        ])
        .ok()?;
    Some(success.raw)
}

/// Answers on `socket` until `stop` is cancelled.
pub async fn serve(socket: UdpSocket, stop: CancellationToken) {
    let limits = Arc::new(limiter());
    let mut buffer = [0; REQUEST_BYTES_MAX + 1];
    let mut seen: u32 = 0;
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, from) = match received {
            Ok(received) => received,
            Err(error) => {
                // An ICMP answer to something sent earlier shows up here; it says nothing about the socket.
                tracing::debug!(%error, "stun socket");
                tokio::task::yield_now().await;
                continue;
            }
        };
        seen = seen.wrapping_add(1);
        if seen.is_multiple_of(SWEEP_REQUESTS) && limits.len() > ADDRESSES_MAX {
            limits.retain_recent();
        }
        if limits.check_key(&prefix(from.ip())).is_err() {
            continue;
        }
        if let Some(answer) = answer(&buffer[..length], from) {
            // A full send buffer drops the answer; the client asks again.
            let _ = socket.try_send_to(&answer, from);
        }
    }
}

fn limiter() -> DefaultKeyedRateLimiter<IpAddr> {
    RateLimiter::keyed(Quota::per_second(REQUESTS_PER_S).allow_burst(REQUESTS_BURST))
}

/// What is counted as one address: an IPv4 address, or the /64 that an IPv6 host picks its addresses from.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtc_stun::message::{Getter as _, TransactionId};

    fn request() -> Vec<u8> {
        let mut message = Message::new();
        message.build(&[Box::new(TransactionId([7; 12])), Box::new(BINDING_REQUEST)]).unwrap();
        message.raw
    }

    fn mapped(answer: &[u8]) -> SocketAddr {
        let mut message = Message::new();
        message.unmarshal_binary(answer).unwrap();
        assert_eq!(message.typ, BINDING_SUCCESS);
        assert_eq!(message.transaction_id, TransactionId([7; 12]));
        FINGERPRINT.check(&message).unwrap();
        let mut address = XorMappedAddress::default();
        address.get_from(&message).unwrap();
        SocketAddr::new(address.ip, address.port)
    }

    #[test]
    fn tells_the_address_it_was_asked_from() {
        for from in ["192.0.2.1:32853", "[2001:db8::1]:9"] {
            let from: SocketAddr = from.parse().unwrap();
            assert_eq!(mapped(&answer(&request(), from).unwrap()), from);
        }
        let wrapped: SocketAddr = "[::ffff:192.0.2.1]:5".parse().unwrap();
        assert_eq!(mapped(&answer(&request(), wrapped).unwrap()).ip(), IpAddr::from([192, 0, 2, 1]));
    }

    /// The bytes of RFC 8489's XOR-MAPPED-ADDRESS, worked out by hand.
    #[test]
    fn answers_in_the_bytes_of_the_rfc() {
        let answer = answer(&request(), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(&answer[..8], [0x01, 0x01, 0x00, 0x14, 0x21, 0x12, 0xa4, 0x42]);
        assert_eq!(&answer[20..32], [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    }

    #[test]
    fn says_nothing_to_anything_else() {
        let from: SocketAddr = "192.0.2.1:1".parse().unwrap();
        assert_eq!(answer(b"", from), None);
        assert_eq!(answer(b"GET / HTTP/1.1\r\n\r\n", from), None);
        let success = answer(&request(), from).unwrap();
        assert_eq!(answer(&success, from), None, "no ping-pong between two servers");
        let mut long = request();
        long.push(0);
        assert_eq!(answer(&long, from), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_never_amplifies(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), head in any::<bool>()) {
            if head && bytes.len() >= 20 {
                let length = u16::try_from(bytes.len() - 20).unwrap().to_be_bytes();
                bytes[..8].copy_from_slice(&[0, 1, length[0], length[1], 0x21, 0x12, 0xa4, 0x42]);
            }
            if let Some(answer) = answer(&bytes, "[2001:db8::1]:9".parse().unwrap()) {
                prop_assert!(answer.len() <= 20 + 24 + 8);
            }
        }
    }

    #[tokio::test]
    async fn answers_over_udp_and_slows_a_flood() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(socket, stop.clone()));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"garbage", address).await.unwrap();
        client.send_to(&request(), address).await.unwrap();
        let mut buffer = [0; 128];
        let (length, _) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!(mapped(&buffer[..length]), client.local_addr().unwrap());
        for _ in 0..400 {
            client.send_to(&request(), address).await.unwrap();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let mut answers = 0;
        while client.try_recv(&mut buffer).is_ok() {
            answers += 1;
        }
        assert!((1..=REQUESTS_BURST.get() + 64).contains(&answers), "{answers} answers");
        stop.cancel();
        served.await.unwrap();
    }
}
