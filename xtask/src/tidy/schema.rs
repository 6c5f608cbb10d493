//! Both databases have the same migrations, file by file.

use std::collections::BTreeSet;

use super::Source;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let names = |folder: &str| -> BTreeSet<String> {
        sources.iter().filter_map(|source| source.path.strip_prefix(folder)).map(str::to_owned).collect()
    };
    let (sqlite, postgres) = (names("migrations/sqlite/"), names("migrations/postgres/"));
    let lone = sqlite.symmetric_difference(&postgres);
    lone.map(|name| format!("migrations: {name} exists for one database only")).collect()
}
