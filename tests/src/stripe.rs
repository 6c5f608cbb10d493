//! A stand-in for Stripe: the calls that the server makes, the hosted page that takes the money, and signed webhook
//! events, of the shapes and with the manners of the real one. Written after docs.stripe.com/api; its events are checked
//! with Stripe's own library.

mod book;
mod web;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::Notify;

pub use book::Book;

use crate::viewer::now_s;

/// The secret key that its account has.
pub const SECRET_KEY: &str = "sk_test_matinee";
/// The signing secret of the webhook endpoint.
pub const WEBHOOK_SECRET: &str = "whsec_matinee";
/// How often undelivered events are sent again, where they are sent by themselves.
const DELIVER_EVERY: Duration = Duration::from_millis(50);

/// Where a request is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before anything was done.
    Arrival,
    /// After it was done, before it is answered.
    Answer,
}

/// A request to be held.
#[derive(Debug, Clone)]
pub struct Hold {
    path: &'static str,
    at: At,
    reached: Arc<Notify>,
    released: Arc<Notify>,
}

impl Hold {
    /// Waits until such a request is there.
    pub async fn reached(&self) {
        let waited = tokio::time::timeout(Duration::from_secs(30), self.reached.notified()).await;
        waited.unwrap_or_else(|_| panic!("no request for {}", self.path));
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.released.notify_one();
    }
}

#[derive(Debug, Default)]
struct Desk {
    book: Mutex<Book>,
    holds: Mutex<Vec<Hold>>,
    webhook: Mutex<Option<String>>,
    ahead_s: AtomicU64,
}

/// A running stand-in; cloning shares it.
#[derive(Debug, Clone)]
pub struct Stripe {
    desk: Arc<Desk>,
    address: SocketAddr,
    http: reqwest::Client,
}

/// A header over a body, signed at a time.
pub fn sign(body: &str, secret: &str, at_s: u64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes any key");
    mac.update(format!("{at_s}.{body}").as_bytes());
    format!("t={at_s},v1={}", hex::encode(mac.finalize().into_bytes()))
}

impl Stripe {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let desk = Arc::new(Desk::default());
        desk.lock().url = format!("http://{address}");
        let router = web::router(Arc::clone(&desk));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        Self { desk, address, http: http.expect("a client") }
    }

    /// What a server needs to be told to use it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        vec![
            pair("MATINEE_PAYMENT__PROVIDER", "stripe"),
            pair("MATINEE_PAYMENT__CHECK_AFTER_S", "1"),
            pair("MATINEE_STRIPE__API_URL", &format!("http://{}", self.address)),
            pair("MATINEE_STRIPE__SECRET_KEY", SECRET_KEY),
            pair("MATINEE_STRIPE__WEBHOOK_SECRETS", &format!("whsec_old,{WEBHOOK_SECRET}")),
        ]
    }

    /// Its clock is so far ahead from now on, for servers whose clock a test moves.
    pub fn be_ahead_s(&self, seconds: u64) {
        self.desk.ahead_s.store(seconds, Ordering::Relaxed);
    }

    /// Its interface.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its books.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.desk.lock()
    }

    /// Sends events to this server from now on, when they are delivered.
    pub fn tell(&self, server: &str) {
        let endpoint = format!("{server}/v1/webhooks/stripe");
        *self.desk.webhook.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
    }

    /// Sends every event by itself, again and again until it is taken, as the real one does over days.
    pub fn tell_by_itself(&self) {
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(DELIVER_EVERY).await;
                let waiting = std::mem::take(&mut this.book().events);
                for event in waiting {
                    if this.deliver(&event).await != 200 {
                        this.book().events.push(event);
                    }
                }
            }
        });
    }

    /// Sends an event, signed now, and gives the status of the answer; 0 if there is none.
    pub async fn deliver(&self, event: &Value) -> u16 {
        let body = event.to_string();
        let header = sign(&body, WEBHOOK_SECRET, self.desk.now_s());
        self.deliver_as(body, &header).await
    }

    /// Sends a body under a header.
    pub async fn deliver_as(&self, body: String, header: &str) -> u16 {
        let endpoint = self.desk.webhook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let request = self.http.post(endpoint.expect("a server to tell")).header("stripe-signature", header);
        let answer = request.header("content-type", "application/json").body(body).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    /// Sends the events that wait, in order; each must be taken. Gives them.
    pub async fn deliver_all(&self) -> Vec<Value> {
        let waiting = std::mem::take(&mut self.book().events);
        for event in &waiting {
            assert_eq!(self.deliver(event).await, 200, "{event}");
        }
        waiting
    }

    /// Holds the next POST of this path.
    pub fn hold(&self, path: &'static str, at: At) -> Hold {
        let hold = Hold { path, at, reached: Arc::default(), released: Arc::default() };
        self.desk.holds.lock().unwrap_or_else(PoisonError::into_inner).push(hold.clone());
        hold
    }

    /// Pays on the hosted page, as a payer does.
    pub async fn pay(&self, checkout_url: &str) {
        let page = self.http.get(checkout_url).send().await.expect("the page is there");
        assert_eq!(page.status(), 200);
        let page = page.text().await.expect("a page");
        assert!(page.contains("<form method=\"post\">"), "{page}");
        let paid = self.http.post(checkout_url).send().await.expect("the page takes the form");
        assert_eq!(paid.status(), 303, "{checkout_url}");
    }
}

impl Desk {
    /// What its clock says.
    fn now_s(&self) -> u64 {
        now_s() + self.ahead_s.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn hold(&self, path: &str, at: At) {
        let found = {
            let mut holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
            let found = holds.iter().position(|hold| hold.path == path && hold.at == at);
            found.map(|found| holds.remove(found))
        };
        if let Some(hold) = found {
            hold.reached.notify_one();
            hold.released.notified().await;
        }
    }
}
