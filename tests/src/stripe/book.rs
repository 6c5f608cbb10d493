//! What the stand-in knows: sessions, payment intents, refunds, disputes, and the events it has still to tell.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::web::Wrong;
use crate::viewer::now_s;

/// Fields of a form, flat: `metadata[key]`.
pub(super) type Form = BTreeMap<String, String>;

/// What a session may be asked for with; anything else is refused, as the real one does.
const SESSION_FIELDS: [&str; 12] = [
    "mode",
    "client_reference_id",
    "line_items[0][quantity]",
    "line_items[0][price_data][currency]",
    "line_items[0][price_data][unit_amount]",
    "line_items[0][price_data][product_data][name]",
    "metadata[matinee_payment]",
    "payment_intent_data[metadata][matinee_payment]",
    "success_url",
    "cancel_url",
    "customer_creation",
    "payment_intent_data[setup_future_usage]",
];
const INTENT_FIELDS: [&str; 8] = [
    "amount",
    "currency",
    "customer",
    "payment_method",
    "off_session",
    "confirm",
    "metadata[matinee_payment]",
    "metadata[matinee_renewal]",
];
const REFUND_FIELDS: [&str; 3] = ["payment_intent", "amount", "metadata[matinee_refund]"];
/// The least that is charged, in cents.
const AMOUNT_MIN: i64 = 50;

/// The books.
#[derive(Debug, Default)]
pub struct Book {
    /// Where it is reached.
    pub url: String,
    /// Checkout sessions by id.
    pub sessions: BTreeMap<String, Value>,
    /// Payment intents by id.
    pub intents: BTreeMap<String, Value>,
    /// Payment methods by id, each with its customer; one that was detached has none.
    pub methods: BTreeMap<String, Value>,
    /// What banks say to charges that nobody is there for: `card_declined`, `authentication_required`. None: yes.
    pub declines: Option<&'static str>,
    /// How such charges begin: `succeeded` unless it says otherwise.
    pub charges_begin: Option<&'static str>,
    /// How many answers are lost on their way: what was asked for is done.
    pub loses_answers: u32,
    /// Refunds by id.
    pub refunds: BTreeMap<String, Value>,
    /// Disputes by id.
    pub disputes: BTreeMap<String, Value>,
    /// Events not told yet.
    pub events: Vec<Value>,
    /// Whether every call fails.
    pub down: bool,
    /// Whether refunds are refused.
    pub refuses_refunds: bool,
    /// How refunds begin: `succeeded` unless it says otherwise.
    pub refunds_begin: Option<&'static str>,
    number: u64,
}

fn nested(form: &Form, prefix: &str) -> Value {
    let start = format!("{prefix}[");
    let fields = form.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix(&start)?.strip_suffix(']')?.to_owned(), json!(value)))
    });
    Value::Object(fields.collect())
}

fn known(form: &Form, fields: &[&str]) -> Result<(), Wrong> {
    match form.keys().find(|name| !fields.contains(&name.as_str())) {
        Some(name) => Err(Wrong::request(format!("Received unknown parameter: {name}"))),
        None => Ok(()),
    }
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, Wrong> {
    let value = form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| Wrong::request(format!("Missing required param: {name}.")))
}

fn list(mut found: Vec<&Value>, url: &str) -> Value {
    let number = |object: &Value| -> u64 {
        let id = object["id"].as_str().and_then(|id| id.rsplit('_').next());
        id.and_then(|id| id.parse().ok()).unwrap_or(0)
    };
    found.sort_by_key(|object| std::cmp::Reverse(number(object)));
    json!({ "object": "list", "data": found, "has_more": false, "url": url })
}

impl Book {
    fn id(&mut self, kind: &str) -> String {
        self.number += 1;
        format!("{kind}_test_{}", self.number)
    }

