//! `matinee-peer status`

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::figures::bytes;
use super::output::{Output, one_line};
use super::titles;
use crate::storage::{CACHE_BYTES_DEFAULT, Cache, Error};

/// Show sign-in, device and cache.
#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let device = context.device.thumbprint();
        let folder = context.state.root().display().to_string();
        output.event(
            "device",
            json!({"device": device, "state_dir": folder}),
            &format!("Device {device} in {folder}"),
        );
        match context.signed_in() {
            Ok(api) => {
                let account = api.account().await;
                let (fields, line) = match &account {
                    Ok(account) => {
                        let (name, wallet) = (one_line(&account.name), titles::money(&account.wallet));
                        let line = format!("Signed in at {} as {name}, wallet {wallet}", api.base());
                        (json!({"server": api.base(), "account": account}), line)
                    }
                    Err(error) => {
                        let line =
                            format!("Signed in at {}, but: {}", api.base(), one_line(&error.to_string()));
                        (json!({"server": api.base(), "code": error.code()}), line)
                    }
                };
                output.event("sign_in", fields, &line);
            }
            Err(_) => output.event("sign_in", json!({"server": null}), "Not signed in"),
        }
        cache(context, output)
    }
}

fn cache(context: &Context, output: &Output) -> Result<(), Failure> {
    let cache = match Cache::open(&context.state.cache(), CACHE_BYTES_DEFAULT) {
        Ok(cache) => cache,
        Err(Error::Locked(_)) => {
            output.event("cache", json!({"in_use": true}), "The cache is in use by another matinee-peer");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let usage = cache.usage();
    let fields = json!({"in_use": false, "bytes": usage.bytes});
    output.event("cache", fields, &format!("{} of ciphertext in the cache", bytes(usage.bytes)));
    for (release, held) in cache.releases() {
        let fields = json!({"release": release, "bytes": held});
        output.event("cached", fields, &format!("  release {release}: {}", bytes(held)));
    }
    Ok(())
}
