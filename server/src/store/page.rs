//! Pages of a listing that is ordered by a number and an id, newest first.

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The number of its last row, most often a time.
    pub at: i64,
    /// The id of its last row.
    pub id: String,
}

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Rows at most.
    pub limit: u32,
    /// Where the page before ended; none for the first.
    pub after: Option<Position>,
}

impl Asked {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }

    /// What a statement compares with: every row comes after it where there is no page before.
    pub(super) fn after(&self) -> (i64, &str) {
        self.after.as_ref().map_or((i64::MAX, ""), |after| (after.at, after.id.as_str()))
    }

    /// Rows to fetch: one more than asked for tells whether there is another page.
    pub(super) fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page out of the rows fetched.
    pub(super) fn page<T>(&self, mut rows: Vec<T>, position: impl Fn(&T) -> Position) -> Page<T> {
        let more = rows.len() > self.limit as usize;
        rows.truncate(self.limit as usize);
        let next = rows.last().filter(|_| more).map(position);
        Page { rows, next }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// Where the next one begins, if there is more.
    pub next: Option<Position>,
}
