//! A server in memory: one release, its origin, its signaling, licenses and receipts. Checks proofs as the real one does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use matinee_peer::clock;
use matinee_peer::device::Device;
use matinee_peer::net::api::Api;
use matinee_peer::net::proof::Prover;
use matinee_protocol::api::{Delivery, LicenseAnswer, Opening, Renewal};
use matinee_protocol::device::SigningKey;
use matinee_protocol::dpop::{self, Expectation};
use matinee_protocol::encoding::b64u;
use matinee_protocol::hash::{PageBuilder, chunk_hash};
use matinee_protocol::id::{
    ChunkAddress, EpochIndex, FileIndex, LicenseId, PeerId, ReleaseId, SwarmId, Thumbprint, ViewId,
};
use matinee_protocol::jws::{KeySet, KeyUse};
use matinee_protocol::license::{self, EpochRange, License};
use matinee_protocol::limit::{CHUNK_BYTES, PAGE_BYTES_MAX};
use matinee_protocol::manifest::{FORMAT, Manifest, ManifestFile};
use matinee_protocol::rand_core::{TryCryptoRng, TryRng};
use matinee_protocol::seal::{ReleaseSecret, derive_epoch_key, seal_chunk};
use matinee_protocol::signaling::{Near, PeerHint, ToPeer, ToServer};
use matinee_protocol::token::{AUDIENCE, Confirmation, Role, ViewTokenClaims, issue};
use tokio::sync::mpsc;

pub(crate) const RELEASE: ReleaseId = ReleaseId::from_bytes([0x42; 16]);
const SWARM: SwarmId = SwarmId::from_bytes([0x24; 16]);
const ISSUER: &str = "https://stub.test";
const EPOCH_CHUNKS: u32 = 8;

/// The server.
pub(crate) struct Stub {
    pub(crate) base: String,
    pub(crate) film: Vec<u8>,
    pub(crate) origin_bytes: AtomicU64,
    pub(crate) licenses: AtomicU64,
    pub(crate) receipts: Mutex<Vec<String>>,
    /// While set, the origin gives no ciphertext.
    pub(crate) origin_off: AtomicBool,
    /// While set, no keys are given: the server is starting again.
    pub(crate) away: AtomicBool,
    /// While set, renewals and licenses are refused: the view has ended.
    pub(crate) view_over: AtomicBool,
    ciphertext: Vec<u8>,
    page: Vec<u8>,
    manifest: String,
    keys: KeySet,
    view_key: SigningKey,
    secret: ReleaseSecret,
    devices: Mutex<HashMap<Thumbprint, [u8; 32]>>,
    members: Mutex<HashMap<PeerId, mpsc::UnboundedSender<ToPeer>>>,
}

