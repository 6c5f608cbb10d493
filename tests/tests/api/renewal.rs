//! Subscriptions that are paid for through Stripe, renewed by the saved card on a clock that the test moves: the server in
//! this process, over HTTP, and Stripe's stand-in.

use std::net::SocketAddr;
use std::sync::Arc;

use matinee_protocol::api::Money;
use matinee_protocol::id::{AccountId, EntitlementId, PlanId, TitleId};
use matinee_server::app::{App, Parts};
use matinee_server::clock::{Clock as _, ManualClock};
use matinee_server::config::{Config, Secret};
use matinee_server::job::{reconcile, renewal};
use matinee_server::license::calendar::Period;
use matinee_server::license::plan::{Plan, Renewal, Terms};
use matinee_server::origin::Origin;
use matinee_server::random;
use matinee_server::router;
use matinee_server::store::account::{self, Account, Role};
use matinee_server::store::{Store, ledger, plan, title};
use matinee_server::vault::Vault;
use matinee_tests::deployment::PASSWORD;
use matinee_tests::postgres::Cluster;
use matinee_tests::stripe::{At, SECRET_KEY, Stripe, WEBHOOK_SECRET, sign};
use matinee_tests::viewer::{Viewer, nonce, now_s, problem};
use reqwest::Method;
use serde_json::{Value, json};

use crate::payment::{begin, entitlements, shown};
use crate::stripe_library::Library;

pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const HALF_DAY_MS: i64 = DAY_MS / 2;
pub(crate) const PRICE_MINOR: i64 = 795;
/// Of the price, at 19 %.
const TAX_MINOR: i64 = 127;

/// A cinema with a monthly plan, a day of grace.
pub(crate) struct Cinema {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) stripe: Stripe,
    pub(crate) plan: PlanId,
    pub(crate) url: String,
    address: String,
    started_ms: i64,
    folder: tempfile::TempDir,
}

pub(crate) fn config(stripe: &Stripe) -> Config {
    let mut config = Config::default();
    config.account.session_days = 366;
    config.payment.provider = "stripe".to_owned();
    config.payment.check_after_s = 1;
    config.stripe.api_url = stripe.url();
    config.stripe.secret_key = Secret::from(SECRET_KEY.to_owned());
    config.stripe.webhook_secrets = vec![Secret::from(WEBHOOK_SECRET.to_owned())];
    config.tax.home_country = "DE".to_owned();
    config.tax.rates = vec!["DE=1900".to_owned(), "CH=810".to_owned()];
    config
}

impl Cinema {
    pub(crate) async fn build(store: Option<String>) -> Self {
        let (folder, stripe) = (tempfile::tempdir().unwrap(), Stripe::start().await);
        let own = format!("sqlite:{}", folder.path().join("matinee.db").display());
        let address = store.unwrap_or(own);
        let started_ms = i64::try_from(now_s()).unwrap() * 1000;
        let clock = Arc::new(ManualClock::new(started_ms));
        let app = open(&folder, &address, &clock, config(&stripe)).await;
        let plan = monthly(&app, started_ms).await;
        let url = serve(&app).await;
        stripe.tell(&url);
        Self { app, clock, stripe, plan, url, address, started_ms, folder }
    }

    /// As after a crash: everything that was in memory is gone.
    async fn start_again(&mut self) {
        self.start_again_with(config(&self.stripe)).await;
    }

    pub(crate) async fn start_again_with(&mut self, config: Config) {
        self.app = open(&self.folder, &self.address, &self.clock, config).await;
        self.url = serve(&self.app).await;
        self.stripe.tell(&self.url);
    }

