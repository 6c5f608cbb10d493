//! `matinee-peer lease`

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use matinee_engine::Want;
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex};
use serde_json::json;
use tokio::time::timeout;

use super::context::{Context, FAREWELL_WAIT, interrupted};
use super::failure::Failure;
use super::output::{Output, one_line};
use super::{Joining, figures, lookup};
use crate::clock;
use crate::lease::Kept;
use crate::opened::OpenedRelease;

/// Longest wait for one chunk: peers may come and go meanwhile.
const CHUNK_WAIT: Duration = Duration::from_secs(600);

/// Keep titles for playing without the server.
#[derive(Debug, Args)]
pub(super) struct Lease {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take a lease, or renew the one that this device has, and fetch the whole title
    Take {
        /// Id or name of the title
        title: String,
        #[command(flatten)]
        joining: Box<Joining>,
    },
    /// List the leases on this device
    List,
    /// Give a lease back early
    Return {
        /// Id or name of the title
        title: String,
    },
}

impl Lease {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::Take { title, joining } => take(&title, &joining, context, *output).await,
            What::List => list(context, *output),
            What::Return { title } => give_back(&title, context, *output).await,
        }
    }
}

async fn take(named: &str, joining: &Joining, context: &Context, output: Output) -> Result<(), Failure> {
    let api = context.signed_in()?;
    let title = lookup::title(&api, named).await?;
    let options = context.options(joining, true, Want::Everything)?;
    let answer = lookup::lease(&api, &title).await?;
    let keys = api.keys().await?;
    let kept = Kept::new(api.base(), &title.name, &keys, answer, clock::now_ms());
    kept.write(&context.state, &context.device, clock::random())?;
    let opening = api.open_carry(kept.lease.release).await?;
    let release = OpenedRelease::start(api, opening, &options).await?;
    let mut over = release.swarm().over();
    let held = tokio::select! {
        held = hold(&release, output) => held,
        () = interrupted() => {
            Err(Failure::other("interrupted", "interrupted; the same command goes on where it was"))
        }
        end = over.wait_for(Option::is_some) => {
            let failure = end.ok().and_then(|end| end.as_ref().and_then(Failure::ended));
            Err(failure.unwrap_or_else(|| Failure::other("interrupted", "the swarm was left; run the command again")))
        }
    };
    let _ = timeout(FAREWELL_WAIT, release.swarm().leave()).await;
    held?;
    let fields = json!({ "lease": kept.lease, "title": kept.name });
    let text = format!("{} plays offline for {}", one_line(&kept.name), left(&kept));
    output.event("leased", fields, &text);
    Ok(())
}

/// Waits until every chunk is on disk.
async fn hold(release: &Arc<OpenedRelease>, output: Output) -> Result<(), Failure> {
    let manifest = release.manifest();
    let bar = figures::bar(output, manifest.files.iter().map(|file| file.size_bytes).sum());
    for (number, about) in (0_u32..).zip(&manifest.files) {
        for chunk in 0..about.chunks() {
            let at = ChunkAddress { file: FileIndex(number), chunk: ChunkIndex(chunk) };
            while !release.shelf().store().holds(at) {
                release.sealed(at, CHUNK_WAIT).await?;
                if release.shelf().is_memory_only() {
                    return Err(crate::storage::Error::Full.into());
                }
                // What was verified is on disk a moment later.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bar.inc(u64::from(about.plain_chunk_bytes(ChunkIndex(chunk)).unwrap_or(0)));
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn list(context: &Context, output: Output) -> Result<(), Failure> {
    for kept in Kept::all(&context.state, &context.device)? {
        let plays = kept.clone().check(clock::now_ms()).map_err(|error| error.code());
        let fields =
            json!({ "lease": kept.lease, "title": kept.name, "server": kept.server, "refused": plays.err() });
        let text = match plays {
            Ok(()) => left(&kept),
            Err(code) => code.to_owned(),
        };
        output.event("lease", fields, &format!("{}  {}  {text}", kept.lease.title, one_line(&kept.name)));
    }
    Ok(())
}

async fn give_back(named: &str, context: &Context, output: Output) -> Result<(), Failure> {
    let kept = find(named, context)?.ok_or_else(|| missing(named))?;
    let api = context.signed_in_at(&kept.server)?;
    api.return_lease(kept.lease.id).await?;
    kept.remove(&context.state)?;
    output.event(
        "returned",
        json!({ "lease": kept.lease.id }),
        &format!("gave back {}", one_line(&kept.name)),
    );
    Ok(())
}

/// The lease of a title that this device keeps, by its id or its name.
pub(super) fn find(named: &str, context: &Context) -> Result<Option<Kept>, Failure> {
    let wanted = named.to_lowercase();
    let all = Kept::all(&context.state, &context.device)?;
    let fits = |kept: &&Kept| kept.lease.title.to_string() == wanted || kept.name.to_lowercase() == wanted;
    let part = |kept: &&Kept| kept.name.to_lowercase().contains(&wanted);
    Ok(all.iter().find(fits).or_else(|| all.iter().find(part)).cloned())
}

/// There is no such lease here.
pub(super) fn missing(named: &str) -> Failure {
    let detail = format!(
        "no lease of {named:?} is kept here; run matinee-peer lease take while the server can be reached"
    );
    Failure::not_entitled("lease_missing", &detail)
}

/// How long a lease lasts from the time last seen, in words.
fn left(kept: &Kept) -> String {
    let left_ms = kept.lease.expires_at_ms.saturating_sub(kept.seen_ms);
    match left_ms / 3_600_000 {
        0 => format!("{} min", left_ms / 60_000),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}
