//! Every file of the protocol that decodes bytes from outside has a fuzz target of its name, with seeds.

use super::Source;
use crate::fuzz;
use crate::run::Failure;

pub(super) fn check(sources: &[Source]) -> Result<Vec<String>, Failure> {
    let targets = fuzz::targets()?;
    let mut problems = Vec::new();
    for source in
        sources.iter().filter(|source| source.is_in("protocol/src/") && source.has_extension(&["rs"]))
    {
        let Some((line, _)) = source.lines_before_tests().find(|(_, line)| is_decoder(line)) else {
            continue;
        };
        let name = source.path["protocol/src/".len()..].trim_end_matches(".rs").trim_end_matches("/mod");
        let name = name.replace('/', "_");
        if !targets.contains(&name) {
            problems
                .push(source.at(line, &format!("a decoder without a fuzz target {name} in fuzz/Cargo.toml")));
        }
    }
    for target in targets {
        let folder = format!("fuzz/corpus/{target}/");
        // Seeds are bytes, hence not among the sources.
        let seeds = std::fs::read_dir(crate::house::root().join(&folder)).map_or(0, Iterator::count);
        if seeds == 0 {
            problems.push(format!("{folder} has no seed"));
        }
    }
    Ok(problems)
}

fn is_decoder(line: &str) -> bool {
    line.trim().starts_with("pub fn decode")
}
