//! `cargo xtask demo`: the whole system on this machine, with a viewer who has money and a film that is seeded.
//!
//! With `--check` a real browser buys the film by the shop's own pages and plays it; what was played and where each byte came
//! from is printed, and the exit code says whether it worked.
#![expect(clippy::print_stdout, reason = "a demonstration talks")]

use std::process::ExitCode;
use std::time::Duration;

use matinee_tests::browser::{Browser, Kind, Page};
use matinee_tests::deployment::{Deployment, PASSWORD, PRICE_MINOR, Published};
use matinee_tests::film;
use matinee_tests::watching::{Watching, sha256_of};

/// Length of the film, in seconds.
const FILM_S: u32 = 60;
/// Who watches.
const VIEWER: &str = "viewer@matinee.example";
/// The title.
const TITLE: &str = "Big Buck Bunny";
/// Where the check seeks to, in seconds.
const SEEK_S: f64 = 47.0;
/// How long a page may take.
const PAGE_WAIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    let check = std::env::args().any(|word| word == "--check");
    println!("Making a film of {FILM_S} s, starting the licensing server, publishing…");
    let film = film::timecoded(FILM_S);
    let deployment = Deployment::start().await;
    let published = deployment.publish(TITLE, &[&film], 3).await;
    deployment.add_account("seeder@matinee.example", "carrier").await;
    let seeder = deployment.peer("seeder@matinee.example").await;
    let _seeding = seeder.seed(&published.release).await;
    println!("A native peer seeds it: it holds {} bytes that it cannot read.", bytes_of(&film));
    let viewer = deployment.viewer(VIEWER).await;
    if check {
        return run_check(&deployment, &published, &film).await;
    }
    println!("\n    {}\n", deployment.url());
    println!("Sign in as    {VIEWER}");
    println!("Password      {PASSWORD}");
    println!("Wallet        ${}.00, simulated", viewer.wallet().await / 100);
    println!("\nRent the film and play it; open a second browser, sign up, and see it come from the first.");
    println!("Ctrl-C ends everything and removes its data.");
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("Ctrl-C cannot be waited for: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bytes_of(film: &std::path::Path) -> u64 {
    std::fs::metadata(film).map_or(0, |about| about.len())
}

async fn run_check(deployment: &Deployment, published: &Published, film: &std::path::Path) -> ExitCode {
    let browser = Browser::launch(Kind::Chromium).await.expect("Chromium starts");
    println!("Chromium {} buys and plays…", browser.version);
    let page = browser.page(&deployment.url()).await.expect("the shop opens");
    page.front().await.expect("the page can be shown");
    let first = Watching { page: buy_by_hand(page, deployment, VIEWER).await };
    let shown = first.wait_shown(0.4).await;
    println!("  first frame shown, its time code says {shown:.1} s");
    first.seek(SEEK_S).await;
    println!(
        "  after a seek to {SEEK_S} s the frame's time code says {:.1} s",
        first.time_code().await.unwrap_or(f64::NAN)
    );
    let same = first.gateway_sha256().await == sha256_of(film);
    println!(
        "  the film read through the gateway is {} the file that was published",
        if same { "exactly" } else { "NOT" }
    );

    println!("A second viewer, in another profile, plays the same film…");
    let profile = browser.new_profile().await.expect("a profile opens");
    let second = Watching::start(&profile, &deployment.url(), published).await;
    second.wait_shown(0.4).await;
    let same_again = second.gateway_sha256().await == sha256_of(film);
    // `MATINEE_DEMO_PICTURE=FILE.png` keeps the picture that the README shows.
    if let Ok(path) = std::env::var("MATINEE_DEMO_PICTURE") {
        second.page.resize(1280, 800).await.expect("the window can be resized");
        second.page.screenshot(std::path::Path::new(&path)).await.expect("a picture can be taken");
    }
    // Figures reach the page twice a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (one, two) = (first.stats().await, second.stats().await);
    println!("\n{:<16}{:>16}{:>16}{:>16}", "", "from peers", "from the origin", "given to peers");
    for (name, stats) in [("first viewer", &one), ("second viewer", &two)] {
        println!(
            "{name:<16}{:>16}{:>16}{:>16}",
            stats.bytes_from_peers, stats.bytes_from_origin, stats.bytes_to_peers
        );
    }
    let ledger = deployment.check_ledger().await;
    println!("ledger sum: {}", ledger["sum_minor"]);
    let wallet = matinee_tests::viewer::Viewer::sign_in(&deployment.url(), VIEWER).await.wallet().await;
    println!("the first viewer's wallet: {wallet} cents, {} were paid", 1_000 - wallet);
    browser.close().await.expect("Chromium ends");
    let right = same
        && same_again
        && wallet == 1_000 - PRICE_MINOR
        && one.bytes_from_peers > 0
        && one.bytes_to_peers > 0
        && two.bytes_from_peers > 0;
    println!("{}", if right { "The demonstration works." } else { "The demonstration does NOT work." });
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Signs in, rents and starts the film as a person does, by the shop's own pages.
async fn buy_by_hand(page: Page, deployment: &Deployment, email: &str) -> Page {
    page.goto(&format!("{}/sign-in", deployment.url())).await.expect("the sign-in page opens");
    page.fill("input[type=email]", email).await.expect("there is a field for the address");
    page.fill("input[type=password]", PASSWORD).await.expect("there is a field for the password");
    page.click("form button[type=submit]").await.expect("there is a button");
    page.wait_for("return location.pathname === '/'", PAGE_WAIT).await.expect("signed in");
    page.click("a[href^='/titles/']").await.expect("the film is listed");
    page.click("#buy").await.expect("there is a button to buy");
    page.wait_for("return location.pathname.startsWith('/watch/')", PAGE_WAIT).await.expect("bought");
    page
}
