//! What is known from earlier runs.

use std::collections::BTreeSet;

use matinee_engine::{Input, Want};
use matinee_protocol::id::{FileIndex, PageIndex, Thumbprint};
use matinee_protocol::limit::PAGE_HASHES;

use super::driver::Driver;

/// Hash pages of a file that the engine is given at the start (32 MiB).
const PAGES_AT_START_MAX: usize = 1_024;

impl Driver {
    /// Tells the engine what is known from earlier runs.
    pub(super) fn begin(&mut self, want: Want, banned: Vec<Thumbprint>) {
        for thumbprint in banned {
            self.handle(Input::Remember { thumbprint });
        }
        for file in (0..self.manifest.files.len()).filter_map(|file| u32::try_from(file).ok()).map(FileIndex)
        {
            let chunks = runs(self.shelf.store().held(file).into_iter().map(|chunk| chunk.get()));
            let pages = pages(&chunks);
            if !chunks.is_empty() {
                self.handle(Input::Held { file, chunks });
            }
            // The hashes too, or nobody could be given them who may not, or cannot, ask the origin.
            for page in pages.take(PAGES_AT_START_MAX).map(PageIndex) {
                if let Some(kept) = self.shelf.store().page(file, page) {
                    self.handle(Input::PageArrived { file, page, bytes: kept.bytes().clone() });
                }
            }
        }
        if self.signaling.is_none() {
            self.handle(Input::PeersExpected { count: 0 });
        }
        self.handle(Input::Want { want });
    }
}

/// Ascending numbers as runs of (first, count).
fn runs(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == number => *count += 1,
            _ => runs.push((number, 1)),
        }
    }
    runs
}

/// The hash pages that these runs of chunks touch, each once.
fn pages(runs: &[(u32, u32)]) -> impl Iterator<Item = u32> + use<> {
    let page = |chunk: u32| chunk / PAGE_HASHES;
    let touched = runs.iter().flat_map(|(first, count)| page(*first)..=page(first + count.saturating_sub(1)));
    touched.collect::<BTreeSet<u32>>().into_iter()
}

#[cfg(test)]
mod tests {
    #[test]
    fn pages_are_named_once() {
        let named = |runs: &[(u32, u32)]| super::pages(runs).collect::<Vec<_>>();
        assert_eq!(named(&[(0, 1), (5, 1_019), (1_030, 1), (2_047, 2), (9_000, 1)]), [0, 1, 2, 8]);
        assert!(named(&[]).is_empty());
    }

    #[test]
    fn runs_join_neighbours() {
        assert_eq!(super::runs([0, 1, 2, 5, 7, 8].into_iter()), [(0, 3), (5, 1), (7, 2)]);
        assert!(super::runs([].into_iter()).is_empty());
    }
}
