//! Requests to providers: no redirect is followed, no answer is read without end.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

/// How long a provider may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// A client for providers.
#[derive(Debug)]
pub(super) struct Http(reqwest::Client);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It could not be asked, or did not answer in time.
    #[error(transparent)]
    Request(#[from] reqwest::Error),
    /// It answered with too much.
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It answered with what is no HTTP.
    #[error(transparent)]
    Form(#[from] axum::http::Error),
}

impl Http {
    pub(super) fn new() -> Self {
        let built = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER_WAIT)
            .user_agent(concat!("matinee/", env!("CARGO_PKG_VERSION")))
            .build();
        Self(built.expect("a client without options of its own can be built"))
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let mut response = axum::http::Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(Error::TooLong);
            }
            body.extend_from_slice(&part);
        }
        Ok(response.body(body)?)
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}
