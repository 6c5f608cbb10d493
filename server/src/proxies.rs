//! Whose request it is, behind proxies: the right-most address of those that requests came through which is not a trusted
//! proxy's. What stands to the left of it is its own words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

/// Proxies one behind the other that are gone through; beyond it the last one gone through is the client.
const HOPS_MAX: usize = 32;

/// The header in which trusted proxies tell for whom they ask. Only one is read: the other may be the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// `X-Forwarded-For`: addresses, the nearest last.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239): `for=` of each element, the nearest last.
    Forwarded,
}

impl Header {
    /// The header of this name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "x-forwarded-for" => Some(Self::XForwardedFor),
            "forwarded" => Some(Self::Forwarded),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// The proxies that an operator trusts.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: Header,
}

impl Proxies {
    /// Proxies in these networks (CIDR, or single addresses), which set this header. The error says what is wrong.
    pub fn parse(trusted: &[String], header: &str) -> Result<Self, String> {
        let header = Header::parse(header)
            .ok_or_else(|| "server.proxy_header must be x-forwarded-for or forwarded".to_owned())?;
        let network = |text: &String| {
            let text = text.trim();
            let address = text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
            address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                format!(
                    "server.trusted_proxies: {text} is neither an address nor a network such as 10.0.0.0/8"
                )
            })
        };
        Ok(Self { trusted: trusted.iter().map(network).collect::<Result<_, _>>()?, header })
    }

    /// Whether an address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Whose request it is. A proxy that does not say for whom it asks, or says what is no address, asks for itself.
    pub fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = connected.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let lines: Vec<&HeaderValue> = headers.get_all(self.header.name()).iter().collect();
        let hops = lines.into_iter().rev().flat_map(|line| self.hops(line)).take(HOPS_MAX);
        for hop in hops {
            let Some(address) = hop else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// The addresses of a header's line, the nearest first; none for one that is not told.
    fn hops(&self, line: &HeaderValue) -> Vec<Option<IpAddr>> {
        let Ok(line) = line.to_str() else { return vec![None] };
        match self.header {
            Header::XForwardedFor => line.rsplit(',').take(HOPS_MAX).map(|hop| node(hop.trim())).collect(),
            Header::Forwarded => from_the_right(line, ',').into_iter().take(HOPS_MAX).map(for_of).collect(),
        }
    }
}

/// The address in `for=` of an element (RFC 7239 §4).
fn for_of(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in from_the_right(element, ';') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    node(quoted.unwrap_or(value))
}

