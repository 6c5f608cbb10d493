//! A whole server on a free port, with a publisher, devices and tokens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use matinee_protocol::device::SigningKey;
use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::id::{AccountId, ReleaseId, SwarmId, TitleId, ViewId};
use matinee_protocol::token::{self, Confirmation, Role as TokenRole, ViewTokenClaims};
use matinee_server::app::{App, Parts};
use matinee_server::clock::{Clock as _, ManualClock};
use matinee_server::config::Config;
use matinee_server::origin::Origin;
use matinee_server::publish::NewFile;
use matinee_server::random;
use matinee_server::router;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::audit::By;
use matinee_server::store::{Store, carry, session, title};
use matinee_server::vault::Vault;
use reqwest::{Method, RequestBuilder};

/// When the tests take place.
const NOW_MS: i64 = 1_795_000_000_000;

/// The server and what is needed to speak to it.
pub(crate) struct Bench {
    pub(crate) app: App,
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: reqwest::Client,
    pub(crate) login: String,
    pub(crate) publisher: AccountId,
    pub(crate) title: TitleId,
    folder: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A device with a place in a swarm.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) key: SigningKey,
    pub(crate) member: ViewId,
    pub(crate) swarm: SwarmId,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite:{}", folder.path().join("test.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let origin = Origin::open(folder.path().join("objects").to_str().unwrap()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}");
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let parts = Parts {
            config: Config::default(),
            public_url: url.clone(),
            clock: clock.clone(),
            store,
            vault: Vault::ephemeral(),
            origin,
            ice_servers: Vec::new(),
        };
        let app = App::open(parts).await.unwrap();
        let service = router::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let (publisher, title) = (AccountId::from_bytes([1; 16]), TitleId::from_bytes([2; 16]));
        let login = "a-login-token-of-the-publisher".to_owned();
        let mut tx = app.store.write().await.unwrap();
        let account = Account {
            id: publisher,
            email: "p@example.org".to_owned(),
            name: "P".to_owned(),
            roles: vec![Role::Publisher],
            created_at_ms: NOW_MS,
        };
        assert!(account::insert(&mut tx, &account, "!").await.unwrap());
        session::insert(&mut tx, &session::hash(&login), publisher, NOW_MS, NOW_MS * 2).await.unwrap();
        title::insert(&mut tx, title, publisher, "T", NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        let http = reqwest::Client::new();
        Self { app, url, address, clock, http, login, publisher, title, folder, serving }
    }

    /// A request with the publisher's login.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.login)
    }

    /// Where a release's objects are.
    pub(crate) fn objects(&self, release: ReleaseId) -> PathBuf {
        self.folder.path().join("objects").join(release.to_string())
    }

    /// Publishes one file by the shortest way.
    pub(crate) async fn publish(&self, sealed: bool, bytes: &[u8]) -> ReleaseId {
        let file = NewFile {
            name: "film.mp4".to_owned(),
            media_type: "video/mp4".to_owned(),
            size_bytes: bytes.len() as u64,
            duration_ms: None,
        };
        let desk = &self.app.desk;
        let release = desk.create(self.title, sealed, &[file], &By::command(), NOW_MS).await.unwrap();
        let found = desk.release_of(self.publisher, release).await.unwrap();
        let mut intake = desk.intake(&found, 0.into(), None).await.unwrap();
        intake.write(bytes).await.unwrap();
        intake.finish(true).await.unwrap();
        desk.publish(&found, &self.app.keyring, &*self.app.clock, &By::command()).await.unwrap();
        release
    }

    /// A device that carries a release.
    pub(crate) async fn device(&self, seed: u8, release: ReleaseId) -> Device {
        let key = SigningKey::from_seed(&[seed; 32]);
        let id = ViewId::from_bytes(random::id(NOW_MS));
        let mut tx = self.app.store.write().await.unwrap();
        let jkt = key.public().thumbprint();
        let (member, _) = carry::open(&mut tx, id, self.publisher, release, jkt, NOW_MS).await.unwrap();
        tx.commit().await.unwrap();
        Device { key, member, swarm: self.app.swarm_id(release) }
    }

    /// A token that ends in `lifetime_s`.
    pub(crate) fn token(&self, device: &Device, lifetime_s: u64) -> String {
        let claims = ViewTokenClaims {
            iss: self.app.keyring.issuer().to_owned(),
            aud: token::AUDIENCE.to_owned(),
            sub: device.member,
            jti: hex::encode(random::bytes::<12>()),
            exp: self.clock.now_s() + lifetime_s,
            cnf: Confirmation { jkt: device.key.public().thumbprint() },
            swm: device.swarm,
            rol: TokenRole::Carrier,
        };
        self.app.keyring.sign_view_token(&claims).unwrap()
    }

    /// A proof for a request with a token.
    pub(crate) fn proof(
        &self,
        device: &Device,
        method: &str,
        path: &str,
        token: &str,
        body: &[u8],
        nonce: Option<&str>,
    ) -> String {
        let claims = ProofClaims {
            jti: hex::encode(random::bytes::<12>()),
            htm: method.to_owned(),
            htu: format!("{}{path}", self.url),
            iat: self.clock.now_s(),
            ath: Some(dpop::digest(token.as_bytes())),
            body_sha256: (!body.is_empty()).then(|| dpop::digest(body)),
            nonce: nonce.map(str::to_owned),
        };
        dpop::create(&device.key, &claims)
    }

    /// A request as a member of a swarm.
    pub(crate) fn member(
        &self,
        device: &Device,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> RequestBuilder {
        let token = self.token(device, 300);
        let proof = self.proof(device, method.as_str(), path, &token, &body, None);
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.header("authorization", format!("DPoP {token}")).header("dpop", proof).body(body)
    }
}

/// Bytes that follow from a seed.
pub(crate) fn bytes(seed: u8, length: u64) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(length).unwrap()];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
    out
}