    /// Somebody who subscribed on the hosted page, and the entitlement.
    pub(crate) async fn subscriber(&self, email: &str) -> (Viewer, EntitlementId) {
        let viewer = Viewer::sign_up(&self.url, email).await;
        let body = json!({ "plan": self.plan });
        let payment = begin(&viewer, "/v1/checkouts", &nonce(), &body).await;
        self.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
        self.stripe.deliver_all().await;
        let given = entitlements(&viewer).await;
        let id = given[0]["id"].as_str().unwrap().parse().unwrap();
        (viewer, id)
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.advance_ms(ms);
        let ahead_ms = self.clock.now_ms() - self.started_ms;
        self.stripe.be_ahead_s(u64::try_from(ahead_ms / 1000).unwrap());
    }

    /// Moves the clock to a millisecond.
    pub(crate) fn pass_until(&self, at_ms: i64) {
        self.pass(at_ms - self.clock.now_ms());
    }

    /// One turn of the jobs.
    pub(crate) async fn turn(&self) {
        renewal::run(&self.app).await.unwrap();
        reconcile::run(&self.app).await.unwrap();
    }

    pub(crate) async fn status(&self, viewer: &Viewer, id: EntitlementId) -> Value {
        let path = format!("/v1/entitlements/{id}/status");
        viewer.request(Method::GET, &path).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn paid_until_ms(&self, viewer: &Viewer, id: EntitlementId) -> i64 {
        self.status(viewer, id).await["entitlement"]["paid_until_ms"].as_i64().unwrap()
    }

    /// What charges to the card came to, the newest first.
    fn charges(&self) -> Vec<Value> {
        let book = self.stripe.book();
        let made = book.intents.values().filter(|intent| !intent["metadata"]["matinee_renewal"].is_null());
        made.cloned().collect()
    }

    /// Both sides' books say the same, and how much of what kind is in ours.
    pub(crate) async fn booked(&self, kind: &str) -> i64 {
        let mut tx = self.app.store.read().await.unwrap();
        let check = ledger::check(&mut tx).await.unwrap();
        assert!(check.is_sound(), "{check:?}");
        let balances = ledger::balances(&mut tx).await.unwrap();
        let of = |kind: &str| -> i64 {
            balances.iter().filter(|(name, ..)| name.starts_with(kind)).map(|(_, minor, _)| minor).sum()
        };
        assert_eq!(of("provider/stripe/"), -self.stripe.book().held(), "{balances:?}");
        of(kind)
    }

    pub(crate) async fn operator(&self) -> Viewer {
        let viewer = Viewer::sign_up(&self.url, "operator@example.com").await;
        let mut tx = self.app.store.write().await.unwrap();
        let found = account::by_email(&mut tx, "operator@example.com").await.unwrap().unwrap();
        account::set_roles(&mut tx, found.id, &[Role::Viewer, Role::Operator]).await.unwrap();
        tx.commit().await.unwrap();
        viewer
    }
}

async fn open(folder: &tempfile::TempDir, address: &str, clock: &Arc<ManualClock>, config: Config) -> App {
    let vault = folder.path().join("vault.json");
    let vault = if vault.exists() { Vault::open(&vault) } else { Vault::create(&vault) };
    let store = Store::open(address).await.unwrap();
    store.migrate().await.unwrap();
    let parts = Parts {
        config,
        public_url: "https://cinema.example".to_owned(),
        clock: clock.clone(),
        store,
        vault: vault.unwrap(),
        origin: Origin::open(folder.path().join("objects").to_str().unwrap()).unwrap(),
        ice_servers: Vec::new(),
    };
    App::open(parts).await.unwrap()
}

async fn serve(app: &App) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = router::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    url
}

async fn monthly(app: &App, now_ms: i64) -> PlanId {
    let fresh = || random::id(now_ms);
    let (publisher, film) = (AccountId::from_bytes(fresh()), TitleId::from_bytes(fresh()));
    let studio = Account {
        id: publisher,
        email: "studio@example.org".to_owned(),
        name: "Studio".to_owned(),
        roles: vec![Role::Viewer, Role::Publisher],
        created_at_ms: now_ms,
    };
    let price = Money { minor: PRICE_MINOR, currency: "USD".to_owned() };
    let renewal = Renewal { period: Period::Month, grace_ms: DAY_MS as u64, trial_ms: None };
    let id = PlanId::from_bytes(fresh());
    let plan = Plan::of_title(id, film, price, Terms::Subscription(renewal), now_ms);
    let mut tx = app.store.write().await.unwrap();
    assert!(account::insert(&mut tx, &studio, "!").await.unwrap());
    title::insert(&mut tx, film, publisher, "Every Film", now_ms).await.unwrap();
    plan::insert(&mut tx, &plan).await.unwrap();
    tx.commit().await.unwrap();
    id
}

