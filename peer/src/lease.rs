//! Leases on this device: every key of a release for a time, kept on disk for playing while no server is there.
//!
//! What is kept is sealed under a key of this device, so that neither its end nor the last time it was used can be
//! changed with an editor. Time is the server's: the difference of the two clocks is noted when the lease comes, and a
//! clock that is earlier than the last time seen is not believed. Whoever copies the whole folder and puts it back later,
//! with the clock, is not noticed: nothing outside of the folder remembers.

use matinee_protocol::api::{LeaseAnswer, LeaseSummary};
use matinee_protocol::encoding::{array_from_b64u, b64u, from_b64u, sha256};
use matinee_protocol::id::{ChunkAddress, ReleaseId};
use matinee_protocol::jws::{Jwks, KeySet};
use matinee_protocol::license::License;
use matinee_protocol::seal::{self, EpochKey};
use serde::{Deserialize, Serialize};

use crate::device::Device;
use crate::state::{self, StateDir};

/// How much earlier than the last time seen a clock may be: clocks are set by a little, now and then.
pub const CLOCK_TOLERANCE_MS: u64 = 5 * 60 * 1000;
/// What a file's name begins with; the release follows.
const FILE_PREFIX: &str = "lease-";
/// What is signed for the key that seals a file.
const SEAL_LABEL: &[u8] = b"matinee-peer lease file 1";

/// Why a lease does not play, or cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state folder.
    #[error(transparent)]
    State(#[from] state::Error),
    /// Sealed by another device, or changed.
    #[error("a lease on this disk does not open on this device; take it again")]
    Unopened,
    /// Its time has come.
    #[error("this lease is over; take it again while the server can be reached")]
    Over,
    /// The clock says a time that has passed.
    #[error(
        "this machine's clock is earlier than when the lease was last used; set it right, or renew the lease"
    )]
    ClockMovedBack,
}

impl Error {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Unopened => "lease_damaged",
            Self::Over => "lease_over",
            Self::ClockMovedBack => "clock_moved_back",
        }
    }
}

/// A lease as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Where it is from.
    pub server: String,
    /// What it plays, in words.
    pub name: String,
    /// The lease.
    pub lease: LeaseSummary,
    /// Its keys, sealed to this device.
    pub license: License,
    /// The server's keys, for the manifest.
    pub jwks: Jwks,
    /// How far the server's clock is ahead of this machine's.
    pub ahead_ms: i64,
    /// The last time that was seen, by the server's clock.
    pub seen_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    salt: String,
    sealed: String,
}

impl Kept {
    /// A lease that came a moment ago, when this machine's clock said `now_ms`.
    #[must_use]
    pub fn new(server: &str, name: &str, keys: &KeySet, answer: LeaseAnswer, now_ms: u64) -> Self {
        let LeaseAnswer { lease, license } = answer;
        let seen_ms = license.issued_at_ms;
        let ahead_ms = i64::try_from(seen_ms).unwrap_or(i64::MAX).saturating_sub_unsigned(now_ms);
        let (server, name) = (server.to_owned(), name.to_owned());
        Self { server, name, lease, license, jwks: keys.to_jwks(), ahead_ms, seen_ms }
    }

    /// Whether it may be played now, by this machine's clock; notes the time if it may.
    ///
    /// # Errors
    /// [`Error::Over`], [`Error::ClockMovedBack`].
    pub fn check(&mut self, now_ms: u64) -> Result<(), Error> {
        let now_ms = now_ms.saturating_add_signed(self.ahead_ms);
        if now_ms.saturating_add(CLOCK_TOLERANCE_MS) < self.seen_ms {
            return Err(Error::ClockMovedBack);
        }
        if now_ms.max(self.seen_ms) >= self.lease.expires_at_ms {
            return Err(Error::Over);
        }
        self.seen_ms = self.seen_ms.max(now_ms);
        Ok(())
    }

    /// Writes it down, sealed under a fresh salt.
    ///
    /// # Errors
    /// The state folder.
    pub fn write(&self, state: &StateDir, device: &Device, salt: [u8; 32]) -> Result<(), Error> {
        let release = self.lease.release;
        let mut bytes = serde_json::to_vec(self).map_err(|_| Error::Unopened)?;
        seal::seal_chunk(&key(device, &salt), &release, ChunkAddress::new(0, 0), &mut bytes);
        let sealed = Sealed { salt: b64u(&salt), sealed: b64u(&bytes) };
        Ok(state.write(&file_name(release), &sealed)?)
    }

