//! What is read from a peer's session description (RFC 8866) before the WebRTC engine sees it.
//!
//! A description comes from a stranger, so it is bounded, must ask for one data channel and nothing else, and
//! must name exactly one certificate: with two fingerprints the one that a peer signed and the one that DTLS
//! accepts could differ. Candidates that cannot be dialled here are left out.

use std::net::IpAddr;

/// Largest session description accepted (16 KiB; browsers send less than 2).
pub const DESCRIPTION_BYTES_MAX: usize = 16 * 1024;
/// Candidates of one peer that are tried, described and trickled together.
pub const CANDIDATES_MAX: usize = 32;
/// Largest candidate line accepted.
pub const CANDIDATE_BYTES_MAX: usize = 512;

/// What is wrong with a description or a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Over [`DESCRIPTION_BYTES_MAX`] or [`CANDIDATE_BYTES_MAX`].
    #[error("it is too long")]
    TooLong,
    /// Not exactly one media section, or one that is no data channel.
    #[error("it must ask for one data channel and nothing else")]
    NotOneDataChannel,
    /// No fingerprint of the DTLS certificate.
    #[error("it has no certificate fingerprint")]
    NoFingerprint,
    /// Two fingerprints that differ.
    #[error("it names more than one certificate")]
    ManyFingerprints,
    /// A fingerprint that is not the SHA-256 of RFC 8122.
    #[error("its certificate fingerprint is not a SHA-256")]
    BadFingerprint,
    /// A candidate that RFC 8839 does not allow.
    #[error("it has a malformed candidate")]
    BadCandidate,
    /// More than [`CANDIDATES_MAX`] trickled candidates.
    #[error("it has too many candidates")]
    TooManyCandidates,
}

/// A peer's description after inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The text for the engine, with only usable candidates in it.
    pub text: String,
    /// SHA-256 of the peer's DTLS certificate.
    pub fingerprint: [u8; 32],
    /// Candidates left in `text`.
    pub candidates: usize,
}

/// Inspects a whole description.
///
/// # Errors
/// The first [`Flaw`] found.
pub fn inspect(sdp: &str) -> Result<Description, Flaw> {
    if sdp.len() > DESCRIPTION_BYTES_MAX {
        return Err(Flaw::TooLong);
    }
    let mut text = String::with_capacity(sdp.len() + 64);
    let mut candidates = 0;
    let mut sections = 0;
    for line in sdp.split('\n').map(|line| line.trim_end_matches('\r')) {
        if line.is_empty() {
            continue;
        }
        if let Some(section) = line.strip_prefix("m=") {
            sections += 1;
            if sections > 1 || !section.starts_with("application ") {
                return Err(Flaw::NotOneDataChannel);
            }
        } else if let Some(candidate) = line.strip_prefix("a=candidate:") {
            if candidates == CANDIDATES_MAX || !matches!(usable(candidate), Ok(true)) {
                continue;
            }
            candidates += 1;
        }
        text.push_str(line);
        text.push_str("\r\n");
    }
    if sections == 0 {
        return Err(Flaw::NotOneDataChannel);
    }
    Ok(Description { text, fingerprint: fingerprint(sdp)?, candidates })
}

/// The one SHA-256 certificate fingerprint in a description.
///
/// # Errors
/// [`Flaw`] when it is missing, malformed, or not the only one.
pub fn fingerprint(sdp: &str) -> Result<[u8; 32], Flaw> {
    if sdp.len() > DESCRIPTION_BYTES_MAX {
        return Err(Flaw::TooLong);
    }
    let mut found = None;
    for line in sdp.split('\n').map(|line| line.trim_end_matches('\r')) {
        let Some(value) = line.strip_prefix("a=fingerprint:") else {
            continue;
        };
        let this = parse_fingerprint(value).ok_or(Flaw::BadFingerprint)?;
        if found.replace(this).is_some_and(|before| before != this) {
            return Err(Flaw::ManyFingerprints);
        }
    }
    found.ok_or(Flaw::NoFingerprint)
}

/// `sha-256 AB:CD:…`, 32 pairs of hexadecimal digits.
fn parse_fingerprint(value: &str) -> Option<[u8; 32]> {
    let (algorithm, digits) = value.split_once(' ')?;
    if !algorithm.eq_ignore_ascii_case("sha-256") {
        return None;
    }
    let mut bytes = [0; 32];
    let mut pairs = digits.split(':');
    for byte in &mut bytes {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        hex::decode_to_slice(pair, std::slice::from_mut(byte)).ok()?;
    }
    pairs.next().is_none().then_some(bytes)
}

