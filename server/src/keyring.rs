//! Signing keys in memory: signs view tokens and manifests, verifies tokens, publishes the JWKS.
//!
//! A key is `next` (published, does not sign yet), `current` (signs) or `retired` (published until what it signed has run
//! out). Manifests never run out, so retired release keys stay published for good.

use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use matinee_protocol::device::SigningKey as DeviceSigningKey;
use matinee_protocol::jws::{self, KeySet, KeyUse};
use matinee_protocol::limit::{TOKEN_LEEWAY_S, VIEW_TOKEN_BYTES_MAX};
use matinee_protocol::token::{self, ViewTokenClaims};

use crate::clock::Clock;
use crate::random;
use crate::store::audit::By;
use crate::store::sealed::Shelf;
use crate::store::signing_key::{self, SigningKey, State};
use crate::store::{self, Store};
use crate::vault::{self, Vault};

/// How long a retired view key stays in the JWKS: longer than any token and its renewal by an expired token.
pub const RETIRED_VIEW_KEY_MS: i64 = 24 * 60 * 60 * 1000;
/// The type of a manifest's JWS.
pub const MANIFEST_TYP: &str = matinee_protocol::manifest::TYP;

/// Why a token or the ring itself was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A signing key does not open.
    #[error(transparent)]
    Vault(#[from] vault::Error),
    /// There is no key for this use; `matinee init` makes them.
    #[error("no current {0:?} signing key: run matinee init")]
    Missing(KeyUse),
    /// The token is not one of ours, or not for this.
    #[error("the view token is not valid")]
    Token,
    /// The token was ours and has run out.
    #[error("the view token has expired")]
    Expired,
    /// What should be signed does not fit.
    #[error("the view token would be longer than its limit")]
    TooLong,
}

struct Signer {
    kid: String,
    encoding: EncodingKey,
    raw: DeviceSigningKey,
}

struct Ring {
    view: Signer,
    release: Signer,
    verifiers: Vec<(String, DecodingKey)>,
    public: KeySet,
}

/// The keys that sign, loaded from the store.
#[derive(Clone)]
pub struct Keyring {
    ring: Arc<RwLock<Arc<Ring>>>,
    issuer: Arc<str>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Makes the first keys where there are none, and loads the ring.
    pub async fn open(store: &Store, vault: &Vault, clock: &dyn Clock, issuer: &str) -> Result<Self, Error> {
        let mut tx = store.write().await?;
        for key_use in [KeyUse::View, KeyUse::Release] {
            for state in [State::Current, State::Next] {
                if signing_key::by_state(&mut tx, key_use, state).await?.is_none() {
                    let key = generate(vault, key_use, state, clock.now_ms());
                    signing_key::insert(&mut tx, &key).await?;
                }
            }
        }
        tx.commit().await?;
        let ring = load(store, vault, clock).await?;
        Ok(Self { ring: Arc::new(RwLock::new(Arc::new(ring))), issuer: issuer.into() })
    }

