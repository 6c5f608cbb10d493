//! The HTTP origin: manifest, hash pages, and ciphertext in runs of chunks.

use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use matinee_protocol::id::{ChunkAddress, ChunkIndex, FileIndex, PageIndex};
use matinee_protocol::limit::{MANIFEST_BYTES_MAX, PAGE_BYTES_MAX};
use matinee_protocol::manifest::Manifest;
use reqwest::StatusCode;

use super::api::Error;
use super::membership::Membership;

/// Fetches with the membership's token. Nothing here is verified: the engine does that.
#[derive(Debug, Clone)]
pub struct Origin {
    membership: Arc<Membership>,
}

impl Origin {
    /// The origin of a membership's release.
    #[must_use]
    pub fn new(membership: Arc<Membership>) -> Self {
        Self { membership }
    }

    /// The signed manifest.
    ///
    /// # Errors
    /// As the origin answers.
    pub async fn manifest(&self) -> Result<String, Error> {
        let path = self.path("manifest");
        let bytes =
            self.membership.api().fetch_whole(&path, &self.membership.token(), MANIFEST_BYTES_MAX).await?;
        String::from_utf8(bytes.into()).map_err(|_| Error::Malformed { path, reason: "no text".to_owned() })
    }

    /// A hash page.
    ///
    /// # Errors
    /// As the origin answers.
    pub async fn page(&self, file: FileIndex, page: PageIndex) -> Result<Bytes, Error> {
        let path = self.path(&format!("files/{file}/pages/{page}"));
        self.membership.api().fetch_whole(&path, &self.membership.token(), PAGE_BYTES_MAX).await
    }

    /// Fetches `count` chunks from `first` on by one request and hands each over as soon as it is whole. One try:
    /// the engine decides what comes after a failure.
    ///
    /// # Errors
    /// As the origin answers; chunks handed over before stay good.
    pub async fn run<F: Future<Output = ()>>(
        &self,
        manifest: &Manifest,
        file: FileIndex,
        (first, count): (ChunkIndex, u32),
        mut deliver: impl FnMut(ChunkAddress, Bytes) -> F,
    ) -> Result<(), Error> {
        let path = self.path(&format!("files/{file}/ciphertext"));
        let short = |reason: &str| Error::Malformed { path: path.clone(), reason: reason.to_owned() };
        let at = |chunk| ChunkAddress { file, chunk: ChunkIndex(chunk) };
        let end = first.get().saturating_add(count);
        let bytes_of = |chunk| manifest.travel_chunk_bytes(at(chunk));
        let start = manifest.ciphertext_offset(at(first.get())).ok_or_else(|| short("no such chunk"))?;
        let total: u64 = (first.get()..end).filter_map(bytes_of).map(u64::from).sum();
        let range = (start, start + total - 1);
        let api = self.membership.api();
        let mut response = api.fetch(&path, &self.membership.token(), Some(range)).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(short("no 206 to a range"));
        }
        let mut chunk = first.get();
        let mut buffer = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(|error| api.broken(&error))? {
            let mut part = part;
            while !part.is_empty() {
                let Some(length) = bytes_of(chunk).filter(|_| chunk < end) else {
                    return Err(short("more bytes than asked for"));
                };
                let length = length as usize;
                if buffer.is_empty() {
                    buffer.reserve(length);
                }
                let taken = part.split_to(part.len().min(length - buffer.len()));
                buffer.extend_from_slice(&taken);
                if buffer.len() == length {
                    deliver(at(chunk), std::mem::take(&mut buffer).freeze()).await;
                    chunk += 1;
                }
            }
        }
        if chunk < end && bytes_of(chunk).is_some() {
            return Err(short("fewer bytes than asked for"));
        }
        Ok(())
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/releases/{}/{rest}", self.membership.opening().release)
    }
}