/// Whether a candidate, without its `candidate:` prefix, can be dialled: UDP to an address.
///
/// Names (`….local`, RFC draft-ietf-mmusic-mdns-ice-candidates) are not looked up: such a browser reaches us
/// instead, and is learnt as a peer-reflexive candidate. TCP is not dialled, so that a stranger cannot make
/// this machine open connections to services of his choice.
///
/// # Errors
/// [`Flaw::TooLong`] and [`Flaw::BadCandidate`].
pub fn usable(candidate: &str) -> Result<bool, Flaw> {
    if candidate.len() > CANDIDATE_BYTES_MAX {
        return Err(Flaw::TooLong);
    }
    let mut fields = candidate.split_ascii_whitespace();
    let mut field = || fields.next().ok_or(Flaw::BadCandidate);
    let (_foundation, component, transport) = (field()?, field()?, field()?);
    let (priority, address, port, typ, kind) = (field()?, field()?, field()?, field()?, field()?);
    component.parse::<u16>().map_err(|_| Flaw::BadCandidate)?;
    priority.parse::<u32>().map_err(|_| Flaw::BadCandidate)?;
    let port: u16 = port.parse().map_err(|_| Flaw::BadCandidate)?;
    if typ != "typ" || !matches!(kind, "host" | "srflx" | "prflx" | "relay") {
        return Err(Flaw::BadCandidate);
    }
    let dialable = |address: IpAddr| !address.is_unspecified() && !address.is_multicast();
    let address = address.parse().ok().filter(|address| dialable(*address));
    Ok(transport.eq_ignore_ascii_case("udp") && port != 0 && address.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str =
        "A1:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20";

    fn browser_offer(extra: &str) -> String {
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
             a=fingerprint:sha-256 {FINGERPRINT}\r\n{extra}a=sctp-port:5000\r\n"
        )
    }

    #[test]
    fn a_browser_offer_passes_and_keeps_only_dialable_candidates() {
        let offer = browser_offer(
            "a=candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host generation 0\r\n\
             a=candidate:2 1 udp 2113937151 4d1b9fca-1a3e-4d7e-8f46-3d2d0f6a7c11.local 50001 typ host\r\n\
             a=candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active\r\n\
             a=candidate:nonsense\r\n\
             a=candidate:4 1 UDP 1 2001:db8::7 50002 typ srflx raddr :: rport 0\r\n",
        );
        let description = inspect(&offer).unwrap();
        assert_eq!(description.candidates, 2);
        assert_eq!(description.text.matches("a=candidate:").count(), 2);
        assert!(!description.text.contains(".local") && !description.text.contains("tcp"));
        assert_eq!(description.fingerprint[..2], [0xa1, 0x02]);
        assert_eq!(description.fingerprint[31], 0x20);
    }

    #[test]
    fn what_is_not_one_data_channel_with_one_certificate_is_refused() {
        let refused = |sdp: &str| inspect(sdp).unwrap_err();
        assert_eq!(refused(""), Flaw::NotOneDataChannel);
        assert_eq!(refused("\0\u{7f}m=\r\n\n\n"), Flaw::NotOneDataChannel);
        assert_eq!(refused(&browser_offer("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")), Flaw::NotOneDataChannel);
        assert_eq!(refused(&"v=0\r\n".repeat(DESCRIPTION_BYTES_MAX)), Flaw::TooLong);
        let second = format!("a=fingerprint:sha-256 {}\r\n", FINGERPRINT.replace("A1", "A2"));
        assert_eq!(refused(&browser_offer(&second)), Flaw::ManyFingerprints);
        let same = format!("a=fingerprint:sha-256 {}\r\n", FINGERPRINT.to_lowercase());
        assert!(inspect(&browser_offer(&same)).is_ok());
        for bad in ["sha-1 AA:BB", "sha-256 ", "sha-256 AA:BB", "sha-256", "sha-256 +1:02", "é"] {
            assert_eq!(refused(&browser_offer(&format!("a=fingerprint:{bad}\r\n"))), Flaw::BadFingerprint);
        }
        let missing = browser_offer("").replace("a=fingerprint", "a=other");
        assert_eq!(refused(&missing), Flaw::NoFingerprint);
    }

    #[test]
    fn candidates_beyond_the_limit_are_left_out() {
        let many = "a=candidate:1 1 udp 1 192.0.2.7 50000 typ host\r\n".repeat(CANDIDATES_MAX * 3);
        assert_eq!(inspect(&browser_offer(&many)).unwrap().candidates, CANDIDATES_MAX);
    }

    #[test]
    fn candidates_are_told_apart() {
        assert_eq!(usable("1 1 udp 1 192.0.2.7 50000 typ host"), Ok(true));
        for skipped in [
            "1 1 udp 1 x.local 50000 typ host",
            "1 1 tcp 1 192.0.2.7 50000 typ host tcptype passive",
            "1 1 udp 1 0.0.0.0 50000 typ host",
            "1 1 udp 1 224.0.0.251 5353 typ host",
            "1 1 udp 1 192.0.2.7 0 typ host",
        ] {
            assert_eq!(usable(skipped), Ok(false), "{skipped}");
        }
        for bad in ["", "1 1 udp", "1 x udp 1 192.0.2.7 1 typ host", "1 1 udp 1 192.0.2.7 99999 typ host"] {
            assert_eq!(usable(bad), Err(Flaw::BadCandidate), "{bad}");
        }
        assert_eq!(usable(&"1 ".repeat(CANDIDATE_BYTES_MAX)), Err(Flaw::TooLong));
    }
}
