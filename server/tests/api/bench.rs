//! A server in process, on a clock that the test moves, with a film for rent.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use matinee_protocol::api::{Money, Opening};
use matinee_protocol::device::SigningKey;
use matinee_protocol::dpop::{self, ProofClaims};
use matinee_protocol::encoding::b64u;
use matinee_protocol::id::{AccountId, EntitlementId, FileIndex, PlanId, ReleaseId, TitleId, ViewId};
use matinee_protocol::license::AgreementSecret;
use matinee_server::app::{App, Parts};
use matinee_server::clock::{Clock as _, ManualClock};
use matinee_server::config::Config;
use matinee_server::license::plan::Terms;
use matinee_server::origin::Origin;
use matinee_server::router::document::Endpoint;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::plan::{self, Plan};
use matinee_server::store::release::{self, File};
use matinee_server::store::sealed::Shelf;
use matinee_server::store::{Store, Tx, session, title};
use matinee_server::vault::Vault;
use matinee_server::{random, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::postgres::Cluster;

/// Where every test begins.
pub const NOW_MS: i64 = 1_795_000_000_000;
/// What the server calls itself.
pub const URL: &str = "https://cinema.example";
/// The secret of the film's release.
pub const RELEASE_SECRET: [u8; 32] = [42; 32];
/// A day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A server with a film of 10 epochs, rented out at 50 cents for 5 views.
pub struct Bench {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub title: TitleId,
    pub plan: PlanId,
    pub release: ReleaseId,
    pub publisher: AccountId,
    router: Router,
    _folder: tempfile::TempDir,
    _cluster: Option<Arc<Cluster>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn code(&self) -> String {
        let body = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{body}");
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        body["code"].as_str().expect("a problem has a code").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self
    }
}

/// A request being put together.
#[derive(Clone)]
pub struct Call<'a> {
    bench: &'a Bench,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    from: Option<SocketAddr>,
}

impl<'a> Call<'a> {
    /// Where it comes from, as the server sees it.
    pub fn from(mut self, address: &str) -> Self {
        self.from = Some(SocketAddr::new(address.parse().unwrap(), 4711));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Adds a proof over what is there so far, and the token it belongs to.
    pub fn proof(self, device: &Device, token: Option<&str>) -> Self {
        let claims = ProofClaims {
            jti: hex::encode(random::bytes::<12>()),
            htm: self.method.to_owned(),
            htu: format!("{URL}{}", self.path),
            iat: self.bench.clock.now_s(),
            ath: token.map(|token| dpop::digest(token.as_bytes())),
            body_sha256: (!self.body.is_empty()).then(|| dpop::digest(&self.body)),
            nonce: None,
        };
        let proof = dpop::create(&device.key, &claims);
        let with = self.header("dpop", proof);
        match token {
            Some(token) => with.header("authorization", format!("DPoP {token}")),
            None => with,
        }
    }

    pub async fn send(self) -> Answer {
        let mut request = Request::builder().method(self.method).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(Body::from(self.body)).unwrap();
        if let Some(from) = self.from {
            request.extensions_mut().insert(ConnectInfo(from));
        }
        let response = self.bench.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // The film's objects are not there: a body that breaks off says nothing.
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default().to_vec();
        let answer = Answer { status: parts.status, headers: parts.headers, bytes };
        documented(self.method, &self.path, &answer);
        answer
    }
}

/// Fails for an answer that the interface's document does not tell of.
fn documented(method: &str, path: &str, answer: &Answer) {
    static ENDPOINTS: OnceLock<Vec<Endpoint>> = OnceLock::new();
    let path = path.split('?').next().unwrap_or(path);
    let fits = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(part, given)| part.starts_with('{') || part == given)
    };
    let all = ENDPOINTS.get_or_init(router::endpoints);
    let exact = all.iter().find(|one| one.route.method == method && one.route.path == path);
    let found = exact.or_else(|| all.iter().find(|one| one.route.method == method && fits(one.route.path)));
    let Some(endpoint) = found else { return };
    let status = answer.status.as_u16();
    let shown = format!("{method} {}", endpoint.route.path);
    if status < 400 {
        assert!(endpoint.answers().contains(&status), "{shown}: its doc() does not tell of {status}");
    } else if !answer.bytes.is_empty() {
        let code = answer.code();
        let told = endpoint.problems().iter().any(|(one, word)| (*one, *word) == (status, code.as_str()));
        assert!(told, "{shown}: its doc() does not tell of {status} {code}");
    }
}