/// An address with or without a port; none for `unknown`, for a name that hides one, and for garbage.
fn node(text: &str) -> Option<IpAddr> {
    let port = |text: &str| text.is_empty() || text.starts_with(':');
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        let address = host.parse::<Ipv6Addr>().ok().filter(|_| port(after))?;
        return Some(IpAddr::V6(address).to_canonical());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (host, _) = text.split_once(':')?;
    host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// The parts of a text between separators that stand outside of quotes, the last in front. Read from the right: what a proxy
/// appended is whole, whatever quote the client left open before it.
fn from_the_right(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut end, mut quoted) = (text.len(), false);
    for (at, letter) in text.char_indices().rev() {
        if letter == '"' {
            let escapes = text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count();
            // Only inside of quotes does a backslash escape.
            quoted ^= !quoted || escapes.is_multiple_of(2);
        } else if letter == separator && !quoted {
            parts.push(&text[at + letter.len_utf8()..end]);
            end = at;
        }
    }
    parts.push(&text[..end]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXIES: [&str; 3] = ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.1"];

    fn client(connected: &str, header: &'static str, lines: &[&str]) -> String {
        let trusted = PROXIES.map(str::to_owned);
        let proxies = Proxies::parse(&trusted, header).unwrap();
        let value =
            |line: &&str| (header.parse().unwrap(), HeaderValue::from_bytes(line.as_bytes()).unwrap());
        let headers: HeaderMap =
            lines.iter().map(value).collect::<Vec<(axum::http::HeaderName, _)>>().into_iter().fold(
                HeaderMap::new(),
                |mut all, (name, value)| {
                    all.append(name, value);
                    all
                },
            );
        proxies.client(connected.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_right_most_address_that_is_not_trusted_is_the_clients() {
        let many = vec!["10.1.1.1"; 40].join(", ");
        let far = format!("203.0.113.9, {many}");
        for (connected, lines, expected) in [
            // Whoever comes by no trusted proxy says what he likes.
            ("203.0.113.5", vec!["198.51.100.1"], "203.0.113.5"),
            ("203.0.113.5", vec!["10.0.0.1"], "203.0.113.5"),
            ("127.0.0.1", vec!["198.51.100.1"], "127.0.0.1"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            // What stands further left is forged or the client's own proxy.
            ("10.0.0.1", vec!["8.8.8.8, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["8.8.8.8", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["8.8.8.8, 198.51.100.1, 10.2.2.2, 192.0.2.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["8.8.8.8, 198.51.100.1, 192.0.2.2"], "192.0.2.2"),
            ("10.0.0.1", vec!["10.7.7.7, 10.8.8.8"], "10.7.7.7"),
            // One address, however it is written.
            ("::ffff:10.0.0.1", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:203.0.113.5", vec!["198.51.100.1"], "203.0.113.5"),
            ("10.0.0.1", vec!["8.8.8.8, ::ffff:10.9.9.9"], "8.8.8.8"),
            ("2001:db8:1::1", vec!["2001:db8:2::7"], "2001:db8:2::7"),
            ("2001:db8:1::1", vec!["[2001:db8:2::7]:443"], "2001:db8:2::7"),
            ("10.0.0.1", vec!["198.51.100.1:4711"], "198.51.100.1"),
            // What is no address ends the way: the proxy asks for itself.
            ("10.0.0.1", vec!["8.8.8.8, unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["8.8.8.8, "], "10.0.0.1"),
            ("10.0.0.1", vec![",,,"], "10.0.0.1"),
            ("10.0.0.1", vec!["8.8.8.8, \u{fc}"], "10.0.0.1"),
            ("10.0.0.1", vec!["198.051.100.1"], "10.0.0.1"),
            ("10.0.0.1", vec!["8.8.8.8, garbage, 10.5.5.5"], "10.5.5.5"),
            ("10.0.0.1", vec!["0x7f.1, 1.2.3, 1.2.3.4.5"], "10.0.0.1"),
            // A way without end is not gone to its end.
            ("10.0.0.1", vec![far.as_str()], "10.1.1.1"),
        ] {
            assert_eq!(client(connected, "x-forwarded-for", &lines), expected, "{connected} {lines:?}");
        }
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes() {
        for (lines, expected) in [
            (vec!["for=198.51.100.1"], "198.51.100.1"),
            (vec!["FOR=\"198.51.100.1:80\";proto=https"], "198.51.100.1"),
            (vec!["proto=https; for=\"[2001:db8:2::7]:4711\" ;by=10.0.0.1"], "2001:db8:2::7"),
            (vec!["for=8.8.8.8, for=198.51.100.1;by=10.0.0.1, for=10.2.2.2"], "198.51.100.1"),
            (vec!["for=_hidden"], "10.0.0.1"),
            (vec!["for=unknown, for=10.2.2.2"], "10.2.2.2"),
            (vec!["by=8.8.8.8"], "10.0.0.1"),
            (vec!["for=8.8.8.8;for=9.9.9.9"], "10.0.0.1"),
            // A quote that the client left open does not swallow what the proxy wrote.
            (vec!["for=\"8.8.8.8, for=198.51.100.1"], "198.51.100.1"),
            // Nor does a host with quotes, which the proxy escaped, look like an element.
            (vec!["for=198.51.100.1;host=\"a\\\",for=8.8.8.8;x=\\\"b\""], "198.51.100.1"),
            (vec!["\"\"\"\\\"", "for="], "10.0.0.1"),
        ] {
            assert_eq!(client("10.0.0.1", "forwarded", &lines), expected, "{lines:?}");
        }
        let both = Proxies::parse(&["10.0.0.1".to_owned()], "forwarded").unwrap();
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse::<axum::http::HeaderName>().unwrap(),
            HeaderValue::from_static("8.8.8.8"),
        )]);
        assert_eq!(
            both.client("10.0.0.1".parse().unwrap(), &headers).to_string(),
            "10.0.0.1",
            "not the one they set"
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let parse = |text: &str| Proxies::parse(&[text.to_owned()], "x-forwarded-for");
        for text in ["", "10.0.0.0/33", "10.0.0", "proxy.example", "10.0.0.0/8/8"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(Proxies::parse(&[], "x-real-ip").is_err());
        assert!(!Proxies::default().trusts(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }

    proptest::proptest! {
        #[test]
        fn garbage_never_panics(line in "[\\x20-\\x7e]{0,80}") {
            for header in ["x-forwarded-for", "forwarded"] {
                client("10.0.0.1", header, &[&line]);
                assert_eq!(client("203.0.113.5", header, &[&line]), "203.0.113.5");
            }
        }
    }
}