    fn tell(&mut self, kind: &str, object: &Value) -> Value {
        let event = json!({
            "id": self.id("evt"), "object": "event", "api_version": "2025-03-31.basil", "created": now_s(),
            "type": kind, "data": { "object": object }, "livemode": false, "pending_webhooks": 1,
            "request": { "id": null, "idempotency_key": null },
        });
        self.events.push(event.clone());
        event
    }

    pub(super) fn session(&mut self, form: &Form) -> Result<Value, Wrong> {
        known(form, &SESSION_FIELDS)?;
        if required(form, "mode")? != "payment" {
            return Err(Wrong::request("Invalid mode".to_owned()));
        }
        required(form, "success_url")?;
        required(form, "line_items[0][price_data][product_data][name]")?;
        let currency = required(form, "line_items[0][price_data][currency]")?;
        if currency.len() != 3 || currency.bytes().any(|byte| !byte.is_ascii_lowercase()) {
            return Err(Wrong::request(format!("Invalid currency: {currency}")));
        }
        let amount: i64 = required(form, "line_items[0][price_data][unit_amount]")?
            .parse()
            .map_err(|_| Wrong::request("Invalid integer".to_owned()))?;
        if currency == "usd" && amount < AMOUNT_MIN {
            return Err(Wrong::request("The amount must be at least $0.50 usd".to_owned()));
        }
        let id = self.id("cs");
        let session = json!({
            "id": id, "object": "checkout.session", "livemode": false, "mode": "payment", "status": "open",
            "payment_status": "unpaid", "payment_intent": null, "url": format!("{}/pay/{id}", self.url),
            "amount_total": amount, "amount_subtotal": amount, "currency": currency, "created": now_s(),
            "expires_at": now_s() + 86_400, "client_reference_id": form.get("client_reference_id"),
            "metadata": nested(form, "metadata"), "success_url": form.get("success_url"),
            "payment_intent_data": { "metadata": nested(form, "payment_intent_data[metadata]") },
            "customer": null, "customer_creation": form.get("customer_creation"),
            "setup_future_usage": form.get("payment_intent_data[setup_future_usage]"),
        });
        self.sessions.insert(id, session.clone());
        Ok(session)
    }

    /// The payer pays, or says that a bank will (`unpaid` until then). Gives whether the session was open.
    pub fn pay(&mut self, session: &str, paid: bool) -> bool {
        let open = self.sessions.get(session).filter(|session| session["status"] == "open").cloned();
        let Some(mut found) = open else { return false };
        let intent = self.id("pi");
        let method = self.id("pm");
        if found["customer_creation"] == "always" {
            found["customer"] = json!(self.id("cus"));
        }
        let saved = found["setup_future_usage"] == "off_session";
        let of = if saved { found["customer"].clone() } else { Value::Null };
        let object = json!({ "id": method, "object": "payment_method", "customer": of });
        self.methods.insert(method.clone(), object);
        let object = json!({
            "id": intent, "object": "payment_intent", "amount": found["amount_total"],
            "currency": found["currency"], "status": if paid { "succeeded" } else { "processing" },
            "metadata": found["payment_intent_data"]["metadata"], "livemode": false,
            "customer": found["customer"], "payment_method": method, "last_payment_error": null,
        });
        self.intents.insert(intent.clone(), object);
        found["payment_intent"] = json!(intent);
        found["status"] = json!("complete");
        found["payment_status"] = json!(if paid { "paid" } else { "unpaid" });
        found["url"] = Value::Null;
        self.sessions.insert(session.to_owned(), found.clone());
        self.tell("checkout.session.completed", &found);
        true
    }