/// A viewer's device.
pub struct Device {
    pub key: SigningKey,
    pub agreement: AgreementSecret,
}

impl Device {
    pub fn new(seed: u8) -> Self {
        Self {
            key: SigningKey::from_seed(&[seed; 32]),
            agreement: AgreementSecret::from_bytes([seed.wrapping_add(100); 32]),
        }
    }

    /// The body that opens a view.
    pub fn open(&self, entitlement: EntitlementId) -> Value {
        json!({ "entitlement": entitlement, "agreement_key": b64u(&self.agreement.public()) })
    }
}

impl Bench {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("test.db").display());
        Self::over(config, folder, &address, None).await
    }

    /// The same over PostgreSQL.
    pub async fn over_postgres(config: Config) -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::shared).await.unwrap();
        let address = cluster.database().await;
        Self::over(config, tempfile::tempdir().unwrap(), &address, Some(cluster)).await
    }

    async fn over(
        config: Config,
        folder: tempfile::TempDir,
        address: &str,
        cluster: Option<Arc<Cluster>>,
    ) -> Self {
        let store = Store::open(address).await.unwrap();
        store.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let parts = Parts {
            config,
            public_url: URL.to_owned(),
            clock: clock.clone(),
            store,
            vault: Vault::ephemeral(),
            origin: Origin::open(folder.path().join("objects").to_str().unwrap()).unwrap(),
            ice_servers: Vec::new(),
        };
        let app = App::open(parts).await.unwrap();
        let router = router::router(app.clone());
        let publisher = AccountId::from_bytes(random::id(NOW_MS));
        let (title, plan, release) = film(&app, publisher).await;
        Self { app, clock, title, plan, release, publisher, router, _folder: folder, _cluster: cluster }
    }

    /// A login of the film's publisher.
    pub async fn studio_login(&self) -> String {
        let mut tx = self.app.store.write().await.unwrap();
        let token = "login-of-the-studio";
        if session::by_hash(&mut tx, &session::hash(token), NOW_MS).await.unwrap().is_some() {
            return token.to_owned();
        }
        session::insert(&mut tx, &session::hash(token), self.publisher, NOW_MS, NOW_MS * 2).await.unwrap();
        tx.commit().await.unwrap();
        token.to_owned()
    }

    /// Another film of the same publisher, without a plan.
    pub async fn another_film(&self) -> TitleId {
        let mut tx = self.app.store.write().await.unwrap();
        let (title, _) = published(&self.app, &mut tx, self.publisher).await;
        tx.commit().await.unwrap();
        title
    }

    /// A viewer with ten dollars.
    pub async fn viewer(&self, email: &str) -> String {
        let login = self.login(email, &[Role::Viewer]).await;
        let amount = json!({ "amount": Money { minor: 1000, currency: "USD".to_owned() } });
        self.post("/v1/wallet/top-ups", &amount).bearer(&login).key("top").send().await.expect(201);
        login
    }

    /// Opens a view of a title.
    pub async fn open_title(
        &self,
        login: &str,
        entitlement: EntitlementId,
        title: TitleId,
        device: &Device,
    ) -> Answer {
        let mut body = device.open(entitlement);
        body["title"] = json!(title);
        let key = hex::encode(random::bytes::<8>());
        self.post("/v1/views", &body).bearer(login).key(&key).proof(device, None).send().await
    }

    /// The time by the clock that the test moves.
    pub fn clock_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub fn call(&self, method: &'static str, path: impl Into<String>) -> Call<'_> {
        Call { bench: self, method, path: path.into(), headers: Vec::new(), body: Vec::new(), from: None }
    }

    pub fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call("GET", path)
    }

    pub fn post(&self, path: impl Into<String>, body: &Value) -> Call<'_> {
        self.call("POST", path).json(body)
    }

    /// A login of a new account with these roles, without a password.
    pub async fn login(&self, email: &str, roles: &[Role]) -> String {
        let account = AccountId::from_bytes(random::id(NOW_MS));
        let mut tx = self.app.store.write().await.unwrap();
        let row = Account {
            id: account,
            email: email.to_owned(),
            name: "Somebody".to_owned(),
            roles: roles.to_vec(),
            created_at_ms: NOW_MS,
        };
        assert!(account::insert(&mut tx, &row, "!").await.unwrap());
        let token = format!("login-of-{email}");
        session::insert(&mut tx, &session::hash(&token), account, NOW_MS, NOW_MS * 2).await.unwrap();
        tx.commit().await.unwrap();
        token
    }

    /// A viewer with a wallet of ten dollars and one rental of the film.
    pub async fn viewer_with_rental(&self, email: &str) -> (String, EntitlementId) {
        let login = self.login(email, &[Role::Viewer]).await;
        let amount = json!({ "amount": Money { minor: 1000, currency: "USD".to_owned() } });
        self.post("/v1/wallet/top-ups", &amount).bearer(&login).key("top").send().await.expect(201);
        let plan = json!({ "plan": self.plan });
        let bought = self.post("/v1/purchases", &plan).bearer(&login).key("buy").send().await.expect(201);
        let id = bought.json()["entitlement"]["id"].as_str().unwrap().parse().unwrap();
        (login, id)
    }

    /// Opens a view, with a key of its own.
    pub async fn open(&self, login: &str, entitlement: EntitlementId, device: &Device) -> Answer {
        let key = hex::encode(random::bytes::<8>());
        self.post("/v1/views", &device.open(entitlement))
            .bearer(login)
            .key(&key)
            .proof(device, None)
            .send()
            .await
    }

    /// Asks for keys.
    pub async fn license(&self, view: ViewId, token: &str, device: &Device, epoch: u32) -> Answer {
        let body = json!({ "file": 0, "epoch": epoch });
        self.post(format!("/v1/views/{view}/licenses"), &body).proof(device, Some(token)).send().await
    }

    pub async fn balance(&self) -> i64 {
        let mut tx = self.app.store.read().await.unwrap();
        let check = matinee_server::store::ledger::check(&mut tx).await.unwrap();
        assert!(check.is_sound(), "{check:?}");
        check.journals
    }
}

