//! Messages between a peer and the server's signaling (PROTOCOL §7): JSON text over a WebSocket.

use serde::{Deserialize, Serialize};

use crate::id::PeerId;
use crate::limit::{
    CANDIDATE_BYTES_MAX, PEERS_GIVEN_MAX, PROOF_BYTES_MAX, REASON_BYTES_MAX, SDP_BYTES_MAX,
    SIGNALING_BYTES_MAX, VIEW_TOKEN_BYTES_MAX,
};

/// How far away the server takes a peer to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Near {
    /// Behind the same address.
    Lan,
    /// Anywhere else.
    Far,
}

/// A peer to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHint {
    /// Its id for this membership.
    pub peer: PeerId,
    /// How near it is.
    pub near: Near,
}

/// A session description or an ICE candidate on its way from one peer to another.
///
/// `peer` is the receiver on the way to the server and the sender on the way from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Relay {
    /// The newcomer's description.
    Offer {
        /// The other peer.
        peer: PeerId,
        /// Session description.
        sdp: String,
    },
    /// The answer to it.
    Answer {
        /// The other peer.
        peer: PeerId,
        /// Session description.
        sdp: String,
    },
    /// A trickled ICE candidate.
    Candidate {
        /// The other peer.
        peer: PeerId,
        /// Candidate attribute; empty at the end of candidates.
        candidate: String,
        /// Media section id.
        #[serde(default)]
        sdp_mid: Option<String>,
        /// Media section index.
        #[serde(default)]
        sdp_m_line_index: Option<u16>,
    },
}

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToServer {
    /// Let me in.
    Join {
        /// View token.
        token: String,
        /// Proof of possession that carries the challenge.
        proof: String,
    },
    /// My token is renewed.
    Renew {
        /// View token.
        token: String,
        /// Proof of possession that carries the challenge.
        proof: String,
    },
    /// A peer misbehaved.
    Report {
        /// The peer.
        peer: PeerId,
        /// Why, in a word.
        reason: String,
    },
    /// Tell me more peers.
    More {},
    /// To be relayed.
    #[serde(untagged)]
    Relay(Relay),
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToPeer {
    /// Prove yourself with this.
    Challenge {
        /// To be put in the proof.
        nonce: String,
    },
    /// You are in.
    Joined {
        /// Your id.
        peer: PeerId,
        /// Whom to offer to.
        peers: Vec<PeerHint>,
    },
    /// More peers.
    Peers {
        /// Whom to offer to.
        peers: Vec<PeerHint>,
    },
    /// A peer is gone.
    Left {
        /// Its id.
        peer: PeerId,
    },
    /// Your view was ended; the connection closes.
    Revoked {
        /// Why.
        reason: String,
    },
    /// A message was refused.
    Error {
        /// Stable code.
        code: String,
        /// What to do.
        detail: String,
    },
    /// From another peer.
    #[serde(untagged)]
    Relay(Relay),
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Above [`SIGNALING_BYTES_MAX`] or a field above its own limit.
    #[error("the signaling message is too long")]
    TooLong,
    /// Not a known message.
    #[error("not a known signaling message")]
    Form,
}

impl Relay {
    /// The other peer.
    pub fn peer(&self) -> PeerId {
        match self {
            Self::Offer { peer, .. } | Self::Answer { peer, .. } | Self::Candidate { peer, .. } => *peer,
        }
    }

    /// The same message with `peer` put in.
    pub fn with_peer(mut self, new: PeerId) -> Self {
        match &mut self {
            Self::Offer { peer, .. } | Self::Answer { peer, .. } | Self::Candidate { peer, .. } => {
                *peer = new
            }
        }
        self
    }

    fn fits(&self) -> bool {
        match self {
            Self::Offer { sdp, .. } | Self::Answer { sdp, .. } => sdp.len() <= SDP_BYTES_MAX,
            Self::Candidate { candidate, sdp_mid, .. } => {
                candidate.len() <= CANDIDATE_BYTES_MAX
                    && sdp_mid.as_ref().is_none_or(|mid| mid.len() <= REASON_BYTES_MAX)
            }
        }
    }
}

impl ToServer {
    /// Reads a message from a peer.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let message: Self = decode_json(text)?;
        let fits = match &message {
            Self::Join { token, proof } | Self::Renew { token, proof } => {
                token.len() <= VIEW_TOKEN_BYTES_MAX && proof.len() <= PROOF_BYTES_MAX
            }
            Self::Report { reason, .. } => reason.len() <= REASON_BYTES_MAX,
            Self::More {} => true,
            Self::Relay(relay) => relay.fits(),
        };
        if fits { Ok(message) } else { Err(Error::TooLong) }
    }

    /// Writes the message.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a message of strings and numbers serializes")
    }
}

impl ToPeer {
    /// Reads a message from the server.
    pub fn decode(text: &str) -> Result<Self, Error> {
        let message: Self = decode_json(text)?;
        let fits = match &message {
            Self::Joined { peers, .. } | Self::Peers { peers } => peers.len() <= PEERS_GIVEN_MAX,
            Self::Relay(relay) => relay.fits(),
            _ => true,
        };
        if fits { Ok(message) } else { Err(Error::TooLong) }
    }

    /// Writes the message.
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a message of strings and numbers serializes")
    }
}

fn decode_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    if text.len() > SIGNALING_BYTES_MAX {
        return Err(Error::TooLong);
    }
    serde_json::from_str(text).map_err(|_| Error::Form)
}