impl Stub {
    /// Seals a film of `bytes` bytes and serves it.
    pub(crate) async fn start(bytes: usize) -> Arc<Self> {
        let film: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8 ^ (index >> 12) as u8).collect();
        let secret = ReleaseSecret::from_bytes([5; 32]);
        let mut ciphertext = Vec::new();
        let mut pages = PageBuilder::default();
        for (index, plain) in (0_u32..).zip(film.chunks(CHUNK_BYTES as usize)) {
            let mut chunk = plain.to_vec();
            let key = derive_epoch_key(&secret, &RELEASE, FileIndex(0), EpochIndex(index / EPOCH_CHUNKS));
            seal_chunk(&key, &RELEASE, ChunkAddress::new(0, index), &mut chunk);
            pages.push(chunk_hash(&chunk));
            ciphertext.extend_from_slice(&chunk);
        }
        let hashes: Vec<_> = pages.pages().map(|(page, hash)| (page.to_vec(), hash)).collect();
        let file = ManifestFile {
            name: "film.mp4".into(),
            media_type: "video/mp4".into(),
            size_bytes: film.len() as u64,
            epoch_chunks: EPOCH_CHUNKS,
            duration_ms: Some(60_000),
            pages: hashes.iter().map(|(_, hash)| *hash).collect(),
        };
        let manifest = Manifest {
            format: FORMAT,
            release: RELEASE,
            title: "Film".into(),
            publisher: "Studio".into(),
            created_at_ms: 0,
            sealed: true,
            files: vec![file],
        };
        let (view_key, release_key) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        let mut keys = KeySet::default();
        keys.insert("view", KeyUse::View, view_key.public());
        keys.insert("release", KeyUse::Release, release_key.public());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Arc::new(Self {
            base: format!("http://{}", listener.local_addr().unwrap()),
            film,
            origin_bytes: AtomicU64::default(),
            licenses: AtomicU64::default(),
            receipts: Mutex::default(),
            origin_off: AtomicBool::default(),
            away: AtomicBool::default(),
            view_over: AtomicBool::default(),
            ciphertext,
            page: hashes.into_iter().flat_map(|(page, _)| page).collect(),
            manifest: manifest.to_jws("release", &release_key),
            keys,
            view_key,
            secret,
            devices: Mutex::default(),
            members: Mutex::default(),
        });
        let router = Router::new()
            .route("/v1/jwks", get(jwks))
            .route("/v1/signaling", any(signaling))
            .fallback(proven)
            .with_state(Arc::clone(&stub));
        tokio::spawn(async move { axum::serve(listener, router).await });
        stub
    }

    /// A client with a device of its own, and its opening.
    pub(crate) fn open(&self, seed: u8, role: Role) -> (Api, Opening) {
        let device = Arc::new(Device::from_secrets([seed; 32], [seed ^ 0x80; 32]));
        let view = ViewId::from_bytes([seed; 16]);
        self.devices.lock().unwrap().insert(device.thumbprint(), device.agreement().public());
        let (view_token, expires_at_ms) = self.token(view, device.thumbprint(), role);
        let license = (role == Role::Viewer).then(|| self.license(view, device.thumbprint(), 0));
        let opening = Opening {
            view,
            release: RELEASE,
            swarm: SWARM,
            role,
            view_token,
            expires_at_ms,
            license,
            issuer: ISSUER.into(),
            delivery: Delivery { peers: true, relay_only: false, upload_bytes_per_s_max: None },
            ice_servers: Vec::new(),
            breaks: None,
        };
        (Api::new(&self.base, Some("session".into()), Prover::new(device)).unwrap(), opening)
    }

    fn token(&self, view: ViewId, device: Thumbprint, role: Role) -> (String, u64) {
        let exp = clock::now_s() + 300;
        let claims = ViewTokenClaims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: view,
            jti: b64u(&clock::random::<12>()),
            exp,
            cnf: Confirmation { jkt: device },
            swm: SWARM,
            rol: role,
        };
        (issue(&claims, "view", &self.view_key), exp * 1000)
    }

    fn license(&self, view: ViewId, device: Thumbprint, first: u32) -> License {
        let id = LicenseId::from_bytes(clock::random());
        let named: Vec<_> = (first..first + 3)
            .map(|epoch| {
                let (file, epoch) = (FileIndex(0), EpochIndex(epoch));
                (file, epoch, derive_epoch_key(&self.secret, &RELEASE, file, epoch))
            })
            .collect();
        let public = self.devices.lock().unwrap()[&device];
        let sealed = license::seal_keys(&public, (id, view, RELEASE), &named, &mut Fresh).unwrap();
        License {
            license: id,
            view,
            release: RELEASE,
            device,
            issued_at_ms: clock::now_ms(),
            renew_at_ms: clock::now_ms() + 60_000,
            play_until_ms: clock::now_ms() + 600_000,
            epochs: vec![EpochRange { file: FileIndex(0), first: EpochIndex(first), count: 3 }],
            encapsulated_key: sealed.encapsulated_key,
            sealed_keys: sealed.sealed_keys,
        }
    }
}

/// Randomness for the HPKE sender.
struct Fresh;

impl TryRng for Fresh {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes(clock::random()))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes(clock::random()))
    }
    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Infallible> {
        to.iter_mut().for_each(|byte| *byte = clock::random::<1>()[0]);
        Ok(())
    }
}

impl TryCryptoRng for Fresh {}

async fn jwks(State(stub): State<Arc<Stub>>) -> Response {
    serde_json::to_string(&stub.keys.to_jwks()).unwrap().into_response()
}

