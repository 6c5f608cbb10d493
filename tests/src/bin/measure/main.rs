//! `cargo xtask measure NAME`: figures of this machine, as a table for people and one JSON object as the last line.
//!
//! Everything is measured beside a yardstick in the same run, taken in turns, because machines are noisy: the ratios are
//! what can be relied on.
#![expect(clippy::print_stdout, reason = "a measurement prints its result")]
#![expect(clippy::disallowed_methods, reason = "a measurement is a stopwatch")]

mod catalogue;
mod connect;
mod license;
mod progress;
mod publish;
mod renew;
mod start;
mod table;
mod transfer;
mod wire;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: u64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let measured = match words.first().map(String::as_str) {
        Some("publish") => publish::measure(number(1, 2048), number(2, 3) as usize).await,
        Some("transfer") => transfer::measure(number(1, 512), number(2, 3) as usize).await,
        Some("start") => start::measure(number(1, 11) as usize).await,
        Some("connect") => connect::measure(number(1, 7) as usize).await,
        Some("catalogue") => catalogue::measure(number(1, 4_000_000) as usize).await,
        Some("renew") => renew::measure(&words[1..]).await,
        Some("license") => license::measure(&words[1..]).await,
        _ => {
            println!("measure publish [MIB] [RUNS]    sealing and storing a file, beside the bare ciphers");
            println!(
                "measure transfer [MIB] [RUNS]   native peer to native peer, beside a bare data channel and TCP"
            );
            println!(
                "measure start [RUNS]            click to first frame and seek in Chromium, beside a plain file"
            );
            println!("measure connect [RUNS]          joining a swarm to the first verified chunk");
            println!(
                "measure catalogue [TRACKS]      importing a catalogue, searching it as one types, browsing it"
            );
            println!("measure license [VIEWERS] [--store sqlite|postgres] [--at-once NUMBER]");
            println!(
                "                                each buys, opens a view and gets a license; then the audit"
            );
            println!("measure renew [SUBSCRIBERS] [--store sqlite|postgres] [--at-once NUMBER]");
            println!(
                "                                all subscriptions fall due at once; then all viewers' tokens"
            );
            return ExitCode::from(2);
        }
    };
    println!("{measured}");
    ExitCode::SUCCESS
}
