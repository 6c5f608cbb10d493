//! The running server's own signing keys, for tokens that are wrong in exactly one way.

use std::path::Path;

use matinee_server::clock::SystemClock;
use matinee_server::config::Config;
use matinee_server::keyring::Keyring;
use matinee_server::store::Store;
use matinee_server::vault::Vault;

/// Opens the signing keys in a server's data folder, as someone with database and key file could.
pub async fn keyring(data: &Path, issuer: &str) -> Keyring {
    let config =
        Config::load(data, None, std::iter::empty()).expect("the server's configuration can be read");
    let store = Store::open(&config.store_address()).await.expect("the server's database opens");
    let vault = Vault::open(&config.key_file()).expect("the server's key file opens");
    Keyring::open(&store, &vault, &SystemClock, issuer).await.expect("the server has signing keys")
}
