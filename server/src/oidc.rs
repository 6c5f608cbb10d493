//! Identities of other providers (OpenID Connect Core 1.0): authorization code with PKCE (RFC 7636), state and nonce.
//!
//! What a provider says is believed only in an ID token that it signed for this client and this very sign-in. Who somebody is
//! there is the pair of issuer and subject, never an address.

mod http;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::encoding::b64u;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdTokenClaims, CoreJwsSigningAlgorithm, CoreProviderMetadata,
    CoreUserInfoClaims,
};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
};
use serde::{Deserialize, Serialize};

use crate::config::provider::Provider;
use crate::random;
use http::Http;

/// How long what a provider says of itself is believed: its addresses and its keys.
const METADATA_LIFE: Duration = Duration::from_secs(5 * 60);
/// Signatures that are taken: never a shared secret, never none.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 10] = [
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EcdsaP521Sha512,
    CoreJwsSigningAlgorithm::EdDsa,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
];

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Why nobody is known by a provider.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no provider of this name.
    #[error("no such provider")]
    Unknown,
    /// It does not answer, or not as a provider.
    #[error("the provider does not answer as one: {0}")]
    Unreachable(String),
    /// What it answered does not hold.
    #[error("the provider's answer does not hold: {0}")]
    Refused(String),
}

/// What must be remembered while somebody is at the provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    nonce: String,
    verifier: String,
}

/// A way to a provider.
#[derive(Debug)]
pub struct Asked {
    /// Where the browser is sent.
    pub url: String,
    /// Comes back with it.
    pub state: String,
    /// For the server alone.
    pub kept: Kept,
}

/// Who somebody is at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The provider, as its tokens name it.
    pub issuer: String,
    /// The provider's own name for the person, which it gives to nobody else.
    pub subject: String,
    /// The address, where the provider says that it is theirs.
    pub email: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// The providers that the operator named.
#[derive(Debug)]
pub struct Providers {
    configured: BTreeMap<String, Provider>,
    public_url: String,
    http: Http,
    metadata: moka::future::Cache<String, Arc<CoreProviderMetadata>>,
}

impl Providers {
    /// Those configured. Nothing is asked of them yet.
    pub fn new(configured: BTreeMap<String, Provider>, public_url: &str) -> Self {
        let metadata = moka::future::Cache::builder().max_capacity(100).time_to_live(METADATA_LIFE).build();
        Self { configured, public_url: public_url.to_owned(), http: Http::new(), metadata }
    }

