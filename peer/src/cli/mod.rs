//! The command line: one file a command.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use matinee_engine::OriginPolicy;
use tracing_subscriber::EnvFilter;

mod buy;
mod context;
mod failure;
mod figures;
mod get;
mod lease;
mod login;
mod logout;
mod lookup;
mod output;
mod place;
mod play;
mod seed;
mod status;
mod titles;

use context::Context;
use failure::Failure;
use output::Output;

/// Plays, gets and seeds titles of a Matinee server, sharing what it holds with the swarm.
#[derive(Debug, Parser)]
#[command(name = "matinee-peer", version, about, max_term_width = 110)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Where keys, sign-ins and the cache live [default: ~/.local/share/matinee-peer]
    #[arg(long, global = true, env = "MATINEE_PEER_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The server to use, of those signed in at [default: the last one]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    json: bool,
    /// Say more about what happens (twice: even more)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Options of commands that join a swarm.
#[derive(Debug, Args)]
struct Joining {
    /// Bytes of ciphertext kept on disk at most
    #[arg(long, value_name = "BYTES", default_value_t = crate::storage::CACHE_BYTES_DEFAULT)]
    cache_bytes: u64,
    /// Local address for peers; repeat for several [default: every interface except loopback]
    #[arg(long, value_name = "ADDRESS")]
    bind: Vec<IpAddr>,
    /// Upload to peers at most this fast
    #[arg(long, value_name = "BYTES")]
    upload_bytes_per_s: Option<u64>,
    /// Peers connected at once
    #[arg(long, value_name = "COUNT")]
    peers_max: Option<usize>,
    /// When the HTTP origin is used
    #[arg(long, value_enum, default_value = "fallback")]
    origin: OriginUse,
}

/// When the origin is used.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OriginUse {
    /// Where peers do not deliver in time
    Fallback,
    /// Never: peers only
    Never,
    /// Always: no peers
    Only,
}

impl From<OriginUse> for OriginPolicy {
    fn from(origin: OriginUse) -> Self {
        match origin {
            OriginUse::Fallback => Self::Fallback,
            OriginUse::Never => Self::Never,
            OriginUse::Only => Self::Only,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sign in at a server
    Login(login::Login),
    /// Sign out
    Logout(logout::Logout),
    /// List what the server sells
    Titles(titles::Titles),
    /// Buy a title
    Buy(buy::Buy),
    /// Hold releases and serve them to the swarm
    Seed(seed::Seed),
    /// Download a title
    Get(get::Get),
    /// Play a title while it arrives
    Play(play::Play),
    /// Keep titles for playing without the server
    Lease(lease::Lease),
    /// Show sign-in, device and cache
    Status(status::Status),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let line = Line::parse();
    log(line.global.verbose);
    let output = Output::new(line.global.json);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.failed(&Failure::other("runtime", &format!("cannot start threads: {error}")));
        }
    };
    let done = runtime.block_on(run(line, &output));
    // Threads that wait for a terminal or a slow disk must not hold the end.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failed(&failure),
    }
}

async fn run(line: Line, output: &Output) -> Result<(), Failure> {
    let context = Context::open(line.global)?;
    match line.command {
        Command::Login(command) => command.run(&context, output).await,
        Command::Logout(command) => command.run(&context, output).await,
        Command::Titles(command) => command.run(&context, output).await,
        Command::Buy(command) => command.run(&context, output).await,
        Command::Seed(command) => command.run(&context, output).await,
        Command::Get(command) => command.run(&context, output).await,
        Command::Play(command) => command.run(&context, output).await,
        Command::Lease(command) => command.run(&context, output).await,
        Command::Status(command) => command.run(&context, output).await,
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => "error,matinee_peer=warn",
        1 => "warn,matinee_peer=info,matinee_engine=info",
        _ => "info,matinee_peer=debug,matinee_engine=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
