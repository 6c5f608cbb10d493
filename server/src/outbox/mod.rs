//! Delivers what the outbox of the store holds: webhooks, signed, and email.

pub mod address;
pub mod email;
pub mod webhook;

use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::store::outbox::{LEASE_MS, Message, Outcome};
use email::Mailer;

/// How long an attempt may take in all: less than a message that was taken is nobody else's.
const ATTEMPT_MAX: Duration = Duration::from_millis(LEASE_MS as u64 * 3 / 4);
/// Characters of an error that are kept.
const ERROR_CHARS_MAX: usize = 300;

/// How messages leave this server.
pub struct Outbox {
    master: Zeroizing<[u8; 32]>,
    mailer: Option<Mailer>,
    sender: webhook::Sender,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("mailer", &self.mailer).finish_non_exhaustive()
    }
}

impl Outbox {
    /// With the secret that webhook keys come from, a mail server if there is one, and what sends to webhooks.
    pub fn new(master: Zeroizing<[u8; 32]>, mailer: Option<Mailer>, sender: webhook::Sender) -> Self {
        Self { master, mailer, sender }
    }

    /// Whether email can be sent.
    pub fn mails(&self) -> bool {
        self.mailer.is_some()
    }

    /// Whether webhooks may lead into private networks.
    pub fn private(&self) -> bool {
        self.sender.private()
    }

    /// The key of a webhook, as its owner is shown it once.
    pub fn webhook_secret(&self, webhook: &str) -> Zeroizing<String> {
        webhook::shown(&webhook::key(&self.master, webhook))
    }

    /// Sends a message; `at_ms` is now.
    pub async fn send(&self, message: &Message, at_ms: i64) -> Outcome {
        #[expect(clippy::disallowed_methods, reason = "a stopwatch for the delivery log")]
        let started = tokio::time::Instant::now();
        let attempt = async {
            match message.kind.as_str() {
                "webhook" => self.send_webhook(message, at_ms / 1000).await.map(Some),
                _ => self.send_email(message).await.map(|()| None),
            }
        };
        let late = || Err(format!("not done within {} seconds", ATTEMPT_MAX.as_secs()));
        let sent = tokio::time::timeout(ATTEMPT_MAX, attempt).await.unwrap_or_else(|_| late());
        let took_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let (status, error) = match sent {
            Ok(Some(status)) if !(200..300).contains(&status) => {
                (Some(status), Some(format!("answered {status}")))
            }
            Ok(status) => (status, None),
            Err(error) => (None, Some(error.chars().take(ERROR_CHARS_MAX).collect())),
        };
        Outcome { status: status.map(i64::from), error, took_ms }
    }

    async fn send_webhook(&self, message: &Message, at_s: i64) -> Result<u16, String> {
        let url = message.url.as_deref().ok_or("the webhook was removed")?;
        let key = webhook::key(&self.master, message.endpoint_id.as_deref().unwrap_or_default());
        self.sender.send(url, (&message.id, at_s, &message.payload), &key).await
    }

    async fn send_email(&self, message: &Message) -> Result<(), String> {
        let mailer = self.mailer.as_ref().ok_or("no mail server is configured")?;
        let payload: Value = serde_json::from_str(&message.payload).map_err(|error| error.to_string())?;
        let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
        let to = message.recipient.as_deref().ok_or("nobody to write to")?;
        mailer.send(&message.id, to, &text("subject"), &text("text")).await
    }
}
