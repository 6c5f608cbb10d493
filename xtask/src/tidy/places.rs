//! Folder names that say nothing are refused, and so is whatever ties the source to one machine.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Source;
use crate::house;

const FOLDERS: [&str; 6] = ["common", "util", "utils", "shared", "helper", "helpers"];
/// Where packages come from is the business of whoever builds; this file has to name them.
const HOSTS: [&str; 4] = ["crates.io", "registry.npmjs", "npmjs.com", "pypi.org"];
const HERE: &str = "xtask/src/tidy/places.rs";

pub(super) fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = folders(sources);
    let own: Vec<String> = [Some(house::root()), std::env::var_os("HOME").map(PathBuf::from)]
        .into_iter()
        .flatten()
        .map(|path| format!("{}/", path.display()))
        .filter(|path| path.len() > 4)
        .collect();
    for source in sources.iter().filter(|source| !is_lock(&source.path) && source.path != HERE) {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(path) = own.iter().find(|path| line.contains(path.as_str())) {
                problems.push(source.at(index + 1, &format!("{path} is a place on one machine only")));
            }
            if let Some(host) = HOSTS.iter().find(|host| line.contains(**host)) {
                problems.push(source.at(index + 1, &format!("{host} is a registry's host")));
            }
        }
    }
    problems
}

fn folders(sources: &[Source]) -> Vec<String> {
    let paths = sources.iter().filter_map(|source| source.path.rsplit_once('/'));
    let named: BTreeSet<&str> = paths
        .map(|(folder, _)| folder)
        .filter(|folder| folder.split('/').any(|part| FOLDERS.contains(&part)))
        .collect();
    named.into_iter().map(|folder| format!("{folder}: name the folder after what it does")).collect()
}

fn is_lock(path: &str) -> bool {
    path.ends_with("Cargo.lock") || path.ends_with("package-lock.json")
}
