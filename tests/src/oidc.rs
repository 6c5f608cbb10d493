//! A real OpenID Connect provider as a process (`tests/oidc/provider.mjs`), and a browser of one's own that walks its redirects.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The client's secret at the provider.
pub const CLIENT_SECRET: &str = "a secret of matinee";
/// Redirects that a browser follows.
const STEPS_MAX: usize = 10;

/// The provider; it ends when its input closes.
#[derive(Debug)]
pub struct Provider {
    /// Its issuer.
    pub issuer: String,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Provider {
    /// Starts it; it answers nobody until [`Provider::open`].
    pub async fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc");
        assert!(folder.join("node_modules/oidc-provider").is_dir(), "run `cargo xtask setup` once");
        let mut command = Command::new("node");
        command.arg("provider.mjs").current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let line = stdout.next_line().await.expect("it writes").expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("it writes JSON");
        let issuer = said["issuer"].as_str().expect("an issuer").to_owned();
        Self { issuer, stdin: child.stdin.take().expect("stdin is piped"), stdout, _child: child }
    }

    /// What a server needs in its environment to have it as the provider `home`.
    pub fn environment(&self) -> Vec<(String, String)> {
        let pair = |key: &str, value: &str| (format!("MATINEE_PROVIDERS__HOME__{key}"), value.to_owned());
        vec![
            pair("LABEL", "Home"),
            pair("ISSUER", &self.issuer),
            pair("CLIENT_ID", "matinee"),
            pair("CLIENT_SECRET", CLIENT_SECRET),
        ]
    }

    /// Lets a server in.
    pub async fn open(&mut self, url: &str) {
        let callback = format!("{url}/v1/oidc/home/callback");
        self.order(json!({ "op": "open", "redirect_uri": callback })).await;
    }

    /// Who signs in from now on; nobody: the person says no.
    pub async fn be(&mut self, account: Option<&str>) {
        self.order(json!({ "op": "be", "account": account })).await;
    }

    /// Makes it lie; with `{}` it is honest again.
    pub async fn lie(&mut self, mut how: Value) {
        how["op"] = json!("lie");
        self.order(how).await;
    }

    async fn order(&mut self, order: Value) {
        self.stdin.write_all(format!("{order}\n").as_bytes()).await.expect("it reads");
        let line = self.stdout.next_line().await.expect("it writes");
        assert_eq!(line.as_deref(), Some("{}"), "{order}");
    }
}

/// A browser without a screen: keeps cookies, and goes where it is sent.
#[derive(Debug)]
pub struct Wanderer {
    http: Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

impl Wanderer {
    /// With no cookies.
    #[expect(clippy::new_without_default, reason = "each call gives another browser")]
    pub fn new() -> Self {
        let http = Client::builder().redirect(Policy::none()).build().expect("a client can be built");
        Self { http, cookies: Mutex::default() }
    }

    /// Keeps a cookie as if an answer had brought it.
    pub fn keep(&self, url: &str, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').expect("a cookie has a name");
        let key = (place_of(url), name.to_owned());
        let gone = value.is_empty() || attributes.contains("Max-Age=0") || attributes.contains("1970");
        let mut cookies = self.cookies.lock().expect("nobody panicked");
        if gone {
            cookies.remove(&key);
        } else {
            cookies.insert(key, value.to_owned());
        }
    }

    /// One request with the cookies of its place; keeps those of the answer.
    pub async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Response {
        let place = place_of(url);
        let sent: Vec<_> = {
            let cookies = self.cookies.lock().expect("nobody panicked");
            let own = cookies.iter().filter(|((at, _), _)| *at == place);
            own.map(|((_, name), value)| format!("{name}={value}")).collect()
        };
        let mut request = self.http.request(method, url).header("cookie", sent.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("somebody answers");
        for cookie in answer.headers().get_all("set-cookie") {
            self.keep(url, cookie.to_str().expect("a cookie is text"));
        }
        answer
    }

    /// Goes to a page and wherever it is sent, until an address begins with `stop` or nobody sends it on. Gives the address.
    pub async fn walk(&self, url: &str, stop: &str) -> String {
        let mut at = url.to_owned();
        for _ in 0..STEPS_MAX {
            if at.starts_with(stop) {
                return at;
            }
            let answer = self.send(Method::GET, &at, &[]).await;
            let Some(location) = answer.headers().get("location") else {
                let status = answer.status();
                panic!("{at} goes nowhere: {status} {}", answer.text().await.unwrap_or_default());
            };
            let location = location.to_str().expect("an address is text").to_owned();
            at = if location.starts_with('/') { format!("{}{location}", place_of(&at)) } else { location };
        }
        panic!("{url} goes round in circles, last at {at}");
    }
}

/// Scheme, host and port.
fn place_of(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
