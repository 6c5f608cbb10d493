//! Stripe: hosted checkout pages, charges to payment methods that were saved there, refunds, and events told by webhook.
//!
//! Every request that makes something carries an `Idempotency-Key` of ours, so that asking again gives what the first
//! request made. Of an object only what is needed is read; the secret key goes to Stripe and nowhere else.

pub mod amount;
pub mod object;
pub mod signature;

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use matinee_protocol::id::PaymentId;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use zeroize::Zeroizing;

use super::{Asking, By, Charge, Error, Provider, Returned, Reversal, Standing};
use object::{Found, Intent, Refund, Session, VERSION};

/// How long one request may take.
const REQUEST_S_MAX: u64 = 20;
/// How often one is sent again before the answer is given up.
const REPETITIONS_MAX: usize = 2;
/// How long the first repetition waits; each further one twice as long.
const REPEAT_AFTER_MS: u64 = 250;
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// PaymentIntents of a customer that are looked through for one: each customer has one subscription.
const INTENTS_LISTED_MAX: usize = 100;
/// Refunds of a PaymentIntent that are looked through for one: each gives a part of one payment back.
const REFUNDS_LISTED_MAX: usize = 100;
/// Characters of an error of Stripe's that are passed on.
const MESSAGE_CHARS_MAX: usize = 200;

/// How Stripe is reached.
#[derive(Clone)]
pub struct Settings {
    /// Its interface, without a slash at the end.
    pub api_url: String,
    /// The secret key of the account there.
    pub secret_key: Zeroizing<String>,
    /// Where payers come back to.
    pub return_url: String,
}

/// The provider.
pub struct Stripe {
    http: reqwest::Client,
    settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
struct Wrong {
    #[serde(default)]
    error: Reason,
}

#[derive(Debug, Default, Deserialize)]
struct Reason {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    message: String,
}

/// What Stripe says no to, in words that may be shown.
#[derive(Debug)]
enum Answer<T> {
    Yes(T),
    No(String),
}

/// Fields of a form, in order.
type Form<'a> = Vec<(&'a str, String)>;

