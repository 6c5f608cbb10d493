//! The files of a release as they are announced, before a byte of them comes.

use std::collections::HashSet;

use matinee_protocol::id::FileIndex;
use matinee_protocol::limit::{CHUNK_BYTES, FILES_MAX, MANIFEST_BYTES_MAX, PAGE_HASHES};
use matinee_protocol::manifest;

use super::name;
use super::release::Error;
use crate::store::release::File;

/// A file that is announced.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFile {
    /// Its name, without a folder.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// Bytes of plaintext.
    pub size_bytes: u64,
    /// How long it plays, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// Checks what is announced for one release.
///
/// # Errors
/// [`Error`] names the file and the reason.
pub fn check(files: &[NewFile]) -> Result<(), Error> {
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(Error::FileCount);
    }
    let mut names = HashSet::new();
    for file in files {
        name::check_name(&file.name)?;
        name::check_media_type(&file.media_type)?;
        if file.size_bytes.div_ceil(u64::from(CHUNK_BYTES)) > u64::from(u32::MAX) {
            return Err(Error::FileSize);
        }
        if !names.insert(file.name.to_lowercase()) {
            return Err(name::Error::NameTwice(file.name.clone()).into());
        }
    }
    // Better now than after the upload. Base64url makes four bytes of three.
    let bytes: usize = files.iter().map(manifest_bytes).sum();
    if (bytes + MANIFEST_REST_BYTES) / 3 * 4 > MANIFEST_BYTES_MAX {
        return Err(Error::ManifestSize);
    }
    Ok(())
}

/// Bytes of a manifest beside its files: names of title and publisher, header, signature.
const MANIFEST_REST_BYTES: usize = 4096;

/// Bytes that a file takes in the manifest's payload, at most.
fn manifest_bytes(file: &NewFile) -> usize {
    /// Member names, punctuation and numbers of the longest.
    const FIXED_BYTES: usize = 160;
    /// A hash, its quotes and its comma.
    const PAGE_BYTES: usize = 46;
    let pages = file.size_bytes.div_ceil(u64::from(CHUNK_BYTES) * u64::from(PAGE_HASHES));
    let names = serde_json::json!([file.name, file.media_type]).to_string().len();
    FIXED_BYTES + names + PAGE_BYTES * usize::try_from(pages).unwrap_or(usize::MAX / 64)
}

/// A file of which nothing has arrived.
pub(super) fn described(at: u32, file: &NewFile) -> File {
    File {
        file: FileIndex(at),
        name: file.name.clone(),
        media_type: file.media_type.clone(),
        size_bytes: file.size_bytes,
        duration_ms: file.duration_ms,
        epoch_chunks: manifest::epoch_chunks(file.size_bytes, file.duration_ms),
        uploaded_bytes: 0,
    }
}