    /// A charge to a payment method that was saved, with nobody there.
    pub(super) fn intent(&mut self, form: &Form) -> Result<Value, Wrong> {
        known(form, &INTENT_FIELDS)?;
        let amount: i64 =
            required(form, "amount")?.parse().map_err(|_| Wrong::request("Invalid integer".to_owned()))?;
        if (required(form, "off_session")?, required(form, "confirm")?) != ("true", "true") {
            return Err(Wrong::request("this stand-in confirms what nobody is there for".to_owned()));
        }
        let (customer, method) = (required(form, "customer")?, required(form, "payment_method")?);
        if self.methods.get(method).is_none_or(|found| found["customer"] != customer) {
            let message = format!("The PaymentMethod {method} does not belong to the customer {customer}");
            return Err(Wrong::request(message));
        }
        let id = self.id("pi");
        let mut intent = json!({
            "id": id, "object": "payment_intent", "amount": amount, "currency": required(form, "currency")?,
            "status": self.charges_begin.unwrap_or("succeeded"), "metadata": nested(form, "metadata"),
            "customer": customer, "payment_method": method, "last_payment_error": null, "livemode": false,
        });
        if let Some(code) = self.declines {
            let message = if code == "authentication_required" {
                "Your card was declined. This transaction requires authentication."
            } else {
                "Your card was declined."
            };
            intent["status"] = json!("requires_payment_method");
            intent["last_payment_error"] = json!({ "type": "card_error", "code": code, "message": message });
            self.intents.insert(id, intent.clone());
            self.tell("payment_intent.payment_failed", &intent);
            return Err(Wrong::card(code, message, intent));
        }
        self.intents.insert(id, intent.clone());
        if intent["status"] == "succeeded" {
            self.tell("payment_intent.succeeded", &intent);
        }
        Ok(intent)
    }

    /// What was charged to a customer, the newest first.
    pub(super) fn intents_of(&self, customer: &str) -> Value {
        let found = self.intents.values().filter(|intent| intent["customer"] == customer);
        list(found.collect(), "/v1/payment_intents")
    }

    /// What was sent back of an intent, the newest first.
    pub fn refunds_of(&self, intent: &str) -> Value {
        let found = self.refunds.values().filter(|refund| refund["payment_intent"] == intent);
        list(found.collect(), "/v1/refunds")
    }

    /// A bank says yes or no to a charge that began as `processing`.
    pub fn bank_says_of(&mut self, intent: &str, paid: bool) {
        let mut found = self.intents[intent].clone();
        found["status"] = json!(if paid { "succeeded" } else { "requires_payment_method" });
        self.intents.insert(intent.to_owned(), found.clone());
        let kind = if paid { "payment_intent.succeeded" } else { "payment_intent.payment_failed" };
        self.tell(kind, &found);
    }

    pub(super) fn detach(&mut self, method: &str) -> Result<Value, Wrong> {
        let attached = self.methods.get_mut(method).filter(|found| !found["customer"].is_null());
        let found = attached.ok_or_else(|| {
            Wrong::request("The payment method you provided is not attached to a customer".to_owned())
        })?;
        found["customer"] = Value::Null;
        Ok(found.clone())
    }

    /// Payment methods that can still be charged.
    pub fn saved(&self) -> usize {
        self.methods.values().filter(|method| !method["customer"].is_null()).count()
    }

    /// A bank says yes or no, days later.
    pub fn bank_says(&mut self, session: &str, paid: bool) {
        let mut found = self.sessions[session].clone();
        let kind = if paid {
            found["payment_status"] = json!("paid");
            "checkout.session.async_payment_succeeded"
        } else {
            "checkout.session.async_payment_failed"
        };
        self.sessions.insert(session.to_owned(), found.clone());
        self.tell(kind, &found);
    }

    /// Nobody has paid in time.
    pub fn expire(&mut self, session: &str) {
        let mut found = self.sessions[session].clone();
        found["status"] = json!("expired");
        found["url"] = Value::Null;
        self.sessions.insert(session.to_owned(), found.clone());
        self.tell("checkout.session.expired", &found);
    }

    pub(super) fn refund(&mut self, form: &Form) -> Result<Value, Wrong> {
        known(form, &REFUND_FIELDS)?;
        let intent = required(form, "payment_intent")?.to_owned();
        let amount: i64 =
            required(form, "amount")?.parse().map_err(|_| Wrong::request("Invalid integer".to_owned()))?;
        if self.refuses_refunds {
            return Err(Wrong::request("This charge cannot be refunded.".to_owned()));
        }
        let metadata = nested(form, "metadata");
        let status = self.refunds_begin.unwrap_or("succeeded");
        self.add_refund(&intent, amount, status, metadata)
    }

