//! Who is asking: one extractor for each authority that `router` names.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use matinee_protocol::api;
use matinee_protocol::dpop::{self, Expectation, VerifiedProof};
use matinee_protocol::id::{AccountId, ReleaseId, Thumbprint, ViewId};
use matinee_protocol::limit::JSON_BYTES_MAX;
use matinee_protocol::token::{Role as TokenRole, ViewTokenClaims};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::app::App;
use crate::keyring;
use crate::store::{self, Tx, account::Role, proof, session};

/// The name of the login cookie.
pub const COOKIE: &str = "matinee_session";
/// Bytes of a body that carries receipts, the longest of those read whole.
pub const PROVEN_BODY_BYTES_MAX: usize = JSON_BYTES_MAX;

/// A signed-in account.
#[derive(Debug, Clone)]
pub struct Session {
    /// The account.
    pub account: AccountId,
    /// Its roles.
    pub roles: Vec<Role>,
    /// SHA-256 of the login token.
    pub token_hash: [u8; 32],
}

impl Session {
    /// Whether the account has this role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Refuses accounts without this role.
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.has(role) {
            return Ok(());
        }
        Err(Problem::forbidden("role_required", format!("this needs the role {}", role.text())))
    }
}

impl FromRequestParts<App> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (token, by_cookie) = login_token(&parts.headers).ok_or_else(Problem::unauthenticated)?;
        if by_cookie && !parts.method.is_safe() {
            require_origin(&parts.headers, app)?;
        }
        let token_hash = session::hash(&token);
        let mut tx = app.store.read().await?;
        let found = session::by_hash(&mut tx, &token_hash, app.clock.now_ms()).await?;
        let (account, roles) = found.ok_or_else(Problem::unauthenticated)?;
        app.request_limits.found(token_hash);
        Ok(Self { account, roles, token_hash })
    }
}

impl OptionalFromRequestParts<App> for Session {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        match <Self as FromRequestParts<App>>::from_request_parts(parts, app).await {
            Ok(session) => Ok(Some(session)),
            Err(problem) if problem.code == "session_required" => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// The login token of a request, and whether a cookie brought it.
pub(super) fn login_token(headers: &HeaderMap) -> Option<(String, bool)> {
    if let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        // A DPoP view token is no login; the cookie beside it does not count either.
        return value.strip_prefix("Bearer ").map(|token| (token.to_owned(), false));
    }
    let jar = axum_extra::extract::CookieJar::from_headers(headers);
    jar.get(COOKIE).map(|cookie| (cookie.value().to_owned(), true))
}

/// Refuses requests that another site's page sent with this site's cookie.
fn require_origin(headers: &HeaderMap, app: &App) -> Result<(), Problem> {
    if headers.contains_key(header::ORIGIN) {
        refuse_foreign_origin(headers, app)
    } else {
        Err(origin_mismatch())
    }
}

/// Refuses requests that a browser says another site's page sent: nobody is signed in from there, to an account that is
/// not theirs.
pub fn refuse_foreign_origin(headers: &HeaderMap, app: &App) -> Result<(), Problem> {
    // A browser's own word, which a page cannot forge (Fetch Metadata); `none` is the address bar.
    let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return Err(origin_mismatch());
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let own = origin_of(&app.public_url);
    if origin.to_str().is_ok_and(|origin| origin.eq_ignore_ascii_case(own)) {
        return Ok(());
    }
    Err(origin_mismatch())
}

fn origin_mismatch() -> Problem {
    Problem::forbidden(
        "origin_mismatch",
        "send this request from the server's own pages, or use a bearer token",
    )
}

/// Scheme, host and port of a URL.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or(url, |at| &url[..host + at])
}

/// A signed-in publisher.
#[derive(Debug, Clone)]
pub struct Publisher(pub Session);

impl FromRequestParts<App> for Publisher {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        session.require(Role::Publisher)?;
        Ok(Self(session))
    }
}

/// A signed-in publisher or operator.
#[derive(Debug, Clone)]
pub struct Seller(pub Session);

impl FromRequestParts<App> for Seller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        if !session.has(Role::Operator) {
            session.require(Role::Publisher)?;
        }
        Ok(Self(session))
    }
}

/// A signed-in operator.
#[derive(Debug, Clone)]
pub struct Operator(pub Session);

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        session.require(Role::Operator)?;
        Ok(Self(session))
    }
}

/// A proof of possession over this request, with its body. Its `jti` must still be spent: [`Proof::spend`] in the
/// request's transaction, or [`Proof::spend_in_memory`] where there is none.
#[derive(Debug)]
#[must_use = "a proof is accepted once: spend it"]
pub struct Proof {
    /// The device.
    pub device: Thumbprint,
    /// The request's body, which the proof covers.
    pub body: Bytes,
    jti: String,
}

impl Proof {
    fn new(verified: VerifiedProof, body: Bytes) -> Self {
        Self { device: verified.thumbprint, jti: verified.jti, body }
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        super::json::parse(&self.body)
    }

    /// Marks the proof as used, in the transaction of what it is for.
    pub async fn spend(&self, tx: &mut Tx, now_ms: i64) -> Result<(), Problem> {
        if proof::spend(tx, self.device, &self.jti, now_ms).await? {
            return Ok(());
        }
        Err(replayed())
    }

    /// Marks the proof as used, in this process only.
    pub fn spend_in_memory(&self, app: &App) -> Result<(), Problem> {
        if app.seen_proofs.first_time(self.device, &self.jti) {
            return Ok(());
        }
        Err(replayed())
    }
}

fn replayed() -> Problem {
    Problem::token("proof_replayed", "this proof was used before; sign a new one")
}

