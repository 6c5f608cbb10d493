//! Email by SMTP.

use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

/// How long a mail server may take for one step.
const STEP_MAX: Duration = Duration::from_secs(20);

/// Why there is no mailer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL of a mail server.
    #[error("outbox.smtp_url: {0}")]
    Url(#[from] smtp::Error),
    /// Not an address.
    #[error("outbox.mail_from: {0}")]
    From(#[from] lettre::address::AddressError),
}

/// A mail server, and who writes.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// `smtps://name:password@host:port`, or `smtp://…?tls=required`.
    pub fn new(url: &str, from: &str) -> Result<Self, Error> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)?.timeout(Some(STEP_MAX)).build();
        Ok(Self { transport, from: from.parse()? })
    }

    /// Sends a text.
    pub async fn send(&self, message: &str, to: &str, subject: &str, text: &str) -> Result<(), String> {
        let to: Address = to.parse().map_err(|error| format!("the address: {error}"))?;
        let host = self.from.email.domain();
        let email = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            // The same for every attempt: who gets it twice can tell.
            .message_id(Some(format!("<{message}@{host}>")))
            .header(ContentType::TEXT_PLAIN)
            .body(text.to_owned())
            .map_err(|error| error.to_string())?;
        self.transport.send(email).await.map(drop).map_err(|error| why(&error))
    }
}

/// An error as the log may have it: what a mail server says often holds the address.
fn why(error: &smtp::Error) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => "the mail server took too long".to_owned(),
        None => "there was no conversation with the mail server".to_owned(),
    }
}
