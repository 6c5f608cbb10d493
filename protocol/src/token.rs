//! The view token (PROTOCOL §3): the short JWT that opens the four gates.

use serde::{Deserialize, Serialize};

use crate::device::SigningKey;
use crate::id::{SwarmId, Thumbprint, ViewId};
use crate::jws::{self, KeySet, KeyUse};
use crate::limit::{TOKEN_LEEWAY_S, VIEW_TOKEN_BYTES_MAX};

/// `typ` of a view token.
pub const TYP: &str = "matinee-view+jwt";
/// `aud` of a view token.
pub const AUDIENCE: &str = "swarm";

/// What a member may do in the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Has a view, and with it may ask for keys.
    Viewer,
    /// Holds and serves ciphertext without keys.
    Carrier,
}

/// Proof-of-possession binding (RFC 7800, RFC 9449 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Thumbprint of the device's signing key.
    pub jkt: Thumbprint,
}

/// The claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewTokenClaims {
    /// The server that issued it.
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The view, or a carrier's opaque id.
    pub sub: ViewId,
    /// Unique id of the token.
    pub jti: String,
    /// End of validity, Unix seconds.
    pub exp: u64,
    /// The device it is bound to.
    pub cnf: Confirmation,
    /// The swarm it admits to.
    pub swm: SwarmId,
    /// The role in it.
    pub rol: Role,
}

/// Why a view token was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Form, algorithm, type, key or signature.
    #[error("the view token was refused: {0}")]
    Signature(#[from] jws::Error),
    /// Not the claims of a view token.
    #[error("the view token's claims are not of the known form")]
    Form,
    /// Another issuer.
    #[error("the view token is from another issuer")]
    Issuer,
    /// Another audience.
    #[error("the view token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the view token has expired, renew the view")]
    Expired,
}

/// Verifies a view token against the server's key set and issuer (RFC 8725).
pub fn verify(token: &str, keys: &KeySet, issuer: &str, now_s: u64) -> Result<ViewTokenClaims, Error> {
    let payload = jws::verify(token, TYP, keys, KeyUse::View, VIEW_TOKEN_BYTES_MAX)?;
    let claims: ViewTokenClaims = serde_json::from_slice(&payload).map_err(|_| Error::Form)?;
    if claims.iss != issuer {
        return Err(Error::Issuer);
    }
    if claims.aud != AUDIENCE {
        return Err(Error::Audience);
    }
    if claims.exp.saturating_add(TOKEN_LEEWAY_S) <= now_s {
        return Err(Error::Expired);
    }
    Ok(claims)
}

/// Issues a view token; the pure twin of the server's, for tests, the laboratory and vectors.
pub fn issue(claims: &ViewTokenClaims, kid: &str, key: &SigningKey) -> String {
    let header =
        jws::Header { alg: jws::ALG.to_owned(), typ: TYP.to_owned(), kid: Some(kid.to_owned()), jwk: None };
    let payload = serde_json::to_vec(claims).expect("claims of strings and numbers serialize");
    jws::sign(&payload, &header, key)
}
