//! `matinee-peer logout`

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output::Output;

/// Sign out.
#[derive(Debug, Args)]
pub(super) struct Logout {}

impl Logout {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let api = context.signed_in()?;
        // The sign-in is forgotten here even if the server is away; its session then ends by its own time.
        let told = api.sign_out().await;
        let mut servers = context.state.servers()?;
        servers.servers.remove(api.base());
        if servers.current.as_deref() == Some(api.base()) {
            servers.current = None;
        }
        context.state.keep_servers(&servers)?;
        match told {
            Err(error) if error.is_transient() => return Err(error.into()),
            _ => output.event(
                "signed_out",
                json!({"server": api.base()}),
                &format!("Signed out at {}.", api.base()),
            ),
        }
        Ok(())
    }
}
