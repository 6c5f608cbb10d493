//! Keeps the house in order: what the architecture says about the source, checked by reading it.
//! Pure file walking, a fraction of a second; `cargo xtask tidy`, and a test of this crate.

mod decoders;
mod imports;
mod places;
mod schema;
mod sizes;
mod words;

use std::path::PathBuf;

use crate::house;
use crate::progress::Done;
use crate::run::Failure;

/// One file of the repository.
struct Source {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn is_in(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    fn has_extension(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    /// The lines before the unit tests, numbered from one.
    fn lines_before_tests(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.take_while(|(_, line)| line.trim() != "#[cfg(test)]")
    }

    /// A problem at a line, as compilers write it.
    fn at(&self, line: usize, message: &str) -> String {
        format!("{}:{line}: {message}", self.path)
    }
}

/// Every check; an error lists all that is wrong.
pub(crate) fn check() -> Result<Done, Failure> {
    let sources = read()?;
    let checks: [(&str, Vec<String>); 6] = [
        ("imports", imports::check(&sources)),
        ("words", words::check(&sources)),
        ("places", places::check(&sources)),
        ("sizes", sizes::check(&sources)),
        ("schema", schema::check(&sources)),
        ("decoders", decoders::check(&sources)?),
    ];
    let failed = checks.iter().filter(|(_, problems)| !problems.is_empty()).count();
    if failed > 0 {
        let tail: Vec<String> = checks.iter().flat_map(|(_, problems)| problems.clone()).collect();
        let message = format!("{} problems, each listed above", tail.len());
        return Err(Failure { message, tail, checks_failed: failed });
    }
    let mut done = Done::many(checks.len(), format!("{} files in order", sources.len()));
    done.remarks = sizes::report(&sources);
    Ok(done)
}

fn read() -> Result<Vec<Source>, Failure> {
    let files: Vec<PathBuf> = house::files(&house::root())?;
    // What is no UTF-8 is no source.
    let text = |path: PathBuf| {
        let text = String::from_utf8(std::fs::read(&path).ok()?).ok()?;
        Some(Source { path: house::shown(&path), text })
    };
    Ok(files.into_iter().filter_map(text).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_in_order() {
        let outcome = super::check();
        assert!(
            outcome.is_ok(),
            "{}",
            outcome.err().map(|failure| failure.tail.join("\n")).unwrap_or_default()
        );
    }
}