/// The proof of a device that has no view token yet.
impl FromRequest<App> for Proof {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = whole(request).await?;
        let verified = verify_proof(app, &parts, None, &body)?;
        Ok(Self::new(verified, body))
    }
}

/// A view token and its proof, role viewer.
#[derive(Debug)]
pub struct ViewAuthority {
    /// The view.
    pub view: ViewId,
    /// The token's claims.
    pub claims: ViewTokenClaims,
    /// The proof, to be spent.
    pub proof: Proof,
}

impl FromRequest<App> for ViewAuthority {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Self::extract(request, app, false).await
    }
}

impl ViewAuthority {
    async fn extract(request: Request, app: &App, expired_too: bool) -> Result<Self, Problem> {
        let (claims, parts, proof) = token_and_proof(request, app, expired_too).await?;
        if claims.rol != TokenRole::Viewer {
            return Err(Problem::forbidden("viewer_required", "a carrier's token does not open this"));
        }
        // Every route with this authority names the view; the token must be that view's.
        let named: ViewId = path_id(parts, "view").await?;
        if named != claims.sub {
            return Err(Problem::not_found("view"));
        }
        Ok(Self { view: claims.sub, claims, proof })
    }
}

/// The same for renewals: the token may have expired, the view must be active.
#[derive(Debug)]
pub struct RenewalAuthority(pub ViewAuthority);

impl FromRequest<App> for RenewalAuthority {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        ViewAuthority::extract(request, app, true).await.map(Self)
    }
}

/// A member of a swarm, viewer or carrier: view token and proof. The proof is spent in memory already.
#[derive(Debug)]
pub struct SwarmAuthority {
    /// The token's claims.
    pub claims: ViewTokenClaims,
    /// The device.
    pub device: Thumbprint,
    /// The request's body, which the proof covers; empty for a GET.
    pub body: Bytes,
    /// The request's own headers, for conditions and ranges.
    pub headers: HeaderMap,
}

impl SwarmAuthority {
    /// Refuses members of other swarms than this release's.
    pub fn require_member_of(&self, app: &App, release: ReleaseId) -> Result<(), Problem> {
        if app.swarm_id(release) == self.claims.swm {
            return Ok(());
        }
        Err(Problem::not_found("release"))
    }
}

impl FromRequest<App> for SwarmAuthority {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (claims, parts, proof) = token_and_proof(request, app, false).await?;
        proof.spend_in_memory(app)?;
        Ok(Self { claims, device: proof.device, body: proof.body, headers: parts.headers })
    }
}

async fn token_and_proof(
    request: Request,
    app: &App,
    expired_too: bool,
) -> Result<(ViewTokenClaims, Parts, Proof), Problem> {
    let (parts, body) = whole(request).await?;
    let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix("DPoP "));
    let token = token
        .ok_or_else(|| Problem::token("view_token_required", "send Authorization: DPoP <view token>"))?;
    let claims = match app.keyring.verify_view_token(token, app.clock.now_s()) {
        Err(keyring::Error::Expired) if expired_too => app.keyring.verify_view_token_at_any_age(token),
        other => other,
    }?;
    let verified = verify_proof(app, &parts, Some(token), &body)?;
    if verified.thumbprint != claims.cnf.jkt {
        return Err(Problem::token("proof_key_mismatch", "the view token belongs to another device"));
    }
    Ok((claims, parts, Proof::new(verified, body)))
}

fn verify_proof(
    app: &App,
    parts: &Parts,
    token: Option<&str>,
    body: &[u8],
) -> Result<VerifiedProof, Problem> {
    let mut proofs = parts.headers.get_all("dpop").iter();
    let proof = match (proofs.next().and_then(|value| value.to_str().ok()), proofs.next()) {
        (Some(proof), None) => proof,
        _ => return Err(Problem::token("proof_required", "send one DPoP header")),
    };
    let url = format!("{}{}", app.public_url, parts.uri.path());
    let expected = Expectation {
        method: match &parts.method {
            // The router answers HEAD by GET's handler; the proof names what was sent.
            method if *method == Method::HEAD => "HEAD",
            method => method.as_str(),
        },
        url: &url,
        token,
        body,
        nonce: None,
        now_s: app.clock.now_s(),
    };
    dpop::verify(proof, &expected).map_err(|error| Problem::token("proof_invalid", error.to_string()))
}

/// Reads the body whole, within its limit.
async fn whole(request: Request) -> Result<(Parts, Bytes), Problem> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, PROVEN_BODY_BYTES_MAX)
        .await
        .map_err(|_| Problem::too_large(PROVEN_BODY_BYTES_MAX))?;
    Ok((parts, body))
}

/// The id of this name in the path.
async fn path_id<T: FromStr>(mut parts: Parts, name: &str) -> Result<T, Problem> {
    let parameters = RawPathParams::from_request_parts(&mut parts, &()).await;
    let parameters = parameters.map_err(|_| Problem::malformed("the path names no id"))?;
    let id = parameters.iter().find(|(one, _)| *one == name).and_then(|(_, id)| id.parse().ok());
    id.ok_or_else(|| Problem::not_found("view"))
}

/// Loads an account that must be there.
pub async fn summary(app: &App, tx: &mut Tx, account: AccountId) -> Result<api::AccountSummary, Problem> {
    let found = store::account::with_sign_in(tx, account).await?;
    let (found, sign_in) = found.ok_or_else(Problem::unauthenticated)?;
    let wallet = store::ledger::wallet(tx, account, &app.config.payment.currency).await?;
    Ok(found.summary(sign_in, wallet))
}
