//! `matinee init`.

use serde_json::json;

use super::{Error, print};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::keyring::Keyring;
use crate::store::Store;
use crate::vault::Vault;

/// Makes the data folder. What is there already stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config) -> Result<(), Error> {
    let folder = &config.data_dir;
    let failed = |error| Error::System(folder.display().to_string(), error);
    make_private(folder).map_err(failed)?;
    let file = folder.join("config.toml");
    if !file.exists() {
        std::fs::write(&file, Config::example()).map_err(failed)?;
    }
    let key_file = config.key_file();
    let vault = if key_file.exists() { Vault::open(&key_file)? } else { Vault::create(&key_file)? };
    let store = Store::open(&config.store_address()).await?;
    store.migrate().await?;
    Keyring::open(&store, &vault, &SystemClock, &config.server.issuer).await?;
    store.close().await;
    let data = json!({ "data_dir": folder, "config": file, "key_file": key_file });
    let text = format!(
        "made {}\nkeep a copy of {}: without it no release can be opened again",
        folder.display(),
        key_file.display()
    );
    print(args.json, &data, &text)
}

/// Makes a folder that only its owner can enter.
pub(super) fn make_private(folder: &std::path::Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
