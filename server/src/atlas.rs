//! Which country an address is in, by a database file of MaxMind's format that the operator gives. It is read again when
//! it changes.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use maxminddb::{MaxMindDbError, Reader, path};

use crate::license::place::Country;

/// Why a database of countries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error("country.database {0}: {1}")]
    File(PathBuf, std::io::Error),
    /// What is in it.
    #[error("country.database {0}: {1}")]
    Form(PathBuf, MaxMindDbError),
}

/// What a file looked like when it was read: another time or size is another file.
type Stamp = (Option<SystemTime>, u64);

#[derive(Debug)]
struct Opened {
    reader: Reader<Vec<u8>>,
    stamp: Stamp,
}

/// The database, or none: then no address has a country.
#[derive(Debug, Default)]
pub struct Atlas {
    file: Option<PathBuf>,
    opened: RwLock<Option<Arc<Opened>>>,
}

impl Atlas {
    /// Reads the file whole; an empty name is none.
    pub fn open(file: &str) -> Result<Self, Error> {
        if file.is_empty() {
            return Ok(Self::default());
        }
        let file = PathBuf::from(file);
        let opened = RwLock::new(Some(Arc::new(read(&file)?)));
        Ok(Self { file: Some(file), opened })
    }

    /// Reads the file again if it changed, or in any case, and says whether it did. What cannot be read changes nothing.
    pub fn refresh(&self, in_any_case: bool) -> Result<bool, Error> {
        let Some(file) = &self.file else { return Ok(false) };
        let known = self.opened().map(|opened| opened.stamp);
        if !in_any_case && known == Some(stamp(file).map_err(|error| Error::File(file.clone(), error))?) {
            return Ok(false);
        }
        let fresh = Arc::new(read(file)?);
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        Ok(true)
    }

    /// The country of an address, where the database knows it.
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let opened = self.opened()?;
        // An IPv6 address in a database of IPv4 is not an error of ours.
        let found = opened.reader.lookup(address.to_canonical()).ok()?;
        let code: Option<String> = found.decode_path(&path!["country", "iso_code"]).ok()?;
        code?.parse().ok()
    }

    /// When the database was made, in Unix seconds.
    pub fn made_at_s(&self) -> Option<u64> {
        self.opened().map(|opened| opened.reader.metadata().build_epoch)
    }

    fn opened(&self) -> Option<Arc<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn stamp(file: &Path) -> Result<Stamp, std::io::Error> {
    let about = std::fs::metadata(file)?;
    Ok((about.modified().ok(), about.len()))
}

fn read(file: &Path) -> Result<Opened, Error> {
    // The stamp first: a file that changes while it is read is read again.
    let stamp = stamp(file).map_err(|error| Error::File(file.to_owned(), error))?;
    let bytes = std::fs::read(file).map_err(|error| Error::File(file.to_owned(), error))?;
    let form = |error| Error::Form(file.to_owned(), error);
    let reader = Reader::from_source(bytes).map_err(form)?;
    // A file that is being copied over has the right end and the wrong middle.
    reader.verify().map_err(form)?;
    Ok(Opened { reader, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = include_bytes!("../tests/countries/first.mmdb");
    const SECOND: &[u8] = include_bytes!("../tests/countries/second.mmdb");

    fn country(atlas: &Atlas, address: &str) -> Option<String> {
        atlas.country(address.parse().unwrap()).map(|country| country.to_string())
    }

    #[test]
    fn an_address_has_its_country_and_a_new_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countries.mmdb");
        std::fs::write(&file, FIRST).unwrap();
        let atlas = Atlas::open(file.to_str().unwrap()).unwrap();
        for (address, expected) in [
            ("192.0.2.1", Some("DE")),
            ("::ffff:192.0.2.1", Some("DE")),
            ("198.51.100.200", Some("FR")),
            ("2001:db8:aa::1", Some("US")),
            ("203.0.113.1", None),
            ("127.0.0.1", None),
            ("::1", None),
        ] {
            assert_eq!(country(&atlas, address).as_deref(), expected, "{address}");
        }
        assert!(!atlas.refresh(false).unwrap());
        std::fs::write(&file, SECOND).unwrap();
        // The two may be of one size and written within one tick of the file system's clock.
        assert!(atlas.refresh(true).unwrap());
        assert_eq!(country(&atlas, "192.0.2.1").as_deref(), Some("AT"));
        // Half a file, a garbled one and none at all leave what there was.
        let mut garbled = FIRST.to_vec();
        garbled[..40].fill(0xff);
        for broken in [&FIRST[..FIRST.len() / 2], &garbled, b"not a database".as_slice()] {
            std::fs::write(&file, broken).unwrap();
            assert!(atlas.refresh(true).is_err());
        }
        std::fs::remove_file(&file).unwrap();
        assert!(atlas.refresh(false).is_err());
        assert_eq!(country(&atlas, "192.0.2.1").as_deref(), Some("AT"));
    }

    #[test]
    fn without_a_file_no_address_has_a_country() {
        let atlas = Atlas::open("").unwrap();
        assert_eq!(country(&atlas, "192.0.2.1"), None);
        assert!(!atlas.refresh(true).unwrap());
        assert!(Atlas::open("/nowhere/countries.mmdb").is_err());
    }
}