    /// The lease of a release that this device keeps.
    ///
    /// # Errors
    /// The state folder, or [`Error::Unopened`].
    pub fn read(state: &StateDir, device: &Device, release: ReleaseId) -> Result<Option<Self>, Error> {
        let Some(sealed) = state.read::<Sealed>(&file_name(release))? else { return Ok(None) };
        let salt = array_from_b64u::<32>(&sealed.salt).map_err(|_| Error::Unopened)?;
        let mut bytes = from_b64u(&sealed.sealed).map_err(|_| Error::Unopened)?;
        seal::open_chunk_in_place(&key(device, &salt), &release, ChunkAddress::new(0, 0), &mut bytes)
            .map_err(|_| Error::Unopened)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|_| Error::Unopened)
    }

    /// Every lease that this device keeps, by name. One that does not open is left out.
    ///
    /// # Errors
    /// The state folder.
    pub fn all(state: &StateDir, device: &Device) -> Result<Vec<Self>, Error> {
        let names = state.names(FILE_PREFIX)?;
        let releases = names.iter().filter_map(|name| {
            name.strip_prefix(FILE_PREFIX)?.strip_suffix(".json")?.parse::<ReleaseId>().ok()
        });
        let mut all: Vec<Self> =
            releases.filter_map(|release| Self::read(state, device, release).ok().flatten()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Forgets it.
    ///
    /// # Errors
    /// The state folder.
    pub fn remove(&self, state: &StateDir) -> Result<(), Error> {
        Ok(state.remove(&file_name(self.lease.release))?)
    }
}

fn file_name(release: ReleaseId) -> String {
    format!("{FILE_PREFIX}{release}.json")
}

/// The key of a file: what only this device can sign, hashed. Ed25519 signs the same always (RFC 8032).
fn key(device: &Device, salt: &[u8; 32]) -> EpochKey {
    let signed = device.signing().sign(&[SEAL_LABEL, salt].concat());
    EpochKey::from_bytes(sha256(&signed))
}

#[cfg(test)]
mod tests {
    use matinee_protocol::id::{EntitlementId, LeaseId, LicenseId, TitleId, ViewId};

    use super::*;

    const ISSUED_MS: u64 = 1_795_000_000_000;
    const DAY_MS: u64 = 86_400_000;

    fn kept(device: &Device, machine_ms: u64) -> Kept {
        let release = ReleaseId::from_bytes([3; 16]);
        let expires_at_ms = ISSUED_MS + 7 * DAY_MS;
        let lease = LeaseSummary {
            id: LeaseId::from_bytes([1; 16]),
            entitlement: EntitlementId::from_bytes([2; 16]),
            title: TitleId::from_bytes([4; 16]),
            release,
            device: device.thumbprint(),
            state: "active".to_owned(),
            issued_at_ms: ISSUED_MS,
            expires_at_ms,
        };
        let license = License {
            license: LicenseId::from_bytes([5; 16]),
            view: ViewId::from_bytes([6; 16]),
            release,
            device: device.thumbprint(),
            issued_at_ms: ISSUED_MS,
            renew_at_ms: ISSUED_MS,
            play_until_ms: expires_at_ms,
            epochs: Vec::new(),
            encapsulated_key: String::new(),
            sealed_keys: String::new(),
        };
        let answer = LeaseAnswer { lease, license };
        Kept::new("http://server", "A film", &KeySet::default(), answer, machine_ms)
    }

    #[test]
    fn a_lease_plays_until_its_end_by_the_servers_clock() {
        let device = Device::from_secrets([1; 32], [2; 32]);
        // This machine's clock is a day behind, or a year ahead.
        for machine_ms in [ISSUED_MS, ISSUED_MS - DAY_MS, ISSUED_MS + 365 * DAY_MS] {
            let mut lease = kept(&device, machine_ms);
            lease.check(machine_ms).unwrap();
            lease.check(machine_ms + 7 * DAY_MS - 1).unwrap();
            assert!(matches!(lease.check(machine_ms + 7 * DAY_MS), Err(Error::Over)), "{machine_ms}");
        }
    }

    #[test]
    fn a_clock_that_was_moved_back_is_noticed_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(folder.path().to_owned())).unwrap();
        let device = Device::from_secrets([1; 32], [2; 32]);
        let mut lease = kept(&device, ISSUED_MS);
        lease.check(ISSUED_MS + 6 * DAY_MS).unwrap();
        lease.write(&state, &device, [9; 32]).unwrap();
        let release = lease.lease.release;
        let mut again = Kept::read(&state, &device, release).unwrap().unwrap();
        let seen_ms = ISSUED_MS + 6 * DAY_MS;
        again.check(seen_ms - CLOCK_TOLERANCE_MS).unwrap();
        assert!(matches!(again.check(seen_ms - CLOCK_TOLERANCE_MS - 1), Err(Error::ClockMovedBack)));
        // What lies within the tolerance is no gain: time that was seen does not come again.
        assert_eq!(again.seen_ms, seen_ms);
        let mut last = Kept { seen_ms: again.lease.expires_at_ms, ..again.clone() };
        assert!(matches!(last.check(again.lease.expires_at_ms - 1), Err(Error::Over)));
        assert_eq!(Kept::all(&state, &device).unwrap().len(), 1);
    }

    #[test]
    fn a_lease_on_disk_opens_on_its_device_only_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(folder.path().to_owned())).unwrap();
        let device = Device::from_secrets([1; 32], [2; 32]);
        let lease = kept(&device, ISSUED_MS);
        let release = lease.lease.release;
        lease.write(&state, &device, [9; 32]).unwrap();
        let text = std::fs::read_to_string(folder.path().join(file_name(release))).unwrap();
        assert!(!text.contains("expires_at_ms") && !text.contains("A film"), "{text}");
        let thief = Device::from_secrets([3; 32], [2; 32]);
        assert!(matches!(Kept::read(&state, &thief, release), Err(Error::Unopened)));
        let mut sealed: Sealed = state.read(&file_name(release)).unwrap().unwrap();
        let mut bytes = from_b64u(&sealed.sealed).unwrap();
        bytes[20] ^= 1;
        sealed.sealed = b64u(&bytes);
        state.write(&file_name(release), &sealed).unwrap();
        assert!(matches!(Kept::read(&state, &device, release), Err(Error::Unopened)));
        assert!(Kept::all(&state, &device).unwrap().is_empty());
        lease.remove(&state).unwrap();
        assert!(Kept::read(&state, &device, release).unwrap().is_none());
    }
}
