//! Which chunks someone has: a bitset with a summary level, and how many peers have each chunk.
//!
//! A file may have 4 million chunks, so nothing here walks a whole file per frame: searches skip 4,096 empty chunks a
//! step by the summary, and counts change only by the bits that change.

use bytes::Bytes;

/// A set of chunk indices of one file. Takes no memory until something is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bitset {
    len: u32,
    ones: u32,
    words: Vec<u64>,
    /// Bit `w` says that `words[w]` is not zero.
    summary: Vec<u64>,
}

impl Bitset {
    pub(crate) fn new(len: u32) -> Self {
        Self { len, ..Self::default() }
    }

    pub(crate) fn ones(&self) -> u32 {
        self.ones
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ones == 0
    }

    pub(crate) fn contains(&self, at: u32) -> bool {
        self.words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// How many words a full set has.
    pub(crate) fn word_count(&self) -> usize {
        (self.len as usize).div_ceil(64)
    }

    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words.get(index).copied().unwrap_or(0)
    }

    pub(crate) fn set_word(&mut self, index: usize, value: u64) {
        if index >= self.word_count() || (self.words.is_empty() && value == 0) {
            return;
        }
        self.grow();
        let tail = self.len as usize - index * 64;
        let value = if tail < 64 { value & ((1 << tail) - 1) } else { value };
        self.ones = self.ones - self.words[index].count_ones() + value.count_ones();
        self.words[index] = value;
        let bit = 1 << (index % 64);
        if value == 0 { self.summary[index / 64] &= !bit } else { self.summary[index / 64] |= bit }
    }

    /// Adds; true if it was not in the set. What lies outside the file is not added.
    pub(crate) fn insert(&mut self, at: u32) -> bool {
        if at >= self.len || self.contains(at) {
            return false;
        }
        self.grow();
        let word = at as usize / 64;
        self.words[word] |= 1 << (at % 64);
        self.summary[word / 64] |= 1 << (word % 64);
        self.ones += 1;
        true
    }

    /// Takes away; true if it was in the set.
    pub(crate) fn remove(&mut self, at: u32) -> bool {
        if !self.contains(at) {
            return false;
        }
        let word = at as usize / 64;
        self.words[word] &= !(1 << (at % 64));
        if self.words[word] == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
        self.ones -= 1;
        true
    }

    /// Adds every index in `first..end`.
    pub(crate) fn fill(&mut self, first: u32, end: u32) {
        let end = end.min(self.len);
        let mut at = first;
        while at < end {
            let word = at as usize / 64;
            let upto = end.min((word as u32).saturating_add(1).saturating_mul(64));
            let width = upto - at;
            let mask = if width == 64 { !0 } else { ((1u64 << width) - 1) << (at % 64) };
            self.set_word(word, self.word(word) | mask);
            at = upto;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.len);
    }

    /// The first member in `from..end`.
    pub(crate) fn next(&self, from: u32, end: u32) -> Option<u32> {
        self.search(from, end, |word| self.word(word), |at| self.summary.get(at).copied().unwrap_or(0))
    }

    /// The first index in `from..end` that is in both sets.
    pub(crate) fn next_common(&self, other: &Bitset, from: u32, end: u32) -> Option<u32> {
        self.search(
            from,
            end,
            |word| self.word(word) & other.word(word),
            |at| self.summary.get(at).copied().unwrap_or(0) & other.summary.get(at).copied().unwrap_or(0),
        )
    }

    /// The first index from `from` on that is *not* in the set; the length of the file if there is none.
    pub(crate) fn next_gap(&self, from: u32) -> u32 {
        let mut at = from;
        while at < self.len {
            let rest = !self.word(at as usize / 64) >> (at % 64);
            if rest != 0 {
                return (at + rest.trailing_zeros()).min(self.len);
            }
            at = (at / 64 + 1) * 64;
        }
        self.len
    }

    fn search(
        &self,
        from: u32,
        end: u32,
        word_of: impl Fn(usize) -> u64,
        summary_of: impl Fn(usize) -> u64,
    ) -> Option<u32> {
        let end = end.min(self.len);
        let mut word = from as usize / 64;
        let mut mask = !0u64 << (from % 64);
        while word < self.words.len() && (word as u64 * 64) < u64::from(end) {
            let bits = word_of(word) & mask;
            if bits != 0 {
                let at = word as u32 * 64 + bits.trailing_zeros();
                return (at < end).then_some(at);
            }
            mask = !0;
            word = Self::next_word(word + 1, self.summary.len(), &summary_of)?;
        }
        None
    }