    fn add_refund(
        &mut self,
        intent: &str,
        amount: i64,
        status: &str,
        metadata: Value,
    ) -> Result<Value, Wrong> {
        let Some(found) = self.intents.get(intent) else {
            return Err(Wrong::request(format!("No such payment_intent: '{intent}'")));
        };
        let (whole, currency) = (found["amount"].as_i64().unwrap_or(0), found["currency"].clone());
        let before: i64 = self
            .refunds
            .values()
            .filter(|refund| refund["payment_intent"] == intent && refund["status"] != "failed")
            .filter_map(|refund| refund["amount"].as_i64())
            .sum();
        if amount <= 0 || before + amount > whole {
            return Err(Wrong::request("Refund amount is greater than unrefunded amount".to_owned()));
        }
        let id = self.id("re");
        let refund = json!({
            "id": id, "object": "refund", "amount": amount, "currency": currency, "payment_intent": intent,
            "status": status, "metadata": metadata, "created": now_s(), "reason": null,
        });
        self.refunds.insert(id, refund.clone());
        self.tell("refund.created", &refund);
        Ok(refund)
    }

    /// Somebody refunds by hand, on Stripe's own pages.
    pub fn refund_by_hand(&mut self, intent: &str, amount: i64) {
        let made = self.add_refund(intent, amount, "succeeded", json!({}));
        assert!(made.is_ok(), "{intent} has less than {amount} left");
    }

    /// A refund is over: a pending one either way, and one that was sent and that the bank returns.
    pub fn refund_ends(&mut self, refund: &str, status: &str) {
        let mut found = self.refunds[refund].clone();
        found["status"] = json!(status);
        self.refunds.insert(refund.to_owned(), found.clone());
        self.tell(if status == "failed" { "refund.failed" } else { "refund.updated" }, &found);
    }

    /// The payer's bank takes the money back. Gives the dispute's id.
    pub fn dispute(&mut self, intent: &str) -> String {
        let id = self.id("dp");
        let found = &self.intents[intent];
        let dispute = json!({
            "id": id, "object": "dispute", "amount": found["amount"], "currency": found["currency"],
            "payment_intent": intent, "status": "needs_response", "reason": "fraudulent", "livemode": false,
        });
        self.disputes.insert(id.clone(), dispute.clone());
        self.tell("charge.dispute.created", &dispute);
        self.tell("charge.dispute.funds_withdrawn", &dispute);
        id
    }

    /// The dispute is decided.
    pub fn close_dispute(&mut self, dispute: &str, won: bool) {
        let mut found = self.disputes[dispute].clone();
        found["status"] = json!(if won { "won" } else { "lost" });
        self.disputes.insert(dispute.to_owned(), found.clone());
        if won {
            self.tell("charge.dispute.funds_reinstated", &found);
        }
        self.tell("charge.dispute.closed", &found);
    }

    /// The payment intent of a payment of the server's.
    pub fn intent_of(&self, payment: &str) -> String {
        let found = self.intents.values().find(|intent| intent["metadata"]["matinee_payment"] == payment);
        let id = found.and_then(|intent| intent["id"].as_str());
        id.unwrap_or_else(|| panic!("nobody has paid {payment}")).to_owned()
    }

    /// What came in and stayed, in cents.
    pub fn held(&self) -> i64 {
        let amount = |object: &Value| object["amount"].as_i64().unwrap_or(0);
        let paid: i64 =
            self.intents.values().filter(|intent| intent["status"] == "succeeded").map(amount).sum();
        let back: i64 = self.refunds.values().filter(|refund| refund["status"] != "failed").map(amount).sum();
        let lost: i64 = self.disputes.values().filter(|dispute| dispute["status"] != "won").map(amount).sum();
        paid - back - lost
    }
}
