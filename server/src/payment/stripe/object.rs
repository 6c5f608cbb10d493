//! Objects of Stripe's interface, of which only what is needed is read, and what they mean here.
//! Shapes: docs.stripe.com/api, version [`VERSION`].

use std::collections::BTreeMap;

use matinee_protocol::id::PaymentId;
use serde::Deserialize;
use serde_json::Value;

use super::amount;
use crate::payment::{Error, Event, Notice, Returned, Standing};
use crate::store::dispute;

/// The version that requests ask for; the webhook endpoint is to be made with the same one.
pub const VERSION: &str = "2025-03-31.basil";
/// Under which name our ids travel in `metadata`.
pub const PAYMENT: &str = "matinee_payment";
/// Under which the payment's id travels once more, where it is a renewal's.
pub const RENEWAL: &str = "matinee_renewal";
/// The same for refunds.
pub const REFUND: &str = "matinee_refund";

/// A Checkout Session.
#[derive(Debug, Deserialize)]
pub struct Session {
    id: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    status: Option<String>,
    payment_status: String,
    #[serde(default)]
    payment_intent: Option<Value>,
    #[serde(default)]
    amount_total: Option<i64>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    client_reference_id: Option<String>,
}

/// An id that may stand there alone or with its whole object.
fn id_of(value: Option<&Value>) -> Option<&str> {
    let value = value?;
    value.as_str().or_else(|| value.get("id").and_then(Value::as_str))
}

impl Session {
    /// How the payment stands.
    pub fn standing(self) -> Result<Standing, Error> {
        let paid = matches!(self.payment_status.as_str(), "paid" | "no_payment_required");
        match self.status.as_deref() {
            Some("complete") if paid => {
                let charge = id_of(self.payment_intent.as_ref()).unwrap_or(&self.id).to_owned();
                let (amount, currency) = self.amount_total.zip(self.currency).ok_or_else(unreadable)?;
                let amount = amount::from_stripe(amount, &currency).ok_or_else(unreadable)?;
                Ok(Standing::Succeeded { reference: self.id, charge, amount })
            }
            Some("expired") => {
                let reason = "the checkout was not completed in time".to_owned();
                Ok(Standing::Failed { reference: Some(self.id), reason })
            }
            // Complete and unpaid: a bank has still to say.
            Some("open" | "complete") => Ok(Standing::Pending { reference: self.id, checkout_url: self.url }),
            _ => Err(unreadable()),
        }
    }
}

fn unreadable() -> Error {
    Error::Refused("an answer of Stripe is not as documented".to_owned())
}

/// A refund.
#[derive(Debug, Deserialize)]
pub struct Refund {
    id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    payment_intent: Option<Value>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

impl Refund {
    /// The refund of ours that it is; none was made by hand.
    pub fn ours(&self) -> Option<&str> {
        self.metadata.as_ref()?.get(REFUND).map(String::as_str)
    }

    /// How it stands.
    pub fn returned(&self) -> Returned {
        match self.status.as_deref() {
            Some("succeeded") => Returned::Succeeded(self.id.clone()),
            Some("failed" | "canceled") => Returned::Failed(Some(self.id.clone())),
            _ => Returned::Pending(self.id.clone()),
        }
    }
}

/// A PaymentIntent.
#[derive(Debug, Deserialize)]
pub struct Intent {
    id: String,
    status: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    customer: Option<Value>,
    #[serde(default)]
    payment_method: Option<Value>,
    #[serde(default)]
    last_payment_error: Option<Declined>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
struct Declined {
    #[serde(default)]
    message: Option<String>,
}

/// A list of objects, the newest first.
#[derive(Debug, Deserialize)]
pub struct Found<T> {
    /// Those of this page.
    pub data: Vec<T>,
}

impl Intent {
    /// The payment of ours that it is for.
    pub fn payment(&self) -> Option<PaymentId> {
        self.metadata.as_ref()?.get(PAYMENT)?.parse().ok()
    }

    /// The same, if it is a renewal's; of others the Checkout Session tells.
    fn renewal(&self) -> Option<PaymentId> {
        self.metadata.as_ref()?.get(RENEWAL)?.parse().ok()
    }

    /// Whose payment method it is charged to.
    pub fn customer(&self) -> Option<&str> {
        id_of(self.customer.as_ref())
    }

    /// Which.
    pub fn method(&self) -> Option<&str> {
        id_of(self.payment_method.as_ref())
    }

