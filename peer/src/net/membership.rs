//! Membership in a release's swarm: the view or carry, and its token kept fresh.

use std::sync::Arc;
use std::time::Duration;

use matinee_protocol::api::Opening;
use matinee_protocol::token::Role;
use tokio::sync::{Mutex, watch};

use super::api::{Api, Error};
use crate::clock;

/// A token is renewed this long before it ends.
const RENEW_BEFORE_MS: u64 = 90_000;
/// Wait after a renewal that failed.
const RENEW_RETRY_WAIT: Duration = Duration::from_secs(5);
/// Least time between two renewals that were asked for because a gate refused the token.
const RENEW_INTERVAL_MS_MIN: u64 = 5_000;

/// A view token and its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The compact JWT.
    pub text: String,
    /// Unix milliseconds.
    pub expires_at_ms: u64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_at_ms", &self.expires_at_ms).finish_non_exhaustive()
    }
}

/// A view, or a carry, and the token that stands for it at the four gates.
#[derive(Debug)]
pub struct Membership {
    api: Api,
    opening: Opening,
    token: watch::Sender<Token>,
    /// Held while renewing, with the time of the last renewal.
    renewed_at_ms: Mutex<u64>,
}

impl Membership {
    /// The membership that an opening gives.
    #[must_use]
    pub fn new(api: Api, opening: Opening) -> Arc<Self> {
        let token = Token { text: opening.view_token.clone(), expires_at_ms: opening.expires_at_ms };
        let renewed_at_ms = Mutex::new(clock::now_ms());
        Arc::new(Self { api, opening, token: watch::Sender::new(token), renewed_at_ms })
    }

    /// What the server answered when it was opened.
    #[must_use]
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// The server.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The token of the moment.
    #[must_use]
    pub fn token(&self) -> String {
        self.token.borrow().text.clone()
    }

    /// Tells of every new token.
    #[must_use]
    pub fn tokens(&self) -> watch::Receiver<Token> {
        self.token.subscribe()
    }

    /// Renews now, unless that was just done.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn renew(&self) -> Result<(), Error> {
        let mut renewed_at_ms = self.renewed_at_ms.lock().await;
        let now_ms = clock::now_ms();
        if now_ms.saturating_sub(*renewed_at_ms) < RENEW_INTERVAL_MS_MIN {
            return Ok(());
        }
        let token = match self.opening.role {
            Role::Viewer => {
                let next = self.api.renew(self.opening.view, &self.token()).await?;
                Token { text: next.view_token, expires_at_ms: next.expires_at_ms }
            }
            // A carry has no renewals of its own: opening it again gives the same membership a new token.
            Role::Carrier => {
                let next = self.api.open_carry(self.opening.release).await?;
                Token { text: next.view_token, expires_at_ms: next.expires_at_ms }
            }
        };
        *renewed_at_ms = now_ms;
        self.token.send_replace(token);
        Ok(())
    }

    /// Keeps the token fresh until the server refuses for good, which is the error given.
    pub async fn keep(self: Arc<Self>) -> Error {
        loop {
            let due_ms = self.token.borrow().expires_at_ms.saturating_sub(RENEW_BEFORE_MS);
            let wait_ms = due_ms.saturating_sub(clock::now_ms());
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            match self.renew().await {
                Ok(()) if wait_ms == 0 => tokio::time::sleep(Duration::from_secs(1)).await,
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "the view token could not be renewed yet");
                    tokio::time::sleep(RENEW_RETRY_WAIT).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Ends the view; a carry has no end of its own.
    ///
    /// # Errors
    /// As the server answers.
    pub async fn end(&self) -> Result<(), Error> {
        match self.opening.role {
            Role::Viewer => self.api.end_view(self.opening.view, &self.token()).await,
            Role::Carrier => Ok(()),
        }
    }
}
