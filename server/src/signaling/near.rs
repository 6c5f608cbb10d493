//! Which peers are near each other, by the addresses the server sees them from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A local network as far as an address tells: peers with the same one can probably reach each other directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

/// The network of an address: the address itself where it is public IPv4 (everyone behind one router shares it), the
/// /24 where it is private, the /64 of IPv6, the machine itself where it is loopback.
#[must_use]
pub fn network(address: IpAddr) -> Network {
    Network(match address.to_canonical() {
        IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) if v6.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_router_same_network() {
        let near = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(near("192.168.1.2", "192.168.1.77"));
        assert!(!near("192.168.1.2", "192.168.2.2"));
        assert!(near("198.51.100.7", "198.51.100.7"));
        assert!(!near("198.51.100.7", "198.51.100.8"));
        assert!(near("198.51.100.7", "::ffff:198.51.100.7"));
        assert!(near("2001:db8::1", "2001:db8::ffff"));
        assert!(!near("2001:db8::1", "2001:db8:0:1::1"));
        assert!(near("127.0.0.1", "::1"));
    }
}
