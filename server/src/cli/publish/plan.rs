//! What is to be published, before anything is touched.

use std::path::{Path, PathBuf};

use super::{Args, Error};
use crate::publish::{NewFile, name, probe};

/// A file on this machine, and how it will be announced.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// Name, type, size and duration.
    pub announced: NewFile,
}

/// Looks at every file: name, size, media type, and duration where `ffprobe` can tell.
pub(super) async fn sources(args: &Args) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let mut source = looked_at(path).await?;
        source.probe().await;
        sources.push(source);
    }
    Ok(sources)
}

impl Source {
    /// Finds out how long it plays, if it does.
    pub(super) async fn probe(&mut self) {
        let media_type = &self.announced.media_type;
        if media_type.starts_with("video/") || media_type.starts_with("audio/") {
            self.announced.duration_ms = probe::duration_ms(&self.path).await;
        }
    }
}

/// Looks at a file without reading it: name, size and media type.
pub(super) async fn looked_at(path: &Path) -> Result<Source, Error> {
    let unreadable = |source| Error::File { path: path.to_owned(), source };
    let metadata = tokio::fs::metadata(path).await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::NotAFile(path.to_owned()));
    }
    let file_name =
        path.file_name().and_then(|name| name.to_str()).ok_or_else(|| Error::Name(path.to_owned()))?;
    let media_type = name::media_type_of(file_name);
    let (name, size_bytes) = (file_name.to_owned(), metadata.len());
    let announced = NewFile { name, media_type, size_bytes, duration_ms: None };
    Ok(Source { path: path.to_owned(), announced })
}

/// Bytes of all of them.
pub(super) fn total_bytes(sources: &[Source]) -> u64 {
    sources.iter().map(|source| source.announced.size_bytes).sum()
}