    /// How a charge stands that nobody is there to go on with.
    pub fn standing(self) -> Result<Standing, Error> {
        match self.status.as_str() {
            "succeeded" => {
                let amount = amount::from_stripe(self.amount, &self.currency).ok_or_else(unreadable)?;
                Ok(Standing::Succeeded { reference: self.id.clone(), charge: self.id, amount })
            }
            "processing" => Ok(Standing::Pending { reference: self.id, checkout_url: None }),
            "requires_payment_method" | "requires_confirmation" | "requires_action" | "canceled" => {
                let message = self.last_payment_error.and_then(|declined| declined.message);
                let reason = message.unwrap_or_else(|| "the payment method was declined".to_owned());
                Ok(Standing::Failed { reference: Some(self.id), reason })
            }
            _ => Err(unreadable()),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Dispute {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    payment_intent: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Value,
}

/// Reads an event. None if it is not of the form of one; events of kinds that mean nothing here give a notice that says
/// nothing.
pub fn event(body: &[u8]) -> Option<Event> {
    let Envelope { id, kind, data } = serde_json::from_slice(body).ok()?;
    let notice = notice(&kind, data.object).unwrap_or(Notice::Nothing);
    Some(Event { id, kind, notice })
}

fn notice(kind: &str, object: Value) -> Option<Notice> {
    match kind {
        "checkout.session.completed"
        | "checkout.session.async_payment_succeeded"
        | "checkout.session.expired" => {
            let session: Session = serde_json::from_value(object).ok()?;
            let payment = session.client_reference_id.as_ref()?.parse().ok()?;
            Some(Notice::Payment { payment, standing: session.standing().ok()? })
        }
        "checkout.session.async_payment_failed" => {
            let session: Session = serde_json::from_value(object).ok()?;
            let payment = session.client_reference_id.as_ref()?.parse().ok()?;
            let reason = "the bank refused the payment".to_owned();
            Some(Notice::Payment {
                payment,
                standing: Standing::Failed { reference: Some(session.id), reason },
            })
        }
        "payment_intent.succeeded" | "payment_intent.payment_failed" | "payment_intent.canceled" => {
            let intent: Intent = serde_json::from_value(object).ok()?;
            let payment = intent.renewal()?;
            Some(Notice::Payment { payment, standing: intent.standing().ok()? })
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            let refund: Refund = serde_json::from_value(object).ok()?;
            Some(Notice::Refund {
                refund: refund.ours().map(str::to_owned),
                charge: id_of(refund.payment_intent.as_ref())?.to_owned(),
                amount: amount::from_stripe(refund.amount, &refund.currency)?,
                reference: refund.id.clone(),
                returned: refund.returned(),
            })
        }
        _ if kind.starts_with("charge.dispute.") => {
            let dispute: Dispute = serde_json::from_value(object).ok()?;
            let state = match (kind, dispute.status.as_str()) {
                ("charge.dispute.funds_reinstated", _) | (_, "won") => dispute::State::Won,
                (_, "lost") => dispute::State::Lost,
                // An inquiry moves no money; where it becomes a chargeback, the withdrawal says so.
                (kind, status)
                    if status.starts_with("warning_") && kind != "charge.dispute.funds_withdrawn" =>
                {
                    return None;
                }
                _ => dispute::State::Open,
            };
            Some(Notice::Dispute {
                reference: dispute.id,
                charge: id_of(dispute.payment_intent.as_ref())?.to_owned(),
                amount: amount::from_stripe(dispute.amount, &dispute.currency)?,
                state,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use matinee_protocol::api::Money;
    use serde_json::json;

    use super::*;

    const PAYMENT_ID: &str = "0190d9e4-0000-7000-8000-000000000000";

    fn read(kind: &str, object: Value) -> Notice {
        let body = json!({ "id": "evt_1", "object": "event", "type": kind, "data": { "object": object } });
        event(body.to_string().as_bytes()).unwrap().notice
    }

    fn session(status: &str, payment_status: &str) -> Value {
        json!({
            "id": "cs_1", "object": "checkout.session", "url": "https://pay.example", "status": status,
            "payment_status": payment_status, "payment_intent": "pi_1", "amount_total": 120, "currency": "usd",
            "client_reference_id": PAYMENT_ID, "livemode": false,
        })
    }

    #[test]
    fn sessions() {
        let amount = Money { minor: 120, currency: "USD".to_owned() };
        let paid = Standing::Succeeded { reference: "cs_1".to_owned(), charge: "pi_1".to_owned(), amount };
        let waits = Standing::Pending {
            reference: "cs_1".to_owned(),
            checkout_url: Some("https://pay.example".to_owned()),
        };
        let notice = |standing| Notice::Payment { payment: PAYMENT_ID.parse().unwrap(), standing };
        let completed = "checkout.session.completed";
        assert_eq!(read(completed, session("complete", "paid")), notice(paid.clone()));
        assert_eq!(read(completed, session("complete", "unpaid")), notice(waits));
        let mut whole = session("complete", "paid");
        whole["payment_intent"] = json!({ "id": "pi_1", "object": "payment_intent" });
        assert_eq!(read("checkout.session.async_payment_succeeded", whole), notice(paid));
        for (kind, status) in
            [("checkout.session.expired", "expired"), ("checkout.session.async_payment_failed", "complete")]
        {
            let seen = read(kind, session(status, "unpaid"));
            assert!(
                matches!(seen, Notice::Payment { standing: Standing::Failed { .. }, .. }),
                "{kind}: {seen:?}"
            );
        }
        let mut foreign = session("complete", "paid");
        foreign["client_reference_id"] = json!("order-77");
        assert_eq!(read(completed, foreign), Notice::Nothing, "another program's session");
        assert_eq!(read("customer.created", json!({})), Notice::Nothing);
        assert_eq!(read(completed, json!("cs_1")), Notice::Nothing);
        assert!(event(b"{}").is_none() && event(b"\xff").is_none());
    }

    #[test]
    fn charges_with_nobody_there() {
        let intent = |status: &str| {
            json!({
                "id": "pi_1", "object": "payment_intent", "amount": 120, "currency": "usd", "status": status,
                "customer": "cus_1", "payment_method": { "id": "pm_1", "object": "payment_method" },
                "metadata": { "matinee_payment": PAYMENT_ID, "matinee_renewal": PAYMENT_ID },
                "last_payment_error": { "type": "card_error", "code": "card_declined", "message": "No." },
            })
        };
        let kind = |status| match read("payment_intent.payment_failed", intent(status)) {
            Notice::Payment { payment, standing } if payment.to_string() == PAYMENT_ID => Some(standing),
            _ => None,
        };
        let (reference, charge) = ("pi_1".to_owned(), "pi_1".to_owned());
        let amount = Money { minor: 120, currency: "USD".to_owned() };
        let paid = Standing::Succeeded { reference: reference.clone(), charge, amount };
        assert_eq!(kind("succeeded"), Some(paid));
        let waits = Standing::Pending { reference: reference.clone(), checkout_url: None };
        assert_eq!(kind("processing"), Some(waits));
        for status in ["requires_payment_method", "requires_action", "requires_confirmation", "canceled"] {
            let declined = Standing::Failed { reference: Some(reference.clone()), reason: "No.".to_owned() };
            assert_eq!(kind(status), Some(declined), "{status}");
        }
        assert_eq!(kind("requires_capture"), None, "which nobody asks for");
        let found: Intent = serde_json::from_value(intent("succeeded")).unwrap();
        assert_eq!((found.customer(), found.method()), (Some("cus_1"), Some("pm_1")));
        let mut first = intent("succeeded");
        first["metadata"] = json!({ "matinee_payment": PAYMENT_ID });
        assert_eq!(read("payment_intent.succeeded", first), Notice::Nothing, "of these the session tells");
    }

    #[test]
    fn refunds_and_disputes() {
        let refund = json!({
            "id": "re_1", "amount": 50, "currency": "usd", "status": "succeeded", "payment_intent": "pi_1",
            "metadata": { "matinee_refund": "r" },
        });
        let amount = Money { minor: 50, currency: "USD".to_owned() };
        let expected = Notice::Refund {
            reference: "re_1".to_owned(),
            refund: Some("r".to_owned()),
            charge: "pi_1".to_owned(),
            amount: amount.clone(),
            returned: Returned::Succeeded("re_1".to_owned()),
        };
        assert_eq!(read("refund.updated", refund), expected);
        let dispute = |kind: &str, status: &str| {
            let object = json!({
                "id": "dp_1", "amount": 50, "currency": "usd", "status": status, "payment_intent": "pi_1",
            });
            match read(&format!("charge.dispute.{kind}"), object) {
                Notice::Dispute { state, .. } => Some(state),
                _ => None,
            }
        };
        for (kind, status, expected) in [
            ("created", "needs_response", Some(dispute::State::Open)),
            ("updated", "under_review", Some(dispute::State::Open)),
            ("created", "warning_needs_response", None),
            ("funds_withdrawn", "warning_needs_response", Some(dispute::State::Open)),
            ("closed", "lost", Some(dispute::State::Lost)),
            ("closed", "won", Some(dispute::State::Won)),
            ("funds_reinstated", "under_review", Some(dispute::State::Won)),
            ("closed", "warning_closed", None),
        ] {
            assert_eq!(dispute(kind, status), expected, "{kind} {status}");
        }
    }
}
