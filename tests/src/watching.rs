//! A viewer in a real browser: signed in, with a film on the page.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::browser::{Page, Profile};
use crate::deployment::{PASSWORD, Published};
use crate::film;
use crate::viewer::nonce;

/// How long a film may take to show its first frame on a busy machine.
pub const FIRST_FRAME_WAIT: Duration = Duration::from_secs(60);

/// Figures of the player on the page (`window.matinee.stats()`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// `opening`, `playable`, `over`, `failed`.
    pub state: String,
    /// The view.
    pub view: String,
    /// Address of the file that plays.
    pub address: String,
    /// Verified bytes from peers.
    pub bytes_from_peers: u64,
    /// Verified bytes from the origin.
    pub bytes_from_origin: u64,
    /// Bytes from this device's cache.
    pub bytes_from_cache: u64,
    /// Bytes given to peers.
    pub bytes_to_peers: u64,
    /// Peers now.
    pub peers: u32,
}

/// Signs the profile in and gives an entitlement to the title, without the shop's pages.
pub async fn rent(page: &Page, email: &str, published: &Published) -> String {
    let body = "
        const post = async (path, body) => {
            const answer = await fetch(path, {
                method: 'POST', body: JSON.stringify(body),
                headers: { 'content-type': 'application/json', 'idempotency-key': crypto.randomUUID() },
            });
            if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
            return answer.json();
        };
        await post('/v1/accounts', { email: args.email, password: args.password, name: args.email });
        await post('/v1/wallet/top-ups', { amount: { minor: 1000, currency: 'USD' } });
        return (await post('/v1/purchases', { plan: args.plan })).entitlement.id;";
    let args = json!({ "email": email, "password": PASSWORD, "plan": published.plan });
    page.eval(body, args).await.expect("the viewer can buy")
}

/// A page with a film on it.
#[derive(Clone, Debug)]
pub struct Watching {
    /// The page.
    pub page: Page,
}

impl Watching {
    /// Opens the shop in a profile, rents the title and puts the film on.
    pub async fn start(profile: &Profile, url: &str, published: &Published) -> Self {
        let page = profile.page(url).await.expect("the shop opens");
        let email = format!("{}@example.com", nonce().to_lowercase());
        let entitlement = rent(&page, &email, published).await;
        page.goto(&format!("{url}/watch/{entitlement}")).await.expect("the film's page opens");
        page.front().await.expect("the page can be shown");
        Self { page }
    }

    /// The player's figures.
    pub async fn stats(&self) -> Stats {
        self.page.eval("return window.matinee.stats()", json!({})).await.expect("a player is on the page")
    }

    /// The time code on screen, in seconds.
    pub async fn time_code(&self) -> Option<f64> {
        self.page.eval(&film::page_time_js(), json!({})).await.expect("the page runs scripts")
    }

    /// Waits until a frame with a time code of at least `seconds` is on screen.
    pub async fn wait_shown(&self, seconds: f64) -> f64 {
        let body = format!(
            "const read = async () => {{ {} }};\nconst at = await read();\nreturn at !== null && at >= args.seconds ? {{ at }} : null;",
            film::page_time_js()
        );
        let shown = self.page.wait_for_with(&body, json!({ "seconds": seconds }), FIRST_FRAME_WAIT).await;
        match shown {
            Ok(shown) => shown["at"].as_f64().expect("a time code"),
            Err(error) => panic!("no frame of {seconds} s: {error}; {:?}", self.page.logs().await),
        }
    }

    /// Runs `body` with `video` in scope.
    pub async fn video(&self, body: &str) -> Value {
        let found = "const video = document.querySelector('matinee-player')?.shadowRoot.querySelector('video') \
            ?? [...document.querySelectorAll('*')].map((e) => e.shadowRoot?.querySelector('matinee-player')?.shadowRoot\
            .querySelector('video')).find(Boolean);";
        let run = format!("{found}\n{body}");
        self.page.eval(&run, json!({})).await.expect("a video is on the page")
    }

    /// Seeks, and waits until the frame on screen carries the right time code.
    pub async fn seek(&self, seconds: f64) {
        self.video(&format!("video.pause(); video.currentTime = {seconds}; return null")).await;
        let body = format!(
            "const read = async () => {{ {} }};\nconst at = await read();\nreturn at !== null && Math.abs(at - args.seconds) <= 0.41 ? {{ at }} : null;",
            film::page_time_js()
        );
        let shown = self.page.wait_for_with(&body, json!({ "seconds": seconds }), FIRST_FRAME_WAIT).await;
        if let Err(error) = shown {
            panic!("no frame of {seconds} s after the seek: {error}; at {:?}", self.time_code().await);
        }
    }

    /// SHA-256 of the whole file as the gateway gives it, read in ranges as a video element does.
    pub async fn gateway_sha256(&self) -> [u8; 32] {
        let body = "
            const address = window.matinee.stats().address;
            const parts = [];
            let at = 0, size = Infinity;
            const get = async (from) => {
                const answer = await fetch(address, { headers: { range: `bytes=${from}-` } });
                if (answer.status !== 206) throw new Error(`${answer.status} ${await answer.text()}`);
                size = Number(answer.headers.get('content-range').split('/')[1]);
                return new Uint8Array(await answer.arrayBuffer());
            };
            while (at < size) {
                const part = await get(at);
                if (part.length === 0) throw new Error('an empty range');
                parts.push(part);
                at += part.length;
            }
            // The figures come twice a second: whoever asks next gets those that this read is part of.
            const told = ({ bytesFromPeers, bytesFromOrigin, bytesFromCache }) => bytesFromPeers + bytesFromOrigin + bytesFromCache;
            while (told(window.matinee.stats()) < size) await new Promise((next) => setTimeout(next, 50));
            const whole = new Uint8Array(size);
            at = 0;
            for (const part of parts) { whole.set(part, at); at += part.length; }
            return [...new Uint8Array(await crypto.subtle.digest('SHA-256', whole))];";
        let digest: Vec<u8> = self
            .page
            .eval_within(body, json!({}), Duration::from_secs(180))
            .await
            .expect("the gateway answers");
        digest.try_into().expect("32 bytes")
    }
}

/// SHA-256 of a file on disk.
pub fn sha256_of(path: &std::path::Path) -> [u8; 32] {
    matinee_protocol::encoding::sha256(&std::fs::read(path).expect("the file can be read"))
}
