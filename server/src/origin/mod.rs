//! The origin: ciphertext and hash pages in an object store, and the reading of ranges out of it.

mod objects;
pub mod range;

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use matinee_protocol::id::{FileIndex, ReleaseId};
use matinee_protocol::limit::{CHUNK_BYTES, SEGMENT_CHUNKS, TAG_BYTES};

pub use objects::{Error, Object, Origin};

/// Bytes of a full segment of ciphertext.
#[must_use]
pub fn segment_bytes(sealed: bool) -> u64 {
    let tag_bytes = if sealed { TAG_BYTES } else { 0 };
    u64::from(SEGMENT_CHUNKS) * u64::from(CHUNK_BYTES + tag_bytes)
}

/// Streams a run of a file's ciphertext out of its segments. One segment is open at a time and read in small pieces.
pub fn ciphertext(
    origin: Origin,
    release: ReleaseId,
    file: FileIndex,
    sealed: bool,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    stream::iter(pieces(range, segment_bytes(sealed)))
        .then(move |(segment, within)| {
            let origin = origin.clone();
            async move { origin.stream(Object::Segment(release, file, segment), within).await }
        })
        .try_flatten()
}

/// The segments that a range of ciphertext touches, each with the part of it.
fn pieces(range: Range<u64>, segment_bytes: u64) -> impl Iterator<Item = (u32, Range<u64>)> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        if at >= range.end {
            return None;
        }
        let (segment, start) = (at / segment_bytes, at % segment_bytes);
        let end = segment_bytes.min(start + (range.end - at));
        at += end - start;
        Some((u32::try_from(segment).unwrap_or(u32::MAX), start..end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_segments() {
        let all = |range| pieces(range, 10).collect::<Vec<_>>();
        assert_eq!(all(0..10), [(0, 0..10)]);
        assert_eq!(all(9..11), [(0, 9..10), (1, 0..1)]);
        assert_eq!(all(5..35), [(0, 5..10), (1, 0..10), (2, 0..10), (3, 0..5)]);
        assert_eq!(all(7..7), []);
    }

    #[tokio::test]
    async fn a_service_is_read_as_a_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let (release, file) = (ReleaseId::from_bytes([1; 16]), FileIndex(0));
        let segment = segment_bytes(true);
        let whole: Vec<u8> = (0..segment + 1000).map(|at| (at % 251) as u8).collect();
        for origin in [Origin::open(folder.path().to_str().unwrap()).unwrap(), Origin::in_memory("a/b")] {
            for (number, part) in (0..).zip(whole.chunks(segment as usize)) {
                let parts = part.chunks(300_000).map(Bytes::copy_from_slice);
                origin.put(Object::Segment(release, file, number), parts).await.unwrap();
            }
            let sizes = origin.segment_sizes(release).await.unwrap();
            assert_eq!((sizes[&(file, 0)], sizes[&(file, 1)], sizes.len()), (segment, 1000, 2));
            for range in [0..1, segment - 5..segment + 5, 3..segment + 1000, segment..segment + 1] {
                let read = ciphertext(origin.clone(), release, file, true, range.clone());
                let read: Vec<Bytes> = read.try_collect().await.unwrap();
                assert!(read.concat() == whole[range.start as usize..range.end as usize], "{range:?}");
            }
            let beyond = ciphertext(origin.clone(), release, file, true, 2 * segment..2 * segment + 1);
            assert!(beyond.try_collect::<Vec<_>>().await.is_err());
            origin.delete_release(release).await.unwrap();
            assert_eq!(origin.count(release).await.unwrap(), 0);
            origin.delete_release(release).await.unwrap();
        }
        assert!(Origin::open("ftp://somewhere").is_err());
    }
}