pub fn opening(answer: &Answer) -> Opening {
    serde_json::from_value(answer.json()).unwrap()
}

/// A publisher's film, with its plan.
async fn film(app: &App, publisher: AccountId) -> (TitleId, PlanId, ReleaseId) {
    let account = Account {
        id: publisher,
        email: "studio@example.org".to_owned(),
        name: "Studio".to_owned(),
        roles: vec![Role::Viewer, Role::Publisher],
        created_at_ms: NOW_MS,
    };
    let mut tx = app.store.write().await.unwrap();
    assert!(account::insert(&mut tx, &account, "!").await.unwrap());
    let (title, release) = published(app, &mut tx, publisher).await;
    let terms = Terms::Rental {
        start_within_ms: 30 * DAY_MS as u64,
        play_within_ms: 2 * DAY_MS as u64,
        views: Some(5),
    };
    let price = Money { minor: 50, currency: "USD".to_owned() };
    let plan = Plan::of_title(PlanId::from_bytes(random::id(NOW_MS)), title, price, terms, NOW_MS);
    plan::insert(&mut tx, &plan).await.unwrap();
    tx.commit().await.unwrap();
    (title, plan.id, release)
}

/// A published film: ten epochs of 64 chunks, a minute each.
async fn published(app: &App, tx: &mut Tx, publisher: AccountId) -> (TitleId, ReleaseId) {
    let title = TitleId::from_bytes(random::id(NOW_MS));
    let release = ReleaseId::from_bytes(random::id(NOW_MS));
    let file = File {
        file: FileIndex(0),
        name: "film.mp4".to_owned(),
        media_type: "video/mp4".to_owned(),
        size_bytes: 640 * 256 * 1024,
        duration_ms: Some(600_000),
        epoch_chunks: 64,
        uploaded_bytes: 640 * 256 * 1024,
    };
    let secret = app.vault.seal(&Shelf::Releases.vault_name(&release.to_string()), &RELEASE_SECRET);
    title::insert(tx, title, publisher, "Big Buck Bunny", NOW_MS).await.unwrap();
    release::insert(tx, release, title, Some(&secret), &[file], NOW_MS).await.unwrap();
    assert!(release::publish(tx, release, "a.b.c", NOW_MS).await.unwrap());
    (title, release)
}
