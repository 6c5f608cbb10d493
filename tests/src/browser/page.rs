//! What a test does with one open page.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Error, Link, LogLine, OPERATION_MS_MAX, millis, named};

/// One open page. Selectors are CSS, looked for inside open shadow roots too.
#[derive(Debug, Clone)]
pub struct Page {
    link: Arc<Link>,
    name: String,
    /// What the address of the frame that is meant begins with; none is the page itself.
    frame: Option<String>,
}

impl Page {
    pub(super) fn new(link: Arc<Link>, name: String) -> Self {
        Self { link, name, frame: None }
    }

    /// The same page, with scripts, waits and clicks in the frame whose address begins so, whatever its origin.
    #[must_use]
    pub fn in_frame(&self, address: &str) -> Self {
        Self { frame: Some(address.to_owned()), ..self.clone() }
    }

    async fn ask(&self, operation: &str, mut request: Value, ms_max: u64) -> Result<Value, Error> {
        request["page"] = json!(self.name);
        if let Some(frame) = &self.frame {
            request["frame"] = json!(frame);
        }
        self.link.ask(operation, request, ms_max).await
    }

    /// Runs the body of an async function in the page; `args` is its one argument, and what it returns comes
    /// back. A page's Content-Security-Policy does not hinder it.
    pub async fn eval<T: DeserializeOwned>(&self, body: &str, args: Value) -> Result<T, Error> {
        self.eval_within(body, args, Duration::from_millis(OPERATION_MS_MAX)).await
    }

    /// [`Page::eval`] with its own patience.
    pub async fn eval_within<T: DeserializeOwned>(
        &self,
        body: &str,
        args: Value,
        patience: Duration,
    ) -> Result<T, Error> {
        let value = self.ask("eval", json!({ "body": body, "args": args }), millis(patience)).await?;
        serde_json::from_value(value).map_err(Error::Shape)
    }

    /// Runs `body` again and again, across navigations too, until it returns something true, and returns that.
    /// The error tells the last value and what the page wrote last.
    pub async fn wait_for(&self, body: &str, patience: Duration) -> Result<Value, Error> {
        self.ask("waitFor", json!({ "body": body }), millis(patience)).await
    }

    /// [`Page::wait_for`] with an argument for the function.
    pub async fn wait_for_with(&self, body: &str, args: Value, patience: Duration) -> Result<Value, Error> {
        self.ask("waitFor", json!({ "body": body, "args": args }), millis(patience)).await
    }

    /// Waits until an element is there and visible.
    pub async fn wait_for_selector(&self, selector: &str, patience: Duration) -> Result<(), Error> {
        self.ask("waitFor", json!({ "selector": selector }), millis(patience)).await.map(drop)
    }

    /// Clicks the first element that matches, as soon as it can be clicked.
    pub async fn click(&self, selector: &str) -> Result<(), Error> {
        self.ask("click", json!({ "selector": selector }), OPERATION_MS_MAX).await.map(drop)
    }

    /// Replaces the text of a field.
    pub async fn fill(&self, selector: &str, text: &str) -> Result<(), Error> {
        self.ask("fill", json!({ "selector": selector, "text": text }), OPERATION_MS_MAX).await.map(drop)
    }

    /// Presses a key (`Enter`, `Control+A`) with the focus where it is.
    pub async fn press(&self, key: &str) -> Result<(), Error> {
        self.ask("press", json!({ "key": key }), OPERATION_MS_MAX).await.map(drop)
    }

    /// Chooses an entry of a `<select>` by its value or its label.
    pub async fn select(&self, selector: &str, option: &str) -> Result<(), Error> {
        self.ask("select", json!({ "selector": selector, "option": option }), OPERATION_MS_MAX)
            .await
            .map(drop)
    }

    /// Gives files to an `<input type=file>`.
    pub async fn choose_files(&self, selector: &str, paths: &[&Path]) -> Result<(), Error> {
        self.ask("choose", json!({ "selector": selector, "paths": paths }), OPERATION_MS_MAX).await.map(drop)
    }

    /// The visible text of the first element that matches.
    pub async fn text(&self, selector: &str) -> Result<String, Error> {
        let value = self.ask("text", json!({ "selector": selector }), OPERATION_MS_MAX).await?;
        serde_json::from_value(value).map_err(Error::Shape)
    }

    /// Clicks something that starts a download, keeps the file at `path` and returns the name it was given.
    pub async fn download(&self, selector: &str, path: &Path, patience: Duration) -> Result<String, Error> {
        let request = json!({ "selector": selector, "path": path });
        named(&self.ask("download", request, millis(patience)).await?, "name")
    }

    /// Goes to another address in the same page and returns the HTTP status.
    pub async fn goto(&self, url: &str) -> Result<Option<u16>, Error> {
        let value = self.ask("goto", json!({ "url": url }), OPERATION_MS_MAX).await?;
        serde_json::from_value(value["status"].clone()).map_err(Error::Shape)
    }

    /// Loads the page again.
    pub async fn reload(&self) -> Result<(), Error> {
        self.ask("reload", json!({}), OPERATION_MS_MAX).await.map(drop)
    }

    /// Makes this the visible page; a hidden one is slowed down.
    pub async fn front(&self) -> Result<(), Error> {
        self.ask("front", json!({}), OPERATION_MS_MAX).await.map(drop)
    }

    /// The address the page is at.
    pub async fn url(&self) -> Result<String, Error> {
        serde_json::from_value(self.ask("url", json!({}), OPERATION_MS_MAX).await?).map_err(Error::Shape)
    }

    /// Sets the window's size in CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) -> Result<(), Error> {
        self.ask("size", json!({ "width": width, "height": height }), OPERATION_MS_MAX).await.map(drop)
    }

    /// Writes what is visible to a PNG file.
    pub async fn screenshot(&self, path: &Path) -> Result<(), Error> {
        self.ask("screenshot", json!({ "path": path }), OPERATION_MS_MAX).await.map(drop)
    }

    /// Sends a command of Chromium's own protocol (CDP) to this page.
    pub async fn cdp(&self, method: &str, params: Value) -> Result<Value, Error> {
        self.ask("cdp", json!({ "method": method, "params": params }), OPERATION_MS_MAX).await
    }

    /// What the page wrote so far: console, uncaught errors, failed requests.
    pub async fn logs(&self) -> Result<Vec<LogLine>, Error> {
        let lines = self.ask("logs", json!({}), OPERATION_MS_MAX).await?;
        serde_json::from_value(lines).map_err(Error::Shape)
    }

    /// Closes the page.
    pub async fn close(self) -> Result<(), Error> {
        self.link.ask("close", json!({ "name": self.name }), OPERATION_MS_MAX).await.map(drop)
    }
}