fn problem(status: u16, code: &str) -> Response {
    let body = serde_json::json!({"type": "about:blank", "title": code, "status": status, "detail": code, "code": code});
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

/// Everything that asks for a view token and a proof.
async fn proven(State(stub): State<Arc<Stub>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = header("authorization").strip_prefix("DPoP ").unwrap_or_default();
    let Ok(claims) = matinee_protocol::token::verify(token, &stub.keys, ISSUER, clock::now_s()) else {
        return problem(401, "view_token_invalid");
    };
    let url = format!("{}{}", stub.base, parts.uri.path());
    let expected = Expectation {
        method: parts.method.as_str(),
        url: &url,
        token: Some(token),
        body: &body,
        nonce: None,
        now_s: clock::now_s(),
    };
    match dpop::verify(header("dpop"), &expected) {
        Ok(proof) if proof.thumbprint == claims.cnf.jkt => {}
        _ => return problem(401, "proof_invalid"),
    }
    let path: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
    match path.as_slice() {
        ["v1", "releases", _, "manifest"] => stub.manifest.clone().into_response(),
        ["v1", "releases", _, "files", "0", "pages", page] => {
            let start = page.parse::<usize>().unwrap() * PAGE_BYTES_MAX;
            let end = stub.page.len().min(start + PAGE_BYTES_MAX);
            stub.page[start..end].to_vec().into_response()
        }
        ["v1", "releases", _, "files", "0", "ciphertext"] => ciphertext(&stub, &parts.headers),
        ["v1", "views", _, "licenses"] | ["v1", "views", _, "renewals"]
            if stub.view_over.load(Ordering::Relaxed) =>
        {
            problem(403, "view_ended")
        }
        ["v1", "views", _, "licenses"] if stub.away.load(Ordering::Relaxed) => problem(503, "starting"),
        ["v1", "views", _, "licenses"] => {
            stub.licenses.fetch_add(1, Ordering::Relaxed);
            let asked: matinee_protocol::api::LicenseRequest = serde_json::from_slice(&body).unwrap();
            let license = stub.license(claims.sub, claims.cnf.jkt, asked.epoch);
            serde_json::to_string(&LicenseAnswer { license, breaks: None }).unwrap().into_response()
        }
        ["v1", "views", _, "renewals"] => {
            let (view_token, expires_at_ms) = stub.token(claims.sub, claims.cnf.jkt, claims.rol);
            serde_json::to_string(&Renewal { view_token, expires_at_ms }).unwrap().into_response()
        }
        ["v1", "receipts"] => {
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let receipts = value["receipts"].as_array().unwrap();
            stub.receipts
                .lock()
                .unwrap()
                .extend(receipts.iter().map(|text| text.as_str().unwrap().to_owned()));
            r#"{"credited_bytes":1}"#.into_response()
        }
        _ => problem(404, "not_found"),
    }
}

fn ciphertext(stub: &Stub, headers: &HeaderMap) -> Response {
    if stub.origin_off.load(Ordering::Relaxed) {
        return problem(503, "origin_off");
    }
    let range = headers["range"].to_str().unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let bytes = stub.ciphertext[first..=last].to_vec();
    stub.origin_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    (StatusCode::PARTIAL_CONTENT, Body::from(bytes)).into_response()
}

async fn signaling(State(stub): State<Arc<Stub>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| member(stub, socket))
}

async fn member(stub: Arc<Stub>, mut socket: WebSocket) {
    let challenge = ToPeer::Challenge { nonce: "challenge".into() };
    socket.send(Message::Text(challenge.encode().into())).await.unwrap();
    let Some(Ok(Message::Text(text))) = socket.recv().await else {
        return;
    };
    let Ok(ToServer::Join { token, proof }) = ToServer::decode(&text) else {
        return;
    };
    let url = format!("{}/v1/signaling", stub.base);
    let expected = Expectation {
        method: "GET",
        url: &url,
        token: Some(&token),
        body: &[],
        nonce: Some("challenge"),
        now_s: clock::now_s(),
    };
    dpop::verify(&proof, &expected).expect("the join is proven");
    let own = PeerId::from_bytes(clock::random());
    let (line, mut incoming) = mpsc::unbounded_channel();
    let peers = {
        let mut members = stub.members.lock().unwrap();
        let peers = members.keys().map(|peer| PeerHint { peer: *peer, near: Near::Lan }).collect();
        members.insert(own, line);
        peers
    };
    let joined = ToPeer::Joined { peer: own, peers };
    socket.send(Message::Text(joined.encode().into())).await.unwrap();
    loop {
        tokio::select! {
            message = socket.recv() => {
                let Some(Ok(message)) = message else { break };
                let Message::Text(text) = message else { continue };
                match ToServer::decode(&text) {
                    Ok(ToServer::Relay(relay)) => {
                        let to = relay.peer();
                        if let Some(line) = stub.members.lock().unwrap().get(&to) {
                            let _ = line.send(ToPeer::Relay(relay.with_peer(own)));
                        }
                    }
                    Ok(ToServer::More {}) => {
                        let message = ToPeer::Peers { peers: Vec::new() };
                        if socket.send(Message::Text(message.encode().into())).await.is_err() { break }
                    }
                    _ => {}
                }
            }
            Some(message) = incoming.recv() => {
                if socket.send(Message::Text(message.encode().into())).await.is_err() { break }
            }
        }
    }
    stub.members.lock().unwrap().remove(&own);
}