    /// Name and label of each.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.configured.iter().map(|(name, provider)| (name.as_str(), provider.label.as_str()))
    }

    /// The name of the provider with this issuer.
    pub fn of_issuer(&self, issuer: &str) -> Option<(&str, &str)> {
        let found = self.configured.iter().find(|(_, provider)| provider.issuer == issuer)?;
        Some((found.0, &found.1.label))
    }

    /// The issuer of a provider.
    pub fn issuer(&self, name: &str) -> Result<&str, Error> {
        Ok(&self.configured.get(name).ok_or(Error::Unknown)?.issuer)
    }

    /// Begins a sign-in.
    pub async fn ask(&self, name: &str) -> Result<Asked, Error> {
        let client = self.client(name).await?;
        let verifier = PkceCodeVerifier::new(b64u(&random::bytes::<32>()));
        let (state, nonce) = (b64u(&random::bytes::<32>()), b64u(&random::bytes::<32>()));
        let (url, ..) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                {
                    let state = state.clone();
                    move || CsrfToken::new(state)
                },
                {
                    let nonce = nonce.clone();
                    move || Nonce::new(nonce)
                },
            )
            .add_scopes(["email", "profile"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(Asked { url: url.into(), state, kept: Kept { nonce, verifier: verifier.into_secret() } })
    }

    /// Ends a sign-in: exchanges the code and says who it is for.
    pub async fn take(&self, name: &str, code: String, kept: Kept) -> Result<Person, Error> {
        let client = self.client(name).await?;
        let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(unreachable)?;
        let verifier = PkceCodeVerifier::new(kept.verifier);
        let tokens = exchange.set_pkce_verifier(verifier).request_async(&self.http).await.map_err(
            |error| match error {
                openidconnect::RequestTokenError::ServerResponse(said) => Error::Refused(said.to_string()),
                error => unreachable(error),
            },
        )?;
        let token = tokens.id_token().ok_or_else(|| Error::Refused("no ID token".to_owned()))?;
        let checked = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        let claims = match token.claims(&checked, &Nonce::new(kept.nonce)) {
            Ok(claims) => claims,
            Err(error) => {
                // Its keys may have changed: the next attempt asks for them.
                self.metadata.invalidate(name).await;
                return Err(refused(error));
            }
        };
        let client_id = client.client_id();
        if claims.authorized_party().is_some_and(|party| party != client_id) {
            return Err(Error::Refused("the token was made for another client".to_owned()));
        }
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(refused)?;
            let key = token.signing_key(&checked).map_err(refused)?;
            let actual =
                AccessTokenHash::from_token(tokens.access_token(), algorithm, key).map_err(refused)?;
            if actual != *expected {
                return Err(Error::Refused("the access token is not the one of the ID token".to_owned()));
            }
        }
        let person = self.person(&client, claims, tokens.access_token().clone()).await;
        Ok(person)
    }

    /// Address and name may stand in the ID token or must be asked for; a sign-in does not fail for want of them.
    async fn person(&self, client: &Client, claims: &CoreIdTokenClaims, access: AccessToken) -> Person {
        let mut person = Person {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            email: None,
            name: claims.name().and_then(|names| names.get(None)).map(|name| name.to_string()),
        };
        if claims.email_verified() == Some(true) {
            person.email = claims.email().map(|email| email.to_string());
        }
        if person.email.is_some() {
            return person;
        }
        // The answer must be about the same subject.
        let Ok(request) = client.user_info(access, Some(claims.subject().clone())) else { return person };
        let told: Result<CoreUserInfoClaims, _> = request.request_async(&self.http).await;
        match told {
            Ok(told) => {
                if told.email_verified() == Some(true) {
                    person.email = told.email().map(|email| email.to_string());
                }
                let name = told.name().and_then(|names| names.get(None)).map(|name| name.to_string());
                person.name = person.name.or(name);
            }
            Err(error) => tracing::info!(%error, "the provider tells nothing of the person"),
        }
        person
    }

    async fn client(&self, name: &str) -> Result<Client, Error> {
        let provider = self.configured.get(name).ok_or(Error::Unknown)?;
        let metadata = self
            .metadata
            .try_get_with(name.to_owned(), self.discover(&provider.issuer))
            .await
            .map_err(|error| Error::Unreachable(error.to_string()))?;
        let secret = Some(provider.client_secret.expose()).filter(|secret| !secret.is_empty());
        let redirect = RedirectUrl::new(format!("{}/v1/oidc/{name}/callback", self.public_url));
        let client = CoreClient::from_provider_metadata(
            CoreProviderMetadata::clone(&metadata),
            ClientId::new(provider.client_id.clone()),
            secret.map(|secret| ClientSecret::new(secret.to_owned())),
        );
        Ok(client.set_redirect_uri(redirect.map_err(unreachable)?))
    }

    /// What the provider says of itself, which must name the issuer that the operator wrote.
    async fn discover(&self, issuer: &str) -> Result<Arc<CoreProviderMetadata>, Error> {
        let issuer = IssuerUrl::new(issuer.to_owned()).map_err(unreachable)?;
        CoreProviderMetadata::discover_async(issuer, &self.http).await.map(Arc::new).map_err(unreachable)
    }
}

/// An error with what caused it, for the log.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn unreachable(error: impl std::error::Error) -> Error {
    Error::Unreachable(whole(&error))
}

fn refused(error: impl std::error::Error) -> Error {
    Error::Refused(whole(&error))
}
