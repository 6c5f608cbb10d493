//! A file fits a room: about 400 lines without its tests is where one looks for a seam, 800 is too many.

use super::Source;

const LINES_REPORTED_ABOVE: usize = 400;
const LINES_MAX: usize = 800;

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let long = counted(sources).filter(|(_, lines)| *lines > LINES_MAX);
    long.map(|(source, lines)| format!("{}: {lines} lines, at most {LINES_MAX}", source.path)).collect()
}

/// The files worth a look, longest first.
pub(super) fn report(sources: &[Source]) -> Vec<String> {
    let mut long: Vec<_> = counted(sources).filter(|(_, lines)| *lines > LINES_REPORTED_ABOVE).collect();
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    long.into_iter().map(|(source, lines)| format!("{}: {lines} lines", source.path)).collect()
}

fn counted(sources: &[Source]) -> impl Iterator<Item = (&Source, usize)> {
    let code = sources.iter().filter(|source| source.has_extension(&["rs", "ts", "mjs", "css", "sql"]));
    code.map(|source| (source, source.lines_before_tests().count()))
}
