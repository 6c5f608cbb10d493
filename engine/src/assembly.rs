//! A chunk being put together from data frames.

use bytes::Bytes;

/// Disjoint runs a chunk may be in at once. A sender that scatters more is refused, as each run costs time to keep sorted.
const RUNS_MAX: usize = 64;
/// Frames a chunk may come in: far below is what anyone sends, far above is an attack on time.
const FRAMES_MAX: u32 = 4_096;

/// Why a data frame cannot belong to the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("data lies outside the chunk")]
    OutOfRange,
    #[error("data covers a part that came before")]
    Overlap,
    #[error("data comes in too many parts")]
    TooScattered,
}

/// The bytes that came so far. The buffer is made at the first frame, so that a request that waits costs nothing.
#[derive(Debug)]
pub(crate) struct Assembly {
    len: u32,
    received: u32,
    frames: u32,
    buffer: Vec<u8>,
    /// Sorted, disjoint, not adjacent.
    runs: Vec<(u32, u32)>,
}

impl Assembly {
    pub(crate) fn new(len: u32) -> Self {
        Self { len, received: 0, frames: 0, buffer: Vec::new(), runs: Vec::new() }
    }

    /// Bytes still missing.
    pub(crate) fn missing(&self) -> u32 {
        self.len - self.received
    }

    pub(crate) fn received(&self) -> u32 {
        self.received
    }

    /// Takes in one frame; true once the chunk is whole.
    pub(crate) fn add(&mut self, offset: u32, bytes: &[u8]) -> Result<bool, Error> {
        let count = u32::try_from(bytes.len()).map_err(|_| Error::OutOfRange)?;
        let end = offset.checked_add(count).filter(|end| *end <= self.len).ok_or(Error::OutOfRange)?;
        if count == 0 {
            return Err(Error::OutOfRange);
        }
        self.frames += 1;
        let next = self.runs.partition_point(|run| run.0 < offset);
        let before_ends = next.checked_sub(1).map(|before| self.runs[before].1);
        let after_starts = self.runs.get(next).map(|after| after.0);
        if before_ends.is_some_and(|at| at > offset) || after_starts.is_some_and(|at| at < end) {
            return Err(Error::Overlap);
        }
        match (before_ends == Some(offset), after_starts == Some(end)) {
            (true, true) => self.runs[next - 1].1 = self.runs.remove(next).1,
            (true, false) => self.runs[next - 1].1 = end,
            (false, true) => self.runs[next].0 = offset,
            (false, false) => self.runs.insert(next, (offset, end)),
        }
        if self.runs.len() > RUNS_MAX || self.frames > FRAMES_MAX {
            return Err(Error::TooScattered);
        }
        self.put(offset as usize, bytes);
        self.received += count;
        Ok(self.received == self.len)
    }

    /// Frames mostly come in order: then each is appended, and nothing is written twice.
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(self.len as usize);
        }
        let within = self.buffer.len().saturating_sub(offset).min(bytes.len());
        let (before_end, after_end) = bytes.split_at(within);
        if before_end.is_empty() {
            self.buffer.resize(offset.max(self.buffer.len()), 0);
        } else {
            self.buffer[offset..offset + within].copy_from_slice(before_end);
        }
        self.buffer.extend_from_slice(after_end);
    }

    /// The chunk, once [`Self::add`] said that it is whole.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.buffer.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Parts in any order give the chunk back, whole exactly at the last one.
        #[test]
        fn any_order_gives_the_chunk(data in prop::collection::vec(any::<u8>(), 1..3000),
                                     cuts in prop::collection::btree_set(1usize..3000, 0..40), seed in any::<u64>()) {
            let mut edges: Vec<usize> = std::iter::once(0).chain(cuts.into_iter().filter(|cut| *cut < data.len())).collect();
            edges.push(data.len());
            let mut parts: Vec<(usize, usize)> = edges.windows(2).map(|pair| (pair[0], pair[1])).collect();
            parts.sort_by_key(|part| (part.0 as u64 + 1).wrapping_mul(seed | 1) >> 7);
            let mut assembly = Assembly::new(data.len() as u32);
            for (index, (from, to)) in parts.iter().enumerate() {
                let whole = assembly.add(*from as u32, &data[*from..*to]).unwrap();
                prop_assert_eq!(whole, index + 1 == parts.len());
            }
            prop_assert_eq!(&assembly.into_bytes()[..], &data[..]);
        }

        /// Any sequence of frames: no panic, and what was accepted is disjoint and inside.
        #[test]
        fn accepts_only_disjoint_parts(len in 1u32..500, frames in prop::collection::vec((0u32..600, 1usize..100), 0..60)) {
            let mut assembly = Assembly::new(len);
            let mut seen = vec![false; len as usize];
            for (offset, count) in frames {
                let range = offset as usize..offset as usize + count;
                let fits = range.end <= len as usize && !seen[range.clone()].contains(&true);
                let accepted = assembly.add(offset, &vec![7; count]);
                prop_assert_eq!(accepted.is_ok(), fits);
                if fits { seen[range].fill(true); }
            }
            prop_assert_eq!(assembly.missing() as usize, seen.iter().filter(|seen| !**seen).count());
        }
    }

    #[test]
    fn scattered_parts_are_refused() {
        let mut assembly = Assembly::new(10_000);
        let refused = (0..200).find_map(|part| assembly.add(part * 2, &[1]).err());
        assert_eq!(refused, Some(Error::TooScattered));
    }
}
