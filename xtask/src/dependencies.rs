//! What is depended on: licenses, banned crates, sources, duplicates. cargo-deny does it where it is installed;
//! elsewhere the same lists of `deny.toml` are held against `cargo metadata`, which is less (a license is
//! what its crate declares, advisories are not looked at) but needs no tool and no network.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::house;
use crate::progress::{Done, Step};
use crate::run::{Failure, Program};

#[derive(Deserialize)]
struct Rules {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
    /// Crates that may depend on it all the same.
    #[serde(default)]
    wrappers: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

/// Checks by cargo-deny, or by what is below.
pub(crate) fn check(step: &Step) -> Result<Done, Failure> {
    if Program::cargo().args(["deny", "--version"]).succeeds() {
        Program::cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]).run(step)?;
        return Ok(Done::many(3, "licenses, bans and sources, by cargo-deny"));
    }
    let text = std::fs::read_to_string(house::root().join("deny.toml"))?;
    let rules: Rules = toml::from_str(&text).map_err(|cause| Failure::new(format!("deny.toml: {cause}")))?;
    let lines = Program::cargo()
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .run(step)?;
    let json = lines.iter().find(|line| line.starts_with('{')).map_or("", String::as_str);
    let metadata: Metadata =
        serde_json::from_str(json).map_err(|cause| Failure::new(format!("cargo metadata: {cause}")))?;
    let problems = problems(&rules, &metadata);
    if !problems.is_empty() {
        let message = format!("{} crates may not be depended on", problems.len());
        return Err(Failure { message, tail: problems, checks_failed: 1 });
    }
    let twice = duplicates(&metadata.packages);
    let count = metadata.packages.len();
    Ok(Done::many(
        3,
        format!("{count} crates, {twice} of them in several versions; cargo-deny is not installed"),
    ))
}

fn problems(rules: &Rules, metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    // Ours have no source.
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        let named = format!("{} {}", package.name, package.version);
        let ban = rules.bans.deny.iter().find(|ban| ban.name == package.name);
        if let Some(ban) = ban
            && !dependents(metadata, package).all(|name| ban.wrappers.contains(name))
        {
            problems.push(format!("{named}: banned, {}", ban.reason));
        }
        let license = package.license.as_deref().unwrap_or_default();
        if !allowed(license, &rules.licenses.allow) {
            problems.push(format!("{named}: its license `{license}` is not on the list in deny.toml"));
        }
        if !package.source.as_deref().unwrap_or_default().starts_with("registry+") {
            problems.push(format!("{named}: comes from no registry"));
        }
    }
    problems
}

/// The names of the crates that depend on one.
fn dependents<'a>(metadata: &'a Metadata, package: &'a Package) -> impl Iterator<Item = &'a String> {
    let nodes = metadata.resolve.nodes.iter().filter(|node| node.dependencies.contains(&package.id));
    nodes.filter_map(|node| {
        metadata.packages.iter().find(|above| above.id == node.id).map(|above| &above.name)
    })
}

fn duplicates(packages: &[Package]) -> usize {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for package in packages {
        *versions.entry(&package.name).or_default() += 1;
    }
    versions.values().filter(|count| **count > 1).count()
}

/// An SPDX expression holds when one of its alternatives has allowed terms only.
fn allowed(expression: &str, list: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    !rest.is_empty() && any(&mut rest, list) && rest.is_empty()
}

fn any(rest: &mut &[&str], list: &BTreeSet<String>) -> bool {
    let mut holds = all(rest, list);
    while rest.first() == Some(&"OR") {
        *rest = &rest[1..];
        holds |= all(rest, list);
    }
    holds
}

fn all(rest: &mut &[&str], list: &BTreeSet<String>) -> bool {
    let mut holds = term(rest, list);
    while rest.first() == Some(&"AND") {
        *rest = &rest[1..];
        holds &= term(rest, list);
    }
    holds
}

fn term(rest: &mut &[&str], list: &BTreeSet<String>) -> bool {
    match **rest {
        ["(", ..] => {
            *rest = &rest[1..];
            let holds = any(rest, list);
            *rest = rest.get(1..).unwrap_or_default();
            holds
        }
        [name, "WITH", exception, ..] => {
            *rest = &rest[3..];
            list.contains(&format!("{name} WITH {exception}")) || list.contains(name)
        }
        [name, ..] => {
            *rest = &rest[1..];
            list.contains(name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let list = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
        assert!(allowed("MIT OR GPL-3.0", &list));
        assert!(allowed("GPL-3.0/MIT", &list));
        assert!(!allowed("MIT AND GPL-3.0", &list));
        assert!(allowed("(GPL-3.0 OR MIT) AND ISC", &list));
        assert!(!allowed("GPL-3.0 OR (MIT AND X)", &list));
        assert!(!allowed("", &list));
    }
}
