//! Providers of identities, one table each: `[providers.NAME]`. There is none by default.

use serde::{Deserialize, Serialize};

use super::Secret;

/// Characters of a provider's name, which stands in addresses.
const NAME_CHARS_MAX: usize = 32;

/// What stands in the example file, every line of it a comment.
pub(super) const EXAMPLE: &str = "
# Providers of identities (OpenID Connect), one table each, under a name of lower-case letters, digits and hyphens.
# At the provider the redirect address is <public URL>/v1/oidc/NAME/callback.
#[providers.NAME]
# What the button says: `Sign in with …`.
#label = \"Example\"
# The issuer, exactly as the provider writes it; https, or http on this machine.
#issuer = \"https://id.example\"
# The client's id at the provider.
#client_id = \"\"
# The client's secret; better in a file named by MATINEE_PROVIDERS__NAME__CLIENT_SECRET_FILE than here. Empty: a client
# without one.
#client_secret = \"\"
";

/// A provider of identities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// What the button says.
    pub label: String,
    /// The issuer, exactly as the provider writes it.
    pub issuer: String,
    /// The client's id at the provider.
    pub client_id: String,
    /// The client's secret; may be empty.
    pub client_secret: Secret,
}

impl Provider {
    /// Refuses what cannot work, with the reason.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.bytes().all(plain) {
            return Err(format!("providers.{name}: a name has 1 to {NAME_CHARS_MAX} of a-z, 0-9 and -"));
        }
        if self.label.trim().is_empty() || self.client_id.is_empty() {
            return Err(format!("providers.{name} needs label, issuer and client_id"));
        }
        let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
        if !self.issuer.starts_with("https://") && !local.iter().any(|start| self.issuer.starts_with(start)) {
            return Err(format!("providers.{name}.issuer must begin with https://"));
        }
        Ok(())
    }
}