pub(crate) async fn on_both<F: AsyncFn(&mut Cinema)>(test: F) {
    test(&mut Cinema::build(None).await).await;
    let postgres = Cluster::shared();
    test(&mut Cinema::build(Some(postgres.database().await)).await).await;
}

pub(crate) async fn listed(viewer: &Viewer, what: &str) -> Vec<Value> {
    let answer = viewer.request(Method::GET, &format!("/v1/{what}")).send().await.unwrap();
    answer.json::<Value>().await.unwrap()[what].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_month_is_charged_to_the_saved_card_until_it_is_given_up() {
    on_both(async |cinema| {
        let (viewer, id) = cinema.subscriber("ana@example.com").await;
        let session = cinema.stripe.book().sessions.values().next().unwrap().clone();
        let asked = (&session["customer_creation"], &session["setup_future_usage"]);
        assert_eq!(asked, (&json!("always"), &json!("off_session")), "the payer is told on the page");
        assert_eq!(cinema.status(&viewer, id).await["renewed_by"], "saved_method");
        let first_ms = cinema.paid_until_ms(&viewer, id).await;
        cinema.pass_until(first_ms - 1);
        cinema.turn().await;
        assert_eq!(cinema.charges().len(), 0, "a millisecond early");
        cinema.pass(1);
        for _ in 0..3 {
            cinema.turn().await;
        }
        assert_eq!(cinema.charges().len(), 1, "once a period");
        let second_ms = cinema.paid_until_ms(&viewer, id).await;
        assert!(second_ms > first_ms + 27 * DAY_MS && second_ms < first_ms + 32 * DAY_MS, "{second_ms}");
        assert_eq!(cinema.status(&viewer, id).await["events"][0]["type"], "renew");
        // Told by Stripe as well, again, under another name, late: nothing changes twice.
        let events = cinema.stripe.deliver_all().await;
        assert_eq!(events[0]["type"], "payment_intent.succeeded");
        let body = events[0].to_string();
        let seen = Library::start().check(&body, &sign(&body, WEBHOOK_SECRET, now_s())).await;
        assert_eq!(seen, json!({ "id": events[0]["id"], "type": "payment_intent.succeeded" }));
        let mut renamed = events[0].clone();
        renamed["id"] = json!("evt_renamed");
        for event in [&events[0], &renamed] {
            assert_eq!(cinema.stripe.deliver(event).await, 200);
        }
        // Of a payment that is no renewal's, the session tells.
        let mut foreign = events[0].clone();
        foreign["id"] = json!("evt_foreign");
        foreign["data"]["object"]["metadata"] = json!({ "matinee_payment": nonce() });
        assert_eq!(cinema.stripe.deliver(&foreign).await, 200);
        assert_eq!(cinema.paid_until_ms(&viewer, id).await, second_ms);
        assert_eq!(viewer.wallet().await, 0);

        // A purchase, a payment and a tax line of its own.
        let purchases = listed(&viewer, "purchases").await;
        assert_eq!(purchases.len(), 2);
        let (renewed, bought) = (&purchases[0], &purchases[1]);
        assert_eq!((&renewed["renews"], &bought["renews"]), (&json!(id), &Value::Null));
        assert_eq!(renewed["amount"]["minor"], PRICE_MINOR);
        assert_eq!(
            (&renewed["tax"]["country"], &renewed["tax"]["tax_minor"]),
            (&json!("DE"), &json!(TAX_MINOR))
        );
        let payments = listed(&viewer, "payments").await;
        assert_eq!((&payments[0]["renews"], &payments[0]["state"]), (&json!(id), &json!("succeeded")));
        assert_eq!(payments[0]["purchase"], renewed["id"]);
        assert_eq!(cinema.booked("tax/DE/").await, 2 * TAX_MINOR);
        assert_eq!(cinema.booked("sales/").await, 2 * (PRICE_MINOR - TAX_MINOR));

        // Given up: no further charge, and the card is forgotten. Taken up again, the wallet pays.
        let path = format!("/v1/entitlements/{id}/renewal");
        let set = async |renews: bool| {
            let request = viewer.request(Method::PUT, &path).json(&json!({ "renews": renews }));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            answer.json::<Value>().await.unwrap()
        };
        assert_eq!(cinema.stripe.book().saved(), 1);
        assert_eq!(set(false).await["renewed_by"], Value::Null);
        cinema.turn().await;
        assert_eq!(cinema.stripe.book().saved(), 0, "detached");
        assert_eq!(set(true).await["renewed_by"], "wallet");
        set(false).await;
        cinema.pass_until(second_ms);
        cinema.turn().await;
        assert_eq!(
            (cinema.charges().len(), cinema.status(&viewer, id).await["status"].clone()),
            (1, json!("expired"))
        );
        cinema.booked("").await;
    })
    .await;
}

#[tokio::test]
async fn a_declined_card_leaves_a_grace_and_the_wallet_pays_where_it_can() {
    on_both(async |cinema| {
        let (ana, anas) = cinema.subscriber("ana@example.com").await;
        let (bob, bobs) = cinema.subscriber("bob@example.com").await;
        let (eve, eves) = cinema.subscriber("eve@example.com").await;
        let end_ms = cinema.paid_until_ms(&eve, eves).await;
        let top_up = async |viewer: &Viewer| {
            let amount = json!({ "amount": { "minor": PRICE_MINOR, "currency": "USD" } });
            let payment = begin(viewer, "/v1/wallet/top-ups", &nonce(), &amount).await;
            cinema.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
            cinema.stripe.deliver_all().await;
        };
        top_up(&bob).await;
        cinema.pass_until(end_ms);
        cinema.stripe.book().declines = Some("card_declined");
        for _ in 0..2 {
            cinema.turn().await;
        }
        cinema.stripe.deliver_all().await;
        assert_eq!(cinema.charges().len(), 3, "one try each");
        // Bob's wallet has enough.
        assert_eq!(bob.wallet().await, 0);
        assert!(cinema.paid_until_ms(&bob, bobs).await > end_ms);
        assert_eq!(listed(&bob, "payments").await[0]["state"], "failed");
        for (viewer, id) in [(&ana, anas), (&eve, eves)] {
            let now = cinema.status(viewer, id).await;
            assert_eq!(
                (&now["events"][0]["type"], &now["status"]),
                (&json!("renewal_failed"), &json!("ready"))
            );
            assert_eq!(now["events"][0]["note"], "Your card was declined.");
        }
        cinema.pass(HALF_DAY_MS - 1);
        cinema.turn().await;
        assert_eq!(cinema.charges().len(), 3, "not tried before its time");
        // Half a day later: Ana's bank wants to see her, which nobody can be asked for; Eve is tried when it says yes.
        cinema.pass(1);
        cinema.stripe.book().declines = Some("authentication_required");
        cinema.turn().await;
        assert_eq!(cinema.charges().len(), 5);
        let now = cinema.status(&ana, anas).await;
        let told = now["events"].as_array().unwrap().iter().filter(|event| event["type"] == "renewal_failed");
        assert_eq!(told.count(), 1, "told once a period");
        top_up(&eve).await;
        cinema.pass(HALF_DAY_MS - 1);
        cinema.turn().await;
        assert_eq!(cinema.status(&ana, anas).await["status"], "ready", "a millisecond of grace is left");
        cinema.pass(1);
        cinema.stripe.book().declines = None;
        cinema.turn().await;
        for (viewer, id) in [(&ana, anas), (&eve, eves)] {
            assert_eq!(
                cinema.status(viewer, id).await["status"],
                "expired",
                "nobody is charged after the grace"
            );
        }
        assert_eq!((cinema.charges().len(), eve.wallet().await), (5, PRICE_MINOR));
        cinema.turn().await;
        assert_eq!(cinema.stripe.book().saved(), 1, "of what has lapsed, no card is kept");
        assert_eq!(cinema.booked("returning/").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_charge_is_retried_within_the_grace_and_pays_from_the_periods_end() {
    on_both(async |cinema| {
        let (ana, id) = cinema.subscriber("ana@example.com").await;
        let end_ms = cinema.paid_until_ms(&ana, id).await;
        cinema.pass_until(end_ms);
        cinema.stripe.book().declines = Some("card_declined");
        cinema.turn().await;
        cinema.stripe.book().declines = None;
        cinema.pass(HALF_DAY_MS);
        cinema.turn().await;
        let renewed_ms = cinema.paid_until_ms(&ana, id).await;
        assert!(
            renewed_ms > end_ms + 27 * DAY_MS && renewed_ms < end_ms + 32 * DAY_MS,
            "no day is lost or won"
        );
        // The news of the first try comes last, and a forged one says that it succeeded after all.
        let events = cinema.stripe.deliver_all().await;
        assert_eq!(events[0]["type"], "payment_intent.payment_failed");
        let mut late = events[0].clone();
        late["id"] = json!("evt_late");
        assert_eq!(cinema.stripe.deliver(&late).await, 200);
        let mut less = events[1].clone();
        less["id"] = json!("evt_less");
        less["data"]["object"]["amount"] = json!(1);
        assert_eq!(cinema.stripe.deliver(&less).await, 500, "another amount is booked by hand");
        let body = events[1].to_string();
        let forged = sign(&body, "whsec_guess", cinema.clock.now_s());
        assert_eq!(cinema.stripe.deliver_as(body, &forged).await, 400);
        assert_eq!(cinema.paid_until_ms(&ana, id).await, renewed_ms);
        assert_eq!(cinema.stripe.book().held(), 2 * PRICE_MINOR);
        assert_eq!(cinema.booked("sales/").await, 2 * (PRICE_MINOR - TAX_MINOR));
    })
    .await;
}

#[tokio::test]
async fn whatever_is_lost_a_period_is_charged_once_or_not_at_all() {
    on_both(async |cinema| {
        let (ana, id) = cinema.subscriber("ana@example.com").await;
        let mut end_ms = cinema.paid_until_ms(&ana, id).await;
        let mut charged = 0;
        for case in ["answers", "cut at arrival", "cut at the answer", "silence for a day", "news only"] {
            cinema.pass_until(end_ms);
            match case {
                "answers" => cinema.stripe.book().loses_answers = 3,
                "cut at arrival" | "cut at the answer" => {
                    let at = if case == "cut at arrival" { At::Arrival } else { At::Answer };
                    let hold = cinema.stripe.hold("/v1/payment_intents", at);
                    let app = cinema.app.clone();
                    let cut = tokio::spawn(async move {
                        renewal::run(&app).await.unwrap();
                        reconcile::run(&app).await.unwrap();
                    });
                    hold.reached().await;
                    cut.abort();
                    assert!(cut.await.unwrap_err().is_cancelled());
                    hold.release();
                    cinema.start_again().await;
                }
                // Charged, and then neither side hears of the other until the key is forgotten.
                "silence for a day" => {
                    cinema.stripe.book().loses_answers = 3;
                    cinema.turn().await;
                    cinema.stripe.book().events.clear();
                    cinema.pass(23 * 60 * 60 * 1000 + 1);
                }
                _ => {
                    cinema.stripe.book().loses_answers = 3;
                    cinema.turn().await;
                    cinema.stripe.deliver_all().await;
                }
            }
            for _ in 0..4 {
                cinema.turn().await;
                cinema.pass(60_000);
            }
            charged += 1;
            assert_eq!(cinema.charges().len(), charged, "{case}");
            let until_ms = cinema.paid_until_ms(&ana, id).await;
            assert!(until_ms > end_ms + 27 * DAY_MS, "{case}");
            end_ms = until_ms;
            cinema.stripe.deliver_all().await;
            assert_eq!(cinema.paid_until_ms(&ana, id).await, end_ms, "{case}");
            assert_eq!(cinema.booked("returning/").await, 0, "{case}");
        }
        assert_eq!(ana.wallet().await, 0);
        // Nothing was ever heard of it, at Stripe neither: given up after a day, and the grace is over.
        cinema.pass_until(end_ms);
        cinema.stripe.book().down = true;
        cinema.turn().await;
        cinema.pass(DAY_MS);
        cinema.stripe.book().down = false;
        cinema.turn().await;
        cinema.turn().await;
        assert_eq!(cinema.charges().len(), charged, "what is a day old is not charged");
        assert_eq!(cinema.status(&ana, id).await["status"], "expired");
        cinema.booked("").await;
    })
    .await;
}

#[tokio::test]
async fn money_that_comes_for_nothing_is_sent_back() {
    on_both(async |cinema| {
        let (ana, anas) = cinema.subscriber("ana@example.com").await;
        let (bob, _) = cinema.subscriber("bob@example.com").await;
        let (eve, eves) = cinema.subscriber("eve@example.com").await;
        let (joe, joes) = cinema.subscriber("joe@example.com").await;
        let end_ms = cinema.paid_until_ms(&eve, eves).await;
        cinema.pass_until(end_ms);
        // A bank that takes its time.
        cinema.stripe.book().charges_begin = Some("processing");
        cinema.turn().await;
        assert_eq!(listed(&ana, "payments").await[0]["state"], "pending");
        let give_up = async |viewer: &Viewer, id: EntitlementId| {
            let path = format!("/v1/entitlements/{id}/renewal");
            let request = viewer.request(Method::PUT, &path).json(&json!({ "renews": false }));
            request.send().await.unwrap().status()
        };
        assert_eq!(give_up(&joe, joes).await, 200);
        cinema.pass(2 * DAY_MS);
        cinema.turn().await;
        let events = cinema.status(&eve, eves).await["events"].clone();
        assert_eq!(events, json!([]), "nobody is put out while a bank thinks");
        assert_eq!(give_up(&ana, anas).await, 409, "over is over");
        let closed = bob.request(Method::POST, "/v1/account/closure").json(&json!({ "password": PASSWORD }));
        assert_eq!(closed.send().await.unwrap().status(), 204);
        let operator = cinema.operator().await;
        let revoke = format!("/v1/entitlements/{anas}/revocation");
        let revoked = operator.request(Method::POST, &revoke).json(&json!({ "reason": "moved" }));
        assert_eq!(revoked.send().await.unwrap().status(), 200);
        cinema.turn().await;
        assert_eq!(cinema.stripe.book().saved(), 1, "Eve's");
        for charge in cinema.charges() {
            cinema.stripe.book().bank_says_of(charge["id"].as_str().unwrap(), true);
        }
        cinema.stripe.deliver_all().await;
        cinema.turn().await;
        cinema.stripe.deliver_all().await;
        assert!(cinema.paid_until_ms(&eve, eves).await > end_ms, "wholly the one");
        assert_eq!(cinema.stripe.book().refunds.len(), 3, "wholly the other");
        for viewer in [&ana, &joe] {
            assert_eq!(listed(viewer, "payments").await[0]["state"], "refunded");
        }
        assert_eq!(cinema.booked("wallet/").await, 0);
        assert_eq!((cinema.booked("returning/").await, cinema.stripe.book().held()), (0, 5 * PRICE_MINOR));
    })
    .await;
}

#[tokio::test]
async fn a_charge_that_was_written_is_not_made_once_it_is_given_up() {
    on_both(async |cinema| {
        let (ana, id) = cinema.subscriber("ana@example.com").await;
        cinema.pass_until(cinema.paid_until_ms(&ana, id).await);
        renewal::run(&cinema.app).await.unwrap();
        let path = format!("/v1/entitlements/{id}/renewal");
        let given_up =
            ana.request(Method::PUT, &path).json(&json!({ "renews": false })).send().await.unwrap();
        assert_eq!(given_up.status(), 200);
        cinema.turn().await;
        cinema.turn().await;
        assert_eq!((cinema.charges().len(), cinema.stripe.book().saved()), (0, 0));
        assert_eq!(listed(&ana, "payments").await[0]["state"], "failed");
        assert_eq!(cinema.booked("wallet/").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_renewal_is_refunded_and_charged_back_like_a_first_payment() {
    on_both(async |cinema| {
        let operator = cinema.operator().await;
        let mut renewed = Vec::new();
        for email in ["ana@example.com", "bob@example.com", "eve@example.com"] {
            renewed.push(cinema.subscriber(email).await);
        }
        let start_ms = cinema.paid_until_ms(&renewed[0].0, renewed[0].1).await;
        cinema.pass_until(start_ms);
        cinema.turn().await;
        cinema.stripe.deliver_all().await;
        let end_ms = cinema.paid_until_ms(&renewed[0].0, renewed[0].1).await;

        // What is left of the period, to the millisecond, rounded in the viewer's favor.
        let (ana, id) = &renewed[0];
        let purchases = listed(ana, "purchases").await;
        let refund = async |purchase: &Value| {
            let path = format!("/v1/purchases/{}/refund", purchase["id"].as_str().unwrap());
            operator.post(&path, &nonce(), &json!({ "reason": "it rained", "prorated": true })).await
        };
        let over = problem(refund(&purchases[1]).await).await;
        assert_eq!(over, (422, "refund_out_of_range".to_owned()), "the first month is used up");
        cinema.pass((end_ms - start_ms) / 3);
        let made: Value = refund(&purchases[0]).await.json().await.unwrap();
        assert_eq!(
            (&made["refund"]["amount"]["minor"], &made["refund"]["to"]),
            (&json!(530), &json!("payer")),
            "{made}"
        );
        assert_eq!(cinema.status(ana, *id).await["status"], "cancelled");
        cinema.stripe.deliver_all().await;
        assert_eq!(cinema.booked("returning/").await, 0);

        // A chargeback.
        let (bob, id) = &renewed[1];
        let payment = listed(bob, "payments").await[0].clone();
        let intent = cinema.stripe.book().intent_of(payment["id"].as_str().unwrap());
        let dispute = cinema.stripe.book().dispute(&intent);
        cinema.stripe.deliver_all().await;
        assert_eq!(cinema.status(bob, *id).await["status"], "cancelled");
        assert_eq!(shown(bob, &payment).await["state"], "disputed");
        assert_eq!((bob.wallet().await, cinema.booked("debt/").await), (0, 0));
        cinema.stripe.book().close_dispute(&dispute, false);
        cinema.stripe.deliver_all().await;

        // A whole refund by hand, on Stripe's own pages.
        let (eve, id) = &renewed[2];
        let payment = listed(eve, "payments").await[0].clone();
        let intent = cinema.stripe.book().intent_of(payment["id"].as_str().unwrap());
        cinema.stripe.book().refund_by_hand(&intent, PRICE_MINOR);
        cinema.stripe.deliver_all().await;
        assert_eq!(cinema.status(eve, *id).await["status"], "cancelled");
        cinema.turn().await;
        assert_eq!(cinema.stripe.book().saved(), 0, "and nobody is charged any more");
        cinema.pass_until(end_ms + 60 * DAY_MS);
        cinema.turn().await;
        assert_eq!(cinema.charges().len(), 3);
        // Three first months, and a third of a second one, with the tax in proportion.
        assert_eq!(cinema.booked("sales/").await + cinema.booked("tax/").await, 4 * PRICE_MINOR - 530);
    })
    .await;
}

#[tokio::test]
async fn a_bank_that_says_no_after_the_grace_ends_it() {
    on_both(async |cinema| {
        let (ana, id) = cinema.subscriber("ana@example.com").await;
        cinema.pass_until(cinema.paid_until_ms(&ana, id).await);
        cinema.stripe.book().declines = Some("card_declined");
        cinema.turn().await;
        cinema.stripe.book().declines = None;
        cinema.stripe.book().charges_begin = Some("processing");
        cinema.pass(HALF_DAY_MS);
        cinema.turn().await;
        cinema.stripe.deliver_all().await;
        let amount = json!({ "amount": { "minor": PRICE_MINOR, "currency": "USD" } });
        let payment = begin(&ana, "/v1/wallet/top-ups", &nonce(), &amount).await;
        cinema.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
        cinema.pass(HALF_DAY_MS);
        cinema.turn().await;
        cinema.turn().await;
        assert_eq!(cinema.status(&ana, id).await["entitlement"]["status"], "expired", "for now");
        let pending = cinema.charges().into_iter().find(|charge| charge["status"] == "processing").unwrap();
        cinema.stripe.book().bank_says_of(pending["id"].as_str().unwrap(), false);
        cinema.stripe.deliver_all().await;
        assert_eq!(cinema.status(&ana, id).await["events"][0]["type"], "expire");
        assert_eq!(ana.wallet().await, PRICE_MINOR, "what has lapsed is not charged");
        assert_eq!(cinema.charges().len(), 2);
        cinema.turn().await;
        assert_eq!(cinema.stripe.book().saved(), 0);
        assert_eq!(cinema.booked("returning/").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_disputed_top_up_takes_back_the_period_that_it_paid_for() {
    on_both(async |cinema| {
        let viewer = Viewer::sign_up(&cinema.url, "ana@example.com").await;
        let top_up = async || {
            let amount = json!({ "amount": { "minor": PRICE_MINOR, "currency": "USD" } });
            let payment = begin(&viewer, "/v1/wallet/top-ups", &nonce(), &amount).await;
            cinema.stripe.pay(payment["checkout_url"].as_str().unwrap()).await;
            cinema.stripe.deliver_all().await;
            payment
        };
        // The first month out of one top-up, the second out of another.
        top_up().await;
        let bought = viewer.post("/v1/purchases", &nonce(), &json!({ "plan": cinema.plan })).await;
        let bought: Value = bought.json().await.unwrap();
        let id = bought["entitlement"]["id"].as_str().unwrap().parse().unwrap();
        cinema.pass(DAY_MS);
        let second = top_up().await;
        cinema.pass_until(cinema.paid_until_ms(&viewer, id).await);
        cinema.turn().await;
        assert_eq!(
            (viewer.wallet().await, cinema.booked("sales/").await),
            (0, 2 * (PRICE_MINOR - TAX_MINOR))
        );

        let intent = cinema.stripe.book().intent_of(second["id"].as_str().unwrap());
        cinema.stripe.book().dispute(&intent);
        cinema.stripe.deliver_all().await;
        assert_eq!(shown(&viewer, &second).await["state"], "disputed");
        assert_eq!(cinema.status(&viewer, id).await["code"], "entitlement_cancelled");
        let purchases = listed(&viewer, "purchases").await;
        let back: Vec<&Value> = purchases.iter().map(|one| &one["refunded_minor"]).collect();
        assert_eq!(back, [PRICE_MINOR, 0], "the newest first, and no more than was taken");
        assert_eq!((viewer.wallet().await, cinema.booked("debt/").await), (0, 0), "nothing is owed");
        assert_eq!(cinema.booked("sales/").await, PRICE_MINOR - TAX_MINOR);
        assert_eq!(cinema.booked("tax/DE/").await, TAX_MINOR);
    })
    .await;
}
