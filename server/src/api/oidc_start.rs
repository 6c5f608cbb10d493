//! `GET /v1/oidc/{provider}/start`: sends the browser to a provider of identities to sign in.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::cookie::{Cookie, SameSite};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

use super::attempt::Address;
use super::authority::refuse_foreign_origin;
use super::ceremony::{CEREMONY_MS_MAX, begin_as};
use super::doc::Doc;
use super::json::Path;
use super::problem::Problem;
use crate::app::App;
use crate::oidc;
use crate::random;
use crate::store::ceremony::{self, Ceremony, Kind};

/// The cookie that ties a trip to a provider to the browser that began it.
const BROWSER_COOKIE: &str = "matinee_provider";
/// Where the cookie goes.
const BROWSER_PATH: &str = "/v1/oidc";
/// Characters of an address to go back to.
const NEXT_CHARS_MAX: usize = 500;

/// What is remembered while somebody is at a provider.
#[derive(Serialize, Deserialize)]
pub struct Trip {
    /// The provider's name here.
    pub provider: String,
    /// SHA-256 of the browser's cookie.
    pub browser: [u8; 32],
    /// Where to go afterwards.
    pub next: String,
    /// What the provider's answer is held against.
    pub kept: oidc::Kept,
}

/// How the interface's document tells of it.
pub fn doc() -> Doc {
    Doc::new("Sends the browser to a provider of identities to sign in; a page for people, not for programs")
        .query("next", "the page of this site to go to afterwards", json!({ "type": "string" }))
        .bare(303)
        .problem(403, "origin_mismatch")
        .problem(429, "sign_in_too_fast")
}

/// Answers 303: to the provider, or to the sign-in page with what is wrong.
pub async fn handle(
    State(app): State<App>,
    address: Address,
    headers: HeaderMap,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    refuse_foreign_origin(&headers, &app)?;
    app.sign_ins.begin(address.0)?;
    let query = query.unwrap_or_default();
    let next = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "next");
    let next = own_path(next.map(|(_, value)| value.into_owned()).unwrap_or_default());
    match begin_trip(&app, &provider, None, next).await {
        Ok(begun) => {
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, text(&begun.url)?)], begun.cookie).into_response())
        }
        Err(problem) if problem.status == StatusCode::NOT_FOUND => Err(problem),
        Err(problem) => back(&problem, "/sign-in"),
    }
}

/// A trip that has begun.
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What ties the trip to it.
    pub cookie: [(header::HeaderName, HeaderValue); 1],
}

/// Begins a trip; with an account it links what it brings to that account.
pub async fn begin_trip(
    app: &App,
    provider: &str,
    account: Option<AccountId>,
    next: String,
) -> Result<Begun, Problem> {
    let asked = app.providers.ask(provider).await?;
    let browser = Zeroizing::new(b64u(&random::bytes::<32>()));
    let trip =
        Trip { provider: provider.to_owned(), browser: ceremony::hash(&browser), next, kept: asked.kept };
    let state = serde_json::to_string(&trip).map_err(|error| Problem::internal(&error))?;
    let ceremony = Ceremony { kind: Kind::Provider, account, state };
    begin_as(app, &asked.state, ceremony, CEREMONY_MS_MAX).await?;
    let cookie = format!("{}; Max-Age={}", browser_cookie(app, &browser), CEREMONY_MS_MAX / 1000);
    Ok(Begun { url: asked.url, cookie: [(header::SET_COOKIE, text(&cookie)?)] })
}

/// The cookie with this value. Lax: it must come with the browser out of the provider's redirect.
fn browser_cookie(app: &App, value: &str) -> Cookie<'static> {
    Cookie::build((BROWSER_COOKIE, value.to_owned()))
        .path(BROWSER_PATH)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(app.public_url.starts_with("https://"))
        .build()
}

/// What the browser's cookie holds, hashed.
pub fn browser_of(headers: &HeaderMap) -> Option<[u8; 32]> {
    let jar = axum_extra::extract::CookieJar::from_headers(headers);
    jar.get(BROWSER_COOKIE).map(|cookie| ceremony::hash(cookie.value()))
}

/// Takes the cookie back.
pub fn without_browser(app: &App) -> Result<(header::HeaderName, HeaderValue), Problem> {
    let mut cookie = browser_cookie(app, "");
    cookie.make_removal();
    Ok((header::SET_COOKIE, text(&cookie.to_string())?))
}

/// To a page of ours, with what is wrong: nobody reads JSON on the way back from a provider.
pub fn back(problem: &Problem, page: &str) -> Result<Response, Problem> {
    let location = text(&format!("{page}?problem={}", problem.code))?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// A path of this site, whatever was asked for.
fn own_path(next: String) -> String {
    let own = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic());
    if own && plain && next.len() <= NEXT_CHARS_MAX { next } else { "/".to_owned() }
}

/// A text as a header's value.
pub fn text(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(|error| Problem::internal(&error))
}

impl From<oidc::Error> for Problem {
    fn from(error: oidc::Error) -> Self {
        match error {
            oidc::Error::Unknown => Self::not_found("provider"),
            oidc::Error::Unreachable(_) => {
                tracing::warn!(%error, "provider of identities");
                let detail = "the provider does not answer; try again, or sign in another way";
                Self::new(StatusCode::BAD_GATEWAY, "provider_unreachable", detail)
            }
            oidc::Error::Refused(_) => {
                tracing::warn!(%error, "provider of identities");
                let detail = "the provider's answer does not hold; begin again";
                Self::new(StatusCode::UNAUTHORIZED, "provider_refused", detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn one_comes_back_to_this_site_only() {
        assert_eq!(own_path("/titles/1?a=b".to_owned()), "/titles/1?a=b");
        for foreign in
            ["", "titles", "https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nb", "/ä"]
        {
            assert_eq!(own_path(foreign.to_owned()), "/", "{foreign}");
        }
    }
}
