//! `matinee-peer login`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output::Output;
use crate::net::api::normalize_server;
use crate::state::SignIn;

/// Longest password that is read from standard input.
const PASSWORD_BYTES_MAX: usize = 4096;

/// Sign in at a server.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The server, such as `https://films.example`
    url: String,
    /// The account's address [default: asked for]
    #[arg(long)]
    email: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

impl Login {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let url = normalize_server(&self.url)?;
        let email = match self.email {
            Some(email) => email,
            None => ask("E-mail: ")?,
        };
        let password = if self.password_stdin { password_from_stdin()? } else { ask_password()? };
        let signed_in = context.api_at(&url, None)?.sign_in(&email, &password).await?;
        let session_token = signed_in.session_token.ok_or_else(|| {
            Failure::other(
                "session_token_missing",
                "the server gave no session token; is it a matinee server?",
            )
        })?;
        let mut servers = context.state.servers()?;
        servers.servers.insert(url.clone(), SignIn { email, session_token });
        servers.current = Some(url.clone());
        context.state.keep_servers(&servers)?;
        let name = super::output::one_line(&signed_in.account.name);
        let fields =
            json!({"server": url, "account": signed_in.account.id, "device": context.device.thumbprint()});
        output.event("signed_in", fields, &format!("Signed in at {url} as {name}."));
        Ok(())
    }
}

fn ask(prompt: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("email_missing", "say who signs in with --email"));
    }
    let _ = write!(std::io::stderr(), "{prompt}");
    line_from_stdin()
}

fn ask_password() -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "password_missing",
            "give the password on standard input with --password-stdin",
        ));
    }
    rpassword::prompt_password("Password: ").map_err(|error| Failure::other("terminal", &error.to_string()))
}

fn password_from_stdin() -> Result<String, Failure> {
    let password = line_from_stdin()?;
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(Failure::usage("password_missing", "standard input holds no usable password"));
    }
    Ok(password)
}

fn line_from_stdin() -> Result<String, Failure> {
    let mut line = String::new();
    let mut limited = std::io::Read::take(std::io::stdin().lock(), 2 * PASSWORD_BYTES_MAX as u64);
    limited.read_line(&mut line).map_err(|error| Failure::other("terminal", &error.to_string()))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
