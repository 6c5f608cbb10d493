//! Imports go down only, between the crates and inside the server and the native peer; and the one place that
//! speaks SQL is the server's store.

use std::collections::BTreeSet;

use super::Source;

/// What each of our crates may depend on among our crates.
const CRATES: [(&str, &[&str]); 5] = [
    ("protocol", &[]),
    ("engine", &["matinee-protocol"]),
    ("server", &["matinee-protocol"]),
    ("peer", &["matinee-engine", "matinee-protocol"]),
    ("web/wasm", &["matinee-engine", "matinee-protocol"]),
];

/// The server's modules from the top down; a module imports only from rows below its own. What is not named
/// here (clock, configuration, randomness…) is ground: everybody may stand on it, and it on nothing named here.
const SERVER: [&[&str]; 9] = [
    &["cli"],
    &["router"],
    &["job", "storefront"],
    &["api"],
    &["outbox", "payment", "publish", "signaling"],
    &["atlas", "catalog", "keyring", "secrets"],
    &["vault"],
    &["origin", "store"],
    // The rules: everybody may ask them, and they ask nobody.
    &["license"],
];

/// `app` stands beside the rows: it holds one of each part, so it names them all but these two, and these may
/// hold it.
const ABOVE_APP: [&str; 2] = ["cli", "router"];
const MAY_HOLD_APP: [&str; 5] = ["cli", "router", "job", "storefront", "api"];

/// The native peer's rows.
const PEER: [&[&str]; 4] = [&["cli"], &["opened"], &["gateway", "net"], &["storage"]];

/// What neither the wire, nor the engine, nor the rules may touch: time, randomness, files, sockets, tasks.
const PURE: [&str; 4] = ["protocol/src/", "engine/src/", "server/src/license/", "server/src/royalty/"];
const IMPURE: [&str; 12] = [
    "std::time::SystemTime",
    "std::time::Instant",
    "std::time::{",
    "std::net::",
    "std::fs",
    "std::thread",
    "std::env::",
    "tokio::",
    "axum::",
    "crate::clock",
    "crate::random",
    "async fn",
];

/// How a statement begins inside a string.
const STATEMENTS: [&str; 5] =
    ["\"select ", "\"insert into ", "\"delete from ", "\"update ", "\"create table "];

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for (folder, allowed) in CRATES {
        if let Some(manifest) = sources.iter().find(|source| source.path == format!("{folder}/Cargo.toml")) {
            problems.extend(crate_imports(manifest, allowed));
        }
    }
    for source in sources.iter().filter(|source| source.has_extension(&["rs"]) && !is_test(&source.path)) {
        if PURE.iter().any(|folder| source.is_in(folder)) {
            problems.extend(impure(source));
        }
        if let Some(path) = source.path.strip_prefix("server/src/") {
            problems.extend(module_imports(source, path, &SERVER));
            if !path.starts_with("store/") && path != "store.rs" {
                problems.extend(sql(source));
            }
        } else if let Some(path) = source.path.strip_prefix("peer/src/") {
            problems.extend(module_imports(source, path, &PEER));
        }
    }
    problems
}

fn crate_imports(manifest: &Source, allowed: &[&str]) -> Vec<String> {
    let mut section = "";
    let mut problems = Vec::new();
    for (index, line) in manifest.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or_default().trim_matches('"');
        let ours = name.starts_with("matinee-") && section.ends_with("dependencies]");
        if ours && !section.contains("dev-") && !allowed.contains(&name) {
            problems.push(manifest.at(index + 1, &format!("may not depend on {name}: imports go down only")));
        }
    }
    problems
}

fn rank(module: &str, rows: &[&[&str]]) -> Option<usize> {
    rows.iter().position(|row| row.contains(&module))
}

fn module_imports(source: &Source, path: &str, rows: &[&[&str]]) -> Vec<String> {
    let module = path.split(['/', '.']).next().unwrap_or_default();
    if matches!(module, "lib" | "main" | "bin") {
        return Vec::new();
    }
    let own = rank(module, rows).unwrap_or(rows.len());
    let mut problems = Vec::new();
    for (number, line) in source.lines_before_tests() {
        let code = line.split("//").next().unwrap_or_default();
        for target in crate_paths(code) {
            if target != module && !may_import(module, own, target, rows) {
                problems.push(
                    source.at(number, &format!("{module} may not import {target}: imports go down only")),
                );
            }
        }
    }
    problems
}

fn may_import(module: &str, own: usize, target: &str, rows: &[&[&str]]) -> bool {
    match (module, target) {
        ("app", _) => !ABOVE_APP.contains(&target),
        (_, "app") => MAY_HOLD_APP.contains(&module),
        _ => rank(target, rows).is_none_or(|theirs| theirs > own),
    }
}

/// Unit tests in files of their own stand outside the house.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn impure(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in source.lines_before_tests() {
        let code = line.split("//").next().unwrap_or_default();
        if let Some(found) = IMPURE.iter().find(|impure| code.contains(**impure)) {
            problems
                .push(source.at(number, &format!("`{found}`: this part is pure, take it as an argument")));
        }
    }
    problems
}

/// The modules named by `crate::…` in a line, those of a `crate::{a, b::c}` too.
fn crate_paths(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        // `other_crate::` is another crate's name.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0usize;
                for part in list.split_inclusive(['{', '}', ',']) {
                    let name =
                        part.trim_matches(|c: char| !c.is_alphanumeric() && c != '_').split("::").next();
                    if depth == 0 {
                        found.extend(name.filter(|name| !name.is_empty()));
                    }
                    match part.chars().last() {
                        Some('{') => depth += 1,
                        Some('}') if depth == 0 => break,
                        Some('}') => depth -= 1,
                        _ => {}
                    }
                }
            }
            None => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.insert(&rest[..end]);
            }
        }
    }
    found
}

fn sql(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in source.lines_before_tests() {
        let code = line.split("//").next().unwrap_or_default();
        let lower = code.to_lowercase();
        if code.contains("sqlx::") || STATEMENTS.iter().any(|statement| lower.contains(statement)) {
            problems.push(source.at(number, "SQL lives in server/src/store and nowhere else"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_modules_of_a_line() {
        let found =
            crate_paths("use crate::{api::{self, view}, store::Tx, clock}; other_crate::x; crate::app::App");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["api", "app", "clock", "store"]);
    }

    #[test]
    fn an_import_upwards_is_found() {
        let source = Source {
            path: "server/src/store/view.rs".to_owned(),
            text: "use crate::clock::Clock;\nuse crate::api::Problem; // crate::cli\n".to_owned(),
        };
        let problems = module_imports(&source, "store/view.rs", &SERVER);
        assert_eq!(problems, ["server/src/store/view.rs:2: store may not import api: imports go down only"]);
    }

    #[test]
    fn a_dependency_upwards_is_found() {
        let text =
            "[dependencies]\nmatinee-engine.workspace = true\n[dev-dependencies]\nmatinee-peer = \"1\"\n";
        let manifest = Source { path: "server/Cargo.toml".to_owned(), text: text.to_owned() };
        assert_eq!(crate_imports(&manifest, &["matinee-protocol"]).len(), 1);
    }
}
