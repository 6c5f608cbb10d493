//! The storefront's pages, embedded or from a folder, with the headers they need.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use matinee_protocol::encoding::{b64u, sha256};
use rust_embed::Embed;

use crate::api::problem::Problem;
use crate::app::App;

/// What the build of `web/` left. Absent until it was built.
#[derive(Embed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Dist;

/// The page that answers every path that is no file.
const INDEX: &str = "index.html";
/// Files under this folder carry their hash in their name.
const HASHED: &str = "assets/";
/// The service worker, which may answer for the whole site.
const WORKER: &str = "sw.js";
/// The player's page for viewers who come from elsewhere.
const EMBED: &str = "/embed/";
/// Shown where there is no storefront.
const MISSING: &str = "<!doctype html><meta charset=utf-8><title>Matinee</title><p>The storefront was not built into \
                       this server. Build web/, or start with --web-dir.</p>\n";

/// Answers every GET outside `/v1` that no route takes.
pub async fn handle(State(app): State<App>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Problem::not_found("endpoint").into_response();
    }
    let asked = uri.path().trim_start_matches('/');
    let asked = if asked.is_empty() { INDEX } else { asked };
    let looks_like_file = asked.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let folder = &app.config.server.web_dir;
    let found = match read(folder, asked).await {
        Some(bytes) => Some((asked, bytes)),
        None if looks_like_file => None,
        None => read(folder, INDEX).await.map(|bytes| (INDEX, bytes)),
    };
    match found {
        Some((path, bytes)) => page(&app, uri.path(), path, bytes, &headers),
        None if looks_like_file => (StatusCode::NOT_FOUND, "not found\n").into_response(),
        None => page(&app, uri.path(), INDEX, Cow::Borrowed(MISSING.as_bytes()), &headers),
    }
}

async fn read(folder: &str, path: &str) -> Option<Cow<'static, [u8]>> {
    if folder.is_empty() {
        return Dist::get(path).map(|file| file.data);
    }
    let inside = Path::new(path);
    if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let whole: PathBuf = Path::new(folder).join(inside);
    tokio::fs::read(whole).await.ok().map(Cow::Owned)
}

fn page(app: &App, address: &str, path: &str, bytes: Cow<'static, [u8]>, asked: &HeaderMap) -> Response {
    let hashed = path.starts_with(HASHED);
    let tag = format!("\"{}\"", b64u(&sha256(&bytes)[..12]));
    let mut headers = HeaderMap::new();
    let fixed = [
        (header::CONTENT_TYPE, media_type(path)),
        (header::CACHE_CONTROL, if hashed { "public, max-age=31536000, immutable" } else { "no-cache" }),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if path == WORKER {
        headers.insert("service-worker-allowed", HeaderValue::from_static("/"));
    }
    for (name, value) in
        [(header::CONTENT_SECURITY_POLICY, policy(app, address)), (header::ETAG, tag.clone())]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)) {
        headers.remove(header::CONTENT_TYPE);
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, bytes.into_owned()).into_response()
}

/// What the pages may load: their own files, WebAssembly, their own signaling, media and images that they made. In other
/// origins' frames only the player's page is shown, and only theirs whom the operator named.
fn policy(app: &App, address: &str) -> String {
    let public_url = app.public_url.as_str();
    let mut framers = "'self'".to_owned();
    if address.starts_with(EMBED) {
        for origin in &app.config.server.embed_origins {
            framers.push(' ');
            framers.push_str(origin);
        }
    }
    let host =
        public_url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let socket =
        if public_url.starts_with("https://") { format!("wss://{host}") } else { format!("ws://{host}") };
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; \
         font-src 'self'; media-src 'self' blob:; connect-src 'self' {socket}; worker-src 'self' blob:; \
         manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {framers}; object-src 'none'"
    )
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "mp4" => "video/mp4",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