impl Stripe {
    /// The provider with these settings.
    pub fn new(settings: Settings) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(REQUEST_S_MAX)).build();
        Self { http: http.expect("the TLS library starts"), settings }
    }

    /// Sends a request, again where no answer came.
    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        form: &Form<'_>,
    ) -> Result<Answer<T>, Error> {
        let pace = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(REPEAT_AFTER_MS))
            .with_factor(2.0)
            .with_max_times(REPETITIONS_MAX);
        (|| self.send_once(method.clone(), path, key, form))
            .retry(pace)
            .when(|error| matches!(error, Error::Unreachable(_)))
            .await
    }

    async fn send_once<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        form: &Form<'_>,
    ) -> Result<Answer<T>, Error> {
        let url = format!("{}{path}", self.settings.api_url);
        let mut request = self.http.request(method, url).bearer_auth(self.settings.secret_key.as_str());
        request = request.header("stripe-version", VERSION);
        if let Some(key) = key {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header("idempotency-key", key);
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        // A URL in the error would tell nothing new; what it is about stands in the path.
        let lost = |error: reqwest::Error| Error::Unreachable(error.without_url().to_string());
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&part);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(Error::Refused("an answer of Stripe is too large".to_owned()));
            }
        }
        if status.is_success() {
            let unreadable =
                |error: serde_json::Error| Error::Refused(format!("an answer of Stripe: {error}"));
            return serde_json::from_slice(&body).map(Answer::Yes).map_err(unreadable);
        }
        let Wrong { error: reason } = serde_json::from_slice(&body).unwrap_or_default();
        let message: String = reason.message.chars().take(MESSAGE_CHARS_MAX).collect();
        match status {
            StatusCode::CONFLICT => Err(Error::InFlight),
            StatusCode::TOO_MANY_REQUESTS => Err(Error::Unreachable(message)),
            _ if status.is_server_error() => Err(Error::Unreachable(format!("{status}: {message}"))),
            // Ours to put right, and nothing was made: the key is wrong, or was used for something else.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(Error::Refused(format!("{status}: {message}")))
            }
            _ if reason.kind == "idempotency_error" => Err(Error::Refused(message)),
            _ => Ok(Answer::No(message)),
        }
    }

    /// Charges the payer on a hosted page.
    async fn checkout(&self, charge: &Charge, saves_method: bool) -> Result<Standing, Error> {
        let session: Answer<Session> = if let Some(reference) = &charge.reference {
            let path = format!("/v1/checkout/sessions/{}", path_part(reference)?);
            self.send(Method::GET, &path, None, &Form::new()).await?
        } else {
            let Some(amount) = amount::to_stripe(&charge.amount) else {
                let reason = "the amount cannot be charged in this currency".to_owned();
                return Ok(Standing::Failed { reference: None, reason });
            };
            let key = charge.payment.to_string();
            let back = format!("{}/?payment={key}", self.settings.return_url);
            let mut form = vec![
                ("mode", "payment".to_owned()),
                ("client_reference_id", key.clone()),
                ("line_items[0][quantity]", "1".to_owned()),
                ("line_items[0][price_data][currency]", charge.amount.currency.to_ascii_lowercase()),
                ("line_items[0][price_data][unit_amount]", amount.to_string()),
                ("line_items[0][price_data][product_data][name]", charge.label.clone()),
                ("metadata[matinee_payment]", key.clone()),
                ("payment_intent_data[metadata][matinee_payment]", key.clone()),
                ("success_url", back.clone()),
                ("cancel_url", back),
            ];
            if saves_method {
                // A customer of its own for each subscription: what was charged to it is soon looked through.
                form.push(("customer_creation", "always".to_owned()));
                form.push(("payment_intent_data[setup_future_usage]", "off_session".to_owned()));
            }
            self.send(Method::POST, "/v1/checkout/sessions", Some(&key), &form).await?
        };
        match session {
            Answer::Yes(session) => session.standing(),
            Answer::No(reason) => Ok(Standing::Failed { reference: None, reason }),
        }
    }

    /// Charges the payment method that was saved with the PaymentIntent `with`. What was charged before is found, however
    /// long ago: the key alone is forgotten after a day.
    async fn off_session(&self, charge: &Charge, with: &str) -> Result<Standing, Error> {
        let failed = |reason: &str| Ok(Standing::Failed { reference: None, reason: reason.to_owned() });
        if let Some(reference) = &charge.reference {
            return match self.intent(reference).await? {
                Some(intent) => intent.standing(),
                None => failed("the payment is not known any more"),
            };
        }
        let saved = self.intent(with).await?;
        let saved = saved.as_ref().and_then(|saved| saved.customer().zip(saved.method()));
        let Some((customer, method)) = saved else { return failed("no payment method was saved") };
        let path =
            format!("/v1/payment_intents?customer={}&limit={INTENTS_LISTED_MAX}", path_part(customer)?);
        if let Answer::Yes(found) = self.send::<Found<Intent>>(Method::GET, &path, None, &Form::new()).await?
            && let Some(made) = found.data.into_iter().find(|made| made.payment() == Some(charge.payment))
        {
            return made.standing();
        }
        if !charge.may_be_made {
            return Ok(Standing::never_made());
        }
        let Some(amount) = amount::to_stripe(&charge.amount) else {
            return failed("the amount cannot be charged in this currency");
        };
        let key = charge.payment.to_string();
        let form = vec![
            ("amount", amount.to_string()),
            ("currency", charge.amount.currency.to_ascii_lowercase()),
            ("customer", customer.to_owned()),
            ("payment_method", method.to_owned()),
            ("off_session", "true".to_owned()),
            ("confirm", "true".to_owned()),
            ("metadata[matinee_payment]", key.clone()),
            ("metadata[matinee_renewal]", key.clone()),
        ];
        match self.send::<Intent>(Method::POST, "/v1/payment_intents", Some(&key), &form).await? {
            Answer::Yes(intent) => intent.standing(),
            Answer::No(reason) => failed(&reason),
        }
    }

    async fn detach(&self, with: &str) -> Result<(), Error> {
        let saved = self.intent(with).await?;
        let Some(method) = saved.as_ref().and_then(Intent::method) else { return Ok(()) };
        let path = format!("/v1/payment_methods/{}/detach", path_part(method)?);
        let key = format!("forget-{with}");
        // What Stripe says no to is detached already, or was never attached.
        self.send::<IgnoredAny>(Method::POST, &path, Some(&key), &Form::new()).await.map(drop)
    }

    /// Sends money back. What was sent before is found, however long ago: the key alone is forgotten after a day.
    async fn send_back(&self, reversal: &Reversal) -> Result<Returned, Error> {
        let refund: Answer<Refund> = if let Some(reference) = &reversal.reference {
            let path = format!("/v1/refunds/{}", path_part(reference)?);
            self.send(Method::GET, &path, None, &Form::new()).await?
        } else if let Some(made) = self.sent_back(reversal).await? {
            Answer::Yes(made)
        } else {
            let Some(amount) = amount::to_stripe(&reversal.amount) else { return Ok(Returned::Failed(None)) };
            let form = vec![
                ("payment_intent", reversal.charge.clone()),
                ("amount", amount.to_string()),
                ("metadata[matinee_refund]", reversal.refund.clone()),
            ];
            self.send(Method::POST, "/v1/refunds", Some(&reversal.refund), &form).await?
        };
        Ok(match refund {
            Answer::Yes(refund) => refund.returned(),
            Answer::No(_) => Returned::Failed(None),
        })
    }

    /// The refund that was made before under the same id, if it was.
    async fn sent_back(&self, reversal: &Reversal) -> Result<Option<Refund>, Error> {
        let charge = path_part(&reversal.charge)?;
        let path = format!("/v1/refunds?payment_intent={charge}&limit={REFUNDS_LISTED_MAX}");
        let Answer::Yes(found) = self.send::<Found<Refund>>(Method::GET, &path, None, &Form::new()).await?
        else {
            return Ok(None);
        };
        Ok(found.data.into_iter().find(|made| made.ours() == Some(reversal.refund.as_str())))
    }

    async fn intent(&self, charge: &str) -> Result<Option<Intent>, Error> {
        let path = format!("/v1/payment_intents/{}", path_part(charge)?);
        Ok(match self.send::<Intent>(Method::GET, &path, None, &Form::new()).await? {
            Answer::Yes(intent) => Some(intent),
            Answer::No(_) => None,
        })
    }
}

/// An id of Stripe's that goes into a path.
fn path_part(id: &str) -> Result<&str, Error> {
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain.then_some(id).ok_or_else(|| Error::Refused("an id of Stripe's is not as documented".to_owned()))
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Asking<'a, Standing> {
        match &charge.by {
            By::Payer { saves_method } => Box::pin(self.checkout(charge, *saves_method)),
            By::SavedMethod { with } => Box::pin(self.off_session(charge, with)),
        }
    }

    fn refund<'a>(&'a self, reversal: &'a Reversal) -> Asking<'a, Returned> {
        Box::pin(self.send_back(reversal))
    }

    fn payment_of<'a>(&'a self, charge: &'a str) -> Asking<'a, Option<PaymentId>> {
        Box::pin(async { Ok(self.intent(charge).await?.and_then(|intent| intent.payment())) })
    }

    fn forget<'a>(&'a self, charge: &'a str) -> Asking<'a, ()> {
        Box::pin(self.detach(charge))
    }
}