    /// Reads the keys again, after a rotation by the command.
    pub async fn reload(&self, store: &Store, vault: &Vault, clock: &dyn Clock) -> Result<(), Error> {
        let ring = load(store, vault, clock).await?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    /// The issuer written into tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public keys.
    pub fn key_set(&self) -> KeySet {
        self.ring().public.clone()
    }

    /// Signs a view token.
    pub fn sign_view_token(&self, claims: &ViewTokenClaims) -> Result<String, Error> {
        let ring = self.ring();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(token::TYP.to_owned());
        header.kid = Some(ring.view.kid.clone());
        let signed = jsonwebtoken::encode(&header, claims, &ring.view.encoding).map_err(|_| Error::Token)?;
        if signed.len() > VIEW_TOKEN_BYTES_MAX {
            return Err(Error::TooLong);
        }
        Ok(signed)
    }

    /// Verifies a view token as PROTOCOL §3 and RFC 8725 ask: one algorithm, `typ`, `iss`, `aud`, a `kid` from the ring
    /// and an `exp` in the future.
    pub fn verify_view_token(&self, token: &str, now_s: u64) -> Result<ViewTokenClaims, Error> {
        let claims = self.verify_view_token_at_any_age(token)?;
        if claims.exp.saturating_add(TOKEN_LEEWAY_S) <= now_s {
            return Err(Error::Expired);
        }
        Ok(claims)
    }

    /// The same without `exp`, for renewals: there the view must be active instead.
    pub fn verify_view_token_at_any_age(&self, token: &str) -> Result<ViewTokenClaims, Error> {
        if token.len() > VIEW_TOKEN_BYTES_MAX {
            return Err(Error::Token);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Error::Token)?;
        if header.typ.as_deref() != Some(token::TYP) {
            return Err(Error::Token);
        }
        let ring = self.ring();
        let kid = header.kid.as_deref().ok_or(Error::Token)?;
        let (_, key) = ring.verifiers.iter().find(|(known, _)| known == kid).ok_or(Error::Token)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.algorithms = vec![Algorithm::EdDSA];
        validation.set_issuer(&[&*self.issuer]);
        validation.set_audience(&[token::AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The library reads the machine's clock; this server's clock is an argument of the callers.
        validation.validate_exp = false;
        let data =
            jsonwebtoken::decode::<ViewTokenClaims>(token, key, &validation).map_err(|_| Error::Token)?;
        Ok(data.claims)
    }

    /// Signs a manifest's payload, as a compact JWS.
    pub fn sign_manifest(&self, payload: &[u8]) -> String {
        let ring = self.ring();
        let header = jws::Header {
            alg: jws::ALG.to_owned(),
            typ: MANIFEST_TYP.to_owned(),
            kid: Some(ring.release.kid.clone()),
            jwk: None,
        };
        jws::sign(payload, &header, &ring.release.raw)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Makes the next key of a use the current one, retires the current and publishes a new next one. Gives the new
/// current kid.
pub async fn rotate(
    store: &Store,
    vault: &Vault,
    clock: &dyn Clock,
    key_use: KeyUse,
) -> Result<String, Error> {
    let now_ms = clock.now_ms();
    let mut tx = store.write().await?;
    let next = signing_key::by_state(&mut tx, key_use, State::Next).await?.ok_or(Error::Missing(key_use))?;
    if let Some(current) = signing_key::by_state(&mut tx, key_use, State::Current).await? {
        signing_key::set_state(&mut tx, &current.kid, State::Retired, Some(now_ms)).await?;
    }
    signing_key::set_state(&mut tx, &next.kid, State::Current, None).await?;
    signing_key::insert(&mut tx, &generate(vault, key_use, State::Next, now_ms)).await?;
    By::command().note(&mut tx, "signing_key.rotate", &next.kid, serde_json::json!({}), now_ms).await?;
    tx.commit().await?;
    Ok(next.kid)
}

fn vault_name(kid: &str) -> String {
    Shelf::SigningKeys.vault_name(kid)
}

fn generate(vault: &Vault, key_use: KeyUse, state: State, now_ms: i64) -> SigningKey {
    let seed = zeroize::Zeroizing::new(random::bytes::<32>());
    let public = DeviceSigningKey::from_seed(&seed).public();
    let prefix = match key_use {
        KeyUse::View => "v",
        KeyUse::Release => "r",
    };
    let kid = format!("{prefix}-{}", hex::encode(random::bytes::<4>()));
    let secret = vault.seal(&vault_name(&kid), &seed[..]);
    SigningKey { kid, key_use, state, public: public.0, secret, created_at_ms: now_ms, retired_at_ms: None }
}

async fn load(store: &Store, vault: &Vault, clock: &dyn Clock) -> Result<Ring, Error> {
    let mut tx = store.read().await?;
    let keys = signing_key::all(&mut tx).await?;
    drop(tx);
    let (mut view, mut release) = (None, None);
    let mut verifiers = Vec::new();
    let mut public = KeySet::default();
    for key in keys {
        let gone = key.retired_at_ms.is_some_and(|at| at + RETIRED_VIEW_KEY_MS < clock.now_ms());
        if gone && key.key_use == KeyUse::View {
            continue;
        }
        let public_key = matinee_protocol::device::DevicePublicKey(key.public);
        if key.key_use == KeyUse::View {
            verifiers.push((key.kid.clone(), DecodingKey::from_ed_der(&key.public)));
        }
        public.insert(key.kid.clone(), key.key_use, public_key);
        if key.state == State::Current {
            let seed = vault.open_secret(&vault_name(&key.kid), &key.secret)?;
            let signer = Signer {
                encoding: EncodingKey::from_ed_der(&pkcs8(&seed)),
                raw: DeviceSigningKey::from_seed(&seed),
                kid: key.kid,
            };
            match key.key_use {
                KeyUse::View => view = Some(signer),
                KeyUse::Release => release = Some(signer),
            }
        }
    }
    Ok(Ring {
        view: view.ok_or(Error::Missing(KeyUse::View))?,
        release: release.ok_or(Error::Missing(KeyUse::Release))?,
        verifiers,
        public,
    })
}

/// An Ed25519 seed as PKCS #8 (RFC 8410 §7), the form the JWT library reads.
fn pkcs8(seed: &[u8; 32]) -> zeroize::Zeroizing<Vec<u8>> {
    const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let mut der = zeroize::Zeroizing::new(Vec::with_capacity(48));
    der.extend_from_slice(&PREFIX);
    der.extend_from_slice(seed);
    der
}
