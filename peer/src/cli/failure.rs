//! How a command fails: one line, a stable code, an exit status.

use std::process::ExitCode;

use crate::gateway::ReadError;
use crate::net::api;
use crate::net::swarm::End;
use crate::{device, lease, opened, state, storage};

/// Exit statuses, besides 0 for success.
const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_NOT_ENTITLED: u8 = 3;
const EXIT_NETWORK: u8 = 4;

/// A command that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) detail: String,
    exit: u8,
}

impl Failure {
    pub(super) fn other(code: &str, detail: &str) -> Self {
        Self { code: code.to_owned(), detail: detail.to_owned(), exit: EXIT_FAILURE }
    }

    pub(super) fn usage(code: &str, detail: &str) -> Self {
        Self { exit: EXIT_USAGE, ..Self::other(code, detail) }
    }

    pub(super) fn not_entitled(code: &str, detail: &str) -> Self {
        Self { exit: EXIT_NOT_ENTITLED, ..Self::other(code, detail) }
    }

    pub(super) fn exit(&self) -> ExitCode {
        ExitCode::from(self.exit)
    }

    /// The failure that the end of a swarm is, unless this side left.
    pub(super) fn ended(end: &End) -> Option<Self> {
        match end {
            End::Left => None,
            End::Revoked(reason) => {
                Some(Self::not_entitled("view_revoked", &format!("the server ended the view: {reason}")))
            }
            End::Refused(error) => Some(Self::from_api(error)),
        }
    }

    fn from_api(error: &api::Error) -> Self {
        let exit = match error {
            api::Error::Network { .. } => EXIT_NETWORK,
            api::Error::Refused { status: 402 | 403, .. } => EXIT_NOT_ENTITLED,
            api::Error::Refused { code, .. } if says_not_entitled(code) => EXIT_NOT_ENTITLED,
            api::Error::Url(_) => EXIT_USAGE,
            _ => EXIT_FAILURE,
        };
        let detail = match error {
            api::Error::Refused { status: 401, code, detail, .. } if code.starts_with("session") => {
                format!("{detail}; run matinee-peer login")
            }
            api::Error::Refused { detail, .. } => detail.clone(),
            error => error.to_string(),
        };
        Self { code: error.code().to_owned(), detail, exit }
    }
}

fn says_not_entitled(code: &str) -> bool {
    ["entitlement", "view_", "views_", "quota", "wallet", "insufficient"]
        .iter()
        .any(|word| code.starts_with(word))
}

impl From<api::Error> for Failure {
    fn from(error: api::Error) -> Self {
        Self::from_api(&error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let failure = Self::other(&error.code, &error.detail);
        match error.status.as_u16() {
            402 | 403 => Self { exit: EXIT_NOT_ENTITLED, ..failure },
            502 | 504 => Self { exit: EXIT_NETWORK, ..failure },
            _ => failure,
        }
    }
}

impl From<state::Error> for Failure {
    fn from(error: state::Error) -> Self {
        Self::other("state", &error.to_string())
    }
}

impl From<device::Error> for Failure {
    fn from(error: device::Error) -> Self {
        Self::other("device", &error.to_string())
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        let code = match error {
            storage::Error::Locked(_) => "cache_locked",
            storage::Error::Full => "cache_full",
            storage::Error::Io { .. } => "cache_io",
            storage::Error::Foreign(_) | storage::Error::Corrupt => "cache_damaged",
        };
        Self::other(code, &error.to_string())
    }
}

impl From<lease::Error> for Failure {
    fn from(error: lease::Error) -> Self {
        match error {
            lease::Error::State(error) => error.into(),
            error => Self::not_entitled(error.code(), &error.to_string()),
        }
    }
}

impl From<opened::Error> for Failure {
    fn from(error: opened::Error) -> Self {
        match error {
            opened::Error::Api(error) => error.into(),
            opened::Error::Storage(error) => error.into(),
            opened::Error::Keys(crate::net::keyring::Error::Api(error)) => error.into(),
            opened::Error::Keys(error) => Self::not_entitled(error.code(), &error.to_string()),
            opened::Error::Lease(error) => error.into(),
            error @ opened::Error::NotHere => Self::other("release_not_here", &error.to_string()),
            opened::Error::Manifest(error) => Self::other("manifest_refused", &error.to_string()),
            error @ opened::Error::OtherRelease => Self::other("manifest_refused", &error.to_string()),
            opened::Error::Transport(error) => Self::other("transport", &error.to_string()),
        }
    }
}