    fn next_word(from: usize, summary_len: usize, summary_of: impl Fn(usize) -> u64) -> Option<usize> {
        let mut mask = !0u64 << (from % 64);
        for at in from / 64..summary_len {
            let bits = summary_of(at) & mask;
            if bits != 0 {
                return Some(at * 64 + bits.trailing_zeros() as usize);
            }
            mask = !0;
        }
        None
    }

    fn grow(&mut self) {
        if self.words.is_empty() {
            self.words = vec![0; self.word_count()];
            self.summary = vec![0; self.words.len().div_ceil(64)];
        }
    }

    /// The bitmap of an inventory frame for `count` chunks from `first`: most significant bit first.
    pub(crate) fn to_bitmap(&self, first: u32, count: u32) -> Bytes {
        let mut bitmap = vec![0u8; (count as usize).div_ceil(8)];
        let end = first.saturating_add(count);
        let mut at = first;
        while let Some(found) = self.next(at, end) {
            let bit = found - first;
            bitmap[bit as usize / 8] |= 0x80 >> (bit % 8);
            at = found + 1;
        }
        bitmap.into()
    }
}

/// The chunk offsets set in the bitmap of an inventory frame.
pub(crate) fn bitmap_members(bitmap: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bitmap.iter().enumerate().filter(|(_, byte)| **byte != 0).flat_map(|(index, byte)| {
        (0..8u32).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| index as u32 * 8 + bit)
    })
}

/// How many ready peers hold each chunk of one file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Availability {
    len: u32,
    counts: Vec<u16>,
}

impl Availability {
    pub(crate) fn new(len: u32) -> Self {
        Self { len, counts: Vec::new() }
    }

    pub(crate) fn get(&self, at: u32) -> u16 {
        self.counts.get(at as usize).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, at: u32) {
        if self.counts.is_empty() {
            self.counts = vec![0; self.len as usize];
        }
        if let Some(count) = self.counts.get_mut(at as usize) {
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn subtract(&mut self, at: u32) {
        if let Some(count) = self.counts.get_mut(at as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// A peer with this inventory is gone.
    pub(crate) fn subtract_all(&mut self, inventory: &Bitset) {
        let mut at = 0;
        while let Some(found) = inventory.next(at, self.len) {
            self.subtract(found);
            at = found + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// The bitset agrees with a plain set under any sequence of changes.
        #[test]
        fn agrees_with_a_set(len in 1u32..20_000, changes in prop::collection::vec((any::<bool>(), 0u32..20_000), 0..200),
                             other in prop::collection::btree_set(0u32..20_000, 0..200), from in 0u32..20_000, span in 0u32..20_000) {
            let mut bits = Bitset::new(len);
            let mut set = BTreeSet::new();
            for (add, at) in changes {
                if add && at < len {
                    prop_assert_eq!(bits.insert(at), set.insert(at));
                } else {
                    prop_assert_eq!(bits.remove(at), set.remove(&at));
                }
            }
            let mut second = Bitset::new(len);
            other.iter().for_each(|at| { second.insert(*at); });
            let end = from.saturating_add(span);
            prop_assert_eq!(bits.ones() as usize, set.len());
            prop_assert_eq!(bits.next(from, end), set.range(from..end).next().copied());
            let common = set.range(from..end).find(|at| other.contains(at)).copied();
            prop_assert_eq!(bits.next_common(&second, from, end), common);
            let gap = (from..len).find(|at| !set.contains(at)).unwrap_or(len);
            prop_assert_eq!(bits.next_gap(from), gap);
            let count = len.min(4000);
            let back: Vec<u32> = bitmap_members(&bits.to_bitmap(0, count)).collect();
            prop_assert_eq!(back, set.range(0..count).copied().collect::<Vec<_>>());
        }

        /// Filling a range is inserting each of it.
        #[test]
        fn fill_is_insert_of_each(len in 1u32..5_000, first in 0u32..5_000, count in 0u32..5_000) {
            let mut filled = Bitset::new(len);
            filled.fill(first, first + count);
            let mut one_by_one = Bitset::new(len);
            (first..first + count).for_each(|at| { one_by_one.insert(at); });
            prop_assert_eq!(filled.ones(), one_by_one.ones());
            prop_assert_eq!(filled.words, one_by_one.words);
            prop_assert_eq!(filled.summary, one_by_one.summary);
        }
    }

    #[test]
    fn availability_follows_inventories() {
        let mut inventory = Bitset::new(10);
        inventory.insert(3);
        let mut availability = Availability::new(10);
        availability.add(3);
        availability.add(3);
        availability.subtract_all(&inventory);
        assert_eq!((availability.get(3), availability.get(4)), (1, 0));
        availability.subtract(4);
        assert_eq!(availability.get(4), 0);
    }
}
