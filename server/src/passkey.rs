//! Passkeys (WebAuthn level 3): what is asked of a browser, and what of its answer holds. No clock, no database: what must be
//! remembered between the two goes out and comes back as text.

use matinee_protocol::id::AccountId;
use serde_json::Value;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

/// What an authenticator shows as the place to sign in to.
const PLACE_NAME: &str = "Matinee";

/// Why a passkey does not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The answer does not hold: wrong challenge, origin, key, signature, or no proof of the person.
    #[error("the passkey's answer does not hold: {0}")]
    Refused(#[source] WebauthnError),
    /// The counter went back: there are two of what can be but one.
    #[error("the passkey's counter went back: it may have been copied")]
    Copied,
    /// It cannot be found without a name being typed.
    #[error("the passkey cannot be found without a name")]
    NotDiscoverable,
    /// What was remembered cannot be read.
    #[error("unreadable passkey state: {0}")]
    Form(#[from] serde_json::Error),
    /// The library could not do its work.
    #[error("passkeys: {0}")]
    Library(#[source] WebauthnError),
}

/// Whom a passkey is for.
#[derive(Debug, Clone, Copy)]
pub struct Person<'a> {
    /// The account, which the authenticator hands out with each answer.
    pub account: AccountId,
    /// Its sign-in name.
    pub email: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What is asked of a browser, and what must be remembered until it answers.
#[derive(Debug)]
pub struct Asked {
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
    pub options: Value,
    /// For the server alone.
    pub state: String,
}

/// A credential to be kept.
#[derive(Debug)]
pub struct Credential {
    /// What the authenticator calls it.
    pub id: Vec<u8>,
    /// Public key, counter and flags.
    pub text: String,
}

/// Passkeys of one server, bound to the host of its public URL.
#[derive(Debug)]
pub struct Passkeys(Webauthn);

impl Passkeys {
    /// None where browsers have no passkeys: at an address without a name, and without TLS on any host but `localhost`.
    pub fn at(public_url: &str) -> Option<Self> {
        let origin = Url::parse(public_url).ok()?;
        let host = origin.domain()?.to_owned();
        let local = host == "localhost" || host.ends_with(".localhost");
        if origin.scheme() != "https" && !local {
            return None;
        }
        let built =
            WebauthnBuilder::new(&host, &origin).and_then(|builder| builder.rp_name(PLACE_NAME).build());
        built.ok().map(Self)
    }

    /// Asks for a new passkey that is none of those known.
    pub fn ask_new(&self, person: Person<'_>, known: Vec<Vec<u8>>) -> Result<Asked, Error> {
        let handle = Uuid::from_bytes(*person.account.as_bytes());
        let (asked, state) = self
            .0
            .start_passkey_registration(handle, person.email, person.name, Some(known))
            .map_err(Error::Library)?;
        let mut options = serde_json::to_value(asked.public_key)?;
        // Nobody types a name to sign in: the authenticator must be able to find the key by the place alone.
        options["authenticatorSelection"]["residentKey"] = "required".into();
        options["authenticatorSelection"]["requireResidentKey"] = true.into();
        Ok(Asked { options, state: serde_json::to_string(&state)? })
    }

    /// Takes the answer to [`Passkeys::ask_new`].
    pub fn take_new(&self, answer: &RegisterPublicKeyCredential, state: &str) -> Result<Credential, Error> {
        let state: PasskeyRegistration = serde_json::from_str(state)?;
        let passkey = self.0.finish_passkey_registration(answer, &state).map_err(Error::Refused)?;
        if answer.extensions.cred_props.as_ref().and_then(|properties| properties.rk) == Some(false) {
            return Err(Error::NotDiscoverable);
        }
        Ok(Credential { id: passkey.cred_id().to_vec(), text: serde_json::to_string(&passkey)? })
    }

    /// Asks for any passkey of this place.
    pub fn ask_any(&self) -> Result<Asked, Error> {
        let (asked, state) = self.0.start_discoverable_authentication().map_err(Error::Library)?;
        Ok(Asked { options: serde_json::to_value(asked.public_key)?, state: serde_json::to_string(&state)? })
    }

    /// Whose passkey an answer says it is, and which. Not signed: the passkey must be found under both.
    pub fn claimed(answer: &PublicKeyCredential) -> Option<(AccountId, &[u8])> {
        let handle = answer.get_user_unique_id()?;
        Some((AccountId::from_bytes(handle.try_into().ok()?), answer.get_credential_id()))
    }

    /// Takes the answer to [`Passkeys::ask_any`] by the passkey kept as `text`, and gives what is to be kept from now on.
    pub fn take_any(&self, answer: &PublicKeyCredential, state: &str, text: &str) -> Result<String, Error> {
        let state: DiscoverableAuthentication = serde_json::from_str(state)?;
        let mut passkey: Passkey = serde_json::from_str(text)?;
        let held = self.0.finish_discoverable_authentication_v2(answer, state, &passkey).map_err(
            |error| match error {
                WebauthnError::CredentialPossibleCompromise => Error::Copied,
                error => Error::Refused(error),
            },
        )?;
        passkey.update_credential(&held);
        Ok(serde_json::to_string(&passkey)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_passkeys_only_where_browsers_have_them() {
        for (url, there) in [
            ("https://cinema.example", true),
            ("https://cinema.example:8443", true),
            ("http://localhost:8080", true),
            ("http://cinema.example", false),
            ("http://127.0.0.1:8080", false),
            ("https://[2001:db8::1]", false),
            ("", false),
        ] {
            assert_eq!(Passkeys::at(url).is_some(), there, "{url}");
        }
    }

    #[test]
    fn a_new_passkey_is_found_without_a_name_and_proves_its_person() {
        let passkeys = Passkeys::at("https://cinema.example").unwrap();
        let person =
            Person { account: AccountId::from_bytes([7; 16]), email: "ana@example.org", name: "Ana" };
        let asked = passkeys.ask_new(person, vec![vec![1, 2, 3]]).unwrap().options;
        assert_eq!(asked["rp"], serde_json::json!({ "id": "cinema.example", "name": "Matinee" }));
        assert_eq!(asked["authenticatorSelection"]["residentKey"], "required");
        assert_eq!(asked["authenticatorSelection"]["userVerification"], "required");
        assert_eq!(asked["user"]["id"], "BwcHBwcHBwcHBwcHBwcHBw");
        assert_eq!(asked["excludeCredentials"][0]["id"], "AQID");
        assert_eq!(passkeys.ask_any().unwrap().options["allowCredentials"], serde_json::json!([]));
    }
}
