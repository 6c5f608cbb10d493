//! Passwords: argon2id, away from the asynchronous threads, a bounded number at once.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The shortest password.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// The longest password.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// A password as somebody typed it: hidden from `Debug`, zeroized.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes over a text.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(hidden)")
    }
}

impl<'de> serde::Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(|text| Self(Zeroizing::new(text)))
    }
}

impl utoipa::PartialSchema for Password {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .max_length(Some(PASSWORD_BYTES_MAX))
            .write_only(true)
            .into()
    }
}

impl utoipa::ToSchema for Password {}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Too short or too long.
    #[error("a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes")]
    Length,
    /// The hash function failed.
    #[error("password hashing failed")]
    Hash,
}

/// Hashes and verifies passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    places: Arc<Semaphore>,
    /// What the password of an unknown account is compared with, so that the answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// At most `hashings_max` at once; each takes 19 MiB.
    pub fn new(hashings_max: u32) -> Self {
        let random = hex::encode(crate::random::bytes::<32>());
        let nobody = hash_now(random.as_bytes()).expect("a password of 64 letters hashes");
        Self { places: Arc::new(Semaphore::new(hashings_max as usize)), nobody: nobody.into() }
    }

    /// Hashes a new password, as a PHC string.
    pub async fn hash(&self, password: Password) -> Result<String, Error> {
        if !(PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.bytes().len()) {
            return Err(Error::Length);
        }
        self.away(move || hash_now(password.bytes())).await?
    }

    /// Whether this is the password of that hash. Without a hash the answer is no, and takes as long.
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool, Error> {
        if password.bytes().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.to_string());
        self.away(move || {
            let parsed = PasswordHash::new(&hash).map_err(|_| Error::Hash)?;
            Ok(Argon2::default().verify_password(password.bytes(), &parsed).is_ok() && known)
        })
        .await?
    }

    async fn away<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Hash)?;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        })
        .await
        .map_err(|_| Error::Hash)
    }
}

fn hash_now(password: &[u8]) -> Result<String, Error> {
    Argon2::default().hash_password(password).map(|hash| hash.to_string()).map_err(|_| Error::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn verifies_its_own_hashes_only() {
        let passwords = Passwords::new(1);
        let secret = |text: &str| Password::new(Zeroizing::new(text.to_owned()));
        let hash = passwords.hash(secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify(secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(secret("wrong horse"), Some(hash)).await.unwrap());
        assert!(!passwords.verify(secret("correct horse"), None).await.unwrap());
        assert!(matches!(passwords.hash(secret("short")).await, Err(Error::Length)));
    }
}
