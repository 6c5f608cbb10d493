//! `matinee-peer seed`

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use matinee_engine::Want;
use matinee_protocol::id::ReleaseId;
use serde_json::json;
use tokio::time::timeout;

use super::context::{Context, FAREWELL_WAIT, interrupted};
use super::failure::Failure;
use super::output::{Output, one_line};
use super::{Joining, figures, lookup};
use crate::net::api::Api;
use crate::net::swarm::End;
use crate::opened::{OpenedRelease, Options};

/// How often people are told how it goes.
const LINE_TICKS: u32 = 30;

/// Hold releases and serve them to the swarm: as their publisher, or as a carrier that cannot read them.
#[derive(Debug, Args)]
pub(super) struct Seed {
    /// Ids of releases, or ids or names of titles
    #[arg(required = true, value_name = "RELEASE|TITLE")]
    releases: Vec<String>,
    #[command(flatten)]
    joining: Joining,
}

/// One release as it is seeded.
struct Seeding {
    release: Arc<OpenedRelease>,
    ready: bool,
    complete: bool,
    full: bool,
}

impl Seed {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let api = context.signed_in()?;
        let options = context.options(&self.joining, true, Want::Everything)?;
        let mut seedings = Vec::new();
        for named in &self.releases {
            seedings.push(Seeding::start(&api, named, &options).await?);
        }
        let served = tokio::select! {
            () = interrupted() => Ok(()),
            ended = serve(&mut seedings, *output) => ended,
        };
        for seeding in &seedings {
            let _ = timeout(FAREWELL_WAIT, seeding.release.swarm().leave()).await;
            let snapshot = seeding.release.swarm().snapshots().borrow().clone();
            output.machine("stats", figures::stats(&seeding.release, &snapshot));
        }
        served
    }
}

impl Seeding {
    async fn start(api: &Api, named: &str, options: &Options) -> Result<Self, Failure> {
        let opening = match named.parse::<ReleaseId>() {
            Ok(release) => match api.open_carry(release).await {
                // The id may be a title's: both are UUIDs.
                Err(error) if error.code().ends_with("not_found") => match lookup::title(api, named).await {
                    Ok(title) => api.open_carry(published(&title)?).await?,
                    Err(_) => return Err(error.into()),
                },
                opened => opened?,
            },
            Err(_) => {
                let title = lookup::title(api, named).await?;
                api.open_carry(published(&title)?).await?
            }
        };
        let release = OpenedRelease::start(api.clone(), opening, options).await?;
        Ok(Self { release, ready: false, complete: false, full: false })
    }

    fn tell(&mut self, output: Output, say_figures: bool) {
        let snapshot = self.release.swarm().snapshots().borrow().clone();
        let manifest = self.release.manifest();
        let name = one_line(&manifest.title);
        let fields = json!({"command": "seed", "release": manifest.release, "title": manifest.title});
        if !self.ready && (snapshot.joined || !self.release.membership().opening().delivery.peers) {
            self.ready = true;
            output.event("ready", fields.clone(), &format!("Seeding {name}"));
        }
        let engine = &snapshot.engine;
        if !self.complete && engine.chunks_total > 0 && engine.chunks_held == engine.chunks_total {
            self.complete = true;
            output.event("complete", fields.clone(), &format!("{name} is complete"));
        }
        if !self.full && !self.complete && self.release.shelf().is_memory_only() {
            // What does not fit would push itself out of memory again and again.
            self.full = true;
            self.release.swarm().wishes().want(Want::Nothing);
            output.event("full", fields, &format!("The cache is full; serving what is held of {name}"));
        }
        output.machine("stats", figures::stats(&self.release, &snapshot));
        if say_figures && !output.is_json() {
            output.event("", json!({}), &format!("{name}: {}", figures::line(&snapshot)));
        }
    }
}

fn published(title: &matinee_protocol::api::TitleSummary) -> Result<ReleaseId, Failure> {
    let release = title.release.as_ref().map(|release| release.id);
    release.ok_or_else(|| Failure::other("release_missing", "the title has no published release"))
}

async fn serve(seedings: &mut [Seeding], output: Output) -> Result<(), Failure> {
    let mut tick = tokio::time::interval(figures::STATS_INTERVAL);
    let mut join = tokio::time::interval(Duration::from_millis(100));
    let mut ticks = 0;
    loop {
        tokio::select! {
            _ = tick.tick() => {
                ticks += 1;
                for seeding in seedings.iter_mut() {
                    seeding.tell(output, ticks % LINE_TICKS == 0);
                }
            }
            _ = join.tick() => {}
        }
        let ended = |seeding: &Seeding| seeding.release.swarm().over().borrow().clone();
        if let Some(failure) = seedings.iter().filter_map(ended).find_map(|end: End| Failure::ended(&end)) {
            return Err(failure);
        }
    }
}
