//! What the other tasks need of this machine, installed when it is missing. A second run is quick: it only looks.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::house;
use crate::progress::{Done, Step};
use crate::run::{Failure, Program};
use crate::stamp::Stamp;

/// What a task may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Group {
    /// Chromium and Firefox, and the driver's Node packages.
    Browsers,
    /// ffmpeg and the font of the burnt-in time code.
    Film,
    /// PostgreSQL's programs; tests start servers of their own.
    Postgres,
    /// A compiler for WebAssembly.
    Wasm,
    /// Node, the packages of `web/`, and Stripe's library that tests check events with.
    Node,
    /// Python programs that tests use, in an environment of their own.
    Python,
}

impl Group {
    /// Everything, in the order it is looked at.
    pub(crate) const ALL: [Self; 6] =
        [Self::Node, Self::Wasm, Self::Film, Self::Browsers, Self::Postgres, Self::Python];
}

/// A Debian package, and the file that shows it is there (from whatever source).
struct Package {
    name: &'static str,
    proof: &'static str,
}

const fn package(name: &'static str, proof: &'static str) -> Package {
    Package { name, proof }
}

const NODE: &[Package] = &[package("nodejs", "node"), package("npm", "npm")];
const FILM: &[Package] = &[
    package("ffmpeg", "ffmpeg"),
    package("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf"),
];
const BROWSERS: &[Package] =
    &[package("chromium", "/usr/bin/chromium"), package("firefox-esr", "/usr/bin/firefox-esr")];
const POSTGRES: &[Package] = &[package("postgresql", "/usr/lib/postgresql")];
const PYTHON: &[Package] = &[package("python3", "python3")];
/// The compiler Debian builds its browsers with, and the library source to build for WebAssembly from.
pub(crate) const DEBIAN_RUST: [(&str, &str); 2] =
    [("rustc-web", "/usr/bin/rustc"), ("rust-web-src", "/usr/lib/rustlib/src/rust/library/std/Cargo.toml")];

/// Sees to all the groups, and says what it did.
pub(crate) fn ensure(groups: &[Group], step: &Step) -> Result<Done, Failure> {
    let mut did = Vec::new();
    let mut missing = Vec::new();
    for group in groups {
        let packages = match group {
            Group::Node => NODE,
            Group::Film => FILM,
            Group::Browsers => BROWSERS,
            Group::Postgres => POSTGRES,
            Group::Python => PYTHON,
            // Looked at by the build itself: the road by rustup needs no package.
            Group::Wasm => &[],
        };
        missing
            .extend(packages.iter().filter(|package| !is_there(package.proof)).map(|package| package.name));
    }
    if groups.contains(&Group::Browsers) && !is_there("node") && !groups.contains(&Group::Node) {
        missing.extend(NODE.iter().map(|package| package.name));
    }
    install(&missing, step)?;
    did.extend(missing.iter().map(|name| (*name).to_owned()));
    if groups.contains(&Group::Node) {
        did.extend(node_packages("web", step)?);
        did.extend(node_packages("tests/stripe", step)?);
        did.extend(node_packages("tests/oidc", step)?);
    }
    if groups.contains(&Group::Browsers) {
        did.extend(node_packages("tests/browser", step)?);
    }
    if groups.contains(&Group::Python) {
        did.extend(python_programs(step)?);
    }
    if groups.contains(&Group::Wasm) {
        did.extend(crate::wasm::road(step)?.did);
    }
    Ok(Done::one(if did.is_empty() {
        "all there".to_owned()
    } else {
        format!("installed {}", did.join(", "))
    }))
}

/// Installs Debian packages; nothing to do for none.
pub(crate) fn install(names: &[&str], step: &Step) -> Result<(), Failure> {
    if names.is_empty() {
        return Ok(());
    }
    let list = names.join(" ");
    if !is_there("apt-get") {
        return Err(Failure::new(format!("no apt-get here: install what Debian calls {list} by hand")));
    }
    let sudo = if rustix::process::getuid().is_root() {
        None
    } else if Program::new("sudo").args(["-n", "true"]).succeeds() {
        Some("sudo")
    } else {
        return Err(Failure::new(format!("neither root nor sudo: have `apt-get install {list}` run once")));
    };
    step.tell(&format!("apt-get update, then install {list}"));
    let apt = |arguments: &[&str]| {
        let program =
            sudo.map_or_else(|| Program::new("apt-get"), |sudo| Program::new(sudo).args(["apt-get"]));
        program.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").run(step)
    };
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend_from_slice(names);
    apt(&arguments)?;
    Ok(())
}

/// `npm ci` in a folder whose lock file has changed since the last time.
fn node_packages(folder: &str, step: &Step) -> Result<Option<String>, Failure> {
    let path = house::root().join(folder);
    let lock = path.join("package-lock.json");
    if !lock.exists() {
        return Err(Failure::new(format!(
            "{folder}/package-lock.json is missing: run npm install there once"
        )));
    }
    let name = format!("npm-{}", folder.replace('/', "-"));
    let stamp = Stamp::of(&name, &[lock], &[])?;
    if stamp.is_fresh(&path.join("node_modules")) {
        return Ok(None);
    }
    // Two tasks started at once must not empty the folder under each other.
    std::fs::create_dir_all(house::state())?;
    let guard =
        OpenOptions::new().create(true).append(true).open(house::state().join(format!("{name}.lock")))?;
    guard.lock()?;
    if stamp.is_fresh(&path.join("node_modules")) {
        return Ok(None);
    }
    step.tell(&format!("npm ci in {folder}"));
    if npm(&["ci"], &path, step).is_err() {
        // `npm ci` refuses where the registry does not have the optional builds of a package for machines of
        // other kinds; `npm install` goes by the same lock file and leaves those out.
        step.tell(&format!("npm install in {folder}"));
        npm(&["install", "--no-save"], &path, step)?;
    }
    stamp.keep()?;
    Ok(Some(format!("the Node packages of {folder}")))
}

/// An environment with the programs that `tests/python/requirements.txt` names, made again when that file changes.
fn python_programs(step: &Step) -> Result<Option<String>, Failure> {
    let requirements = house::root().join("tests/python/requirements.txt");
    let folder = house::state().join("python");
    let stamp = Stamp::of("python", std::slice::from_ref(&requirements), &[])?;
    if stamp.is_fresh(&folder) {
        return Ok(None);
    }
    // Debian leaves out of Python what makes environments.
    if !Program::new("python3").args(["-c", "import venv, ensurepip"]).succeeds() {
        install(&["python3-venv"], step)?;
    }
    std::fs::create_dir_all(house::state())?;
    let (folder, requirements) = (folder.display().to_string(), requirements.display().to_string());
    step.tell("make the environment of the Python programs");
    Program::new("python3").args(["-m", "venv", "--clear", &folder]).run(step)?;
    let pip = format!("{folder}/bin/pip");
    let quiet = ["install", "--disable-pip-version-check", "--quiet", "--requirement", &requirements];
    Program::new(&pip).args(quiet).run(step)?;
    stamp.keep()?;
    Ok(Some("the Python programs of tests/python".to_owned()))
}

fn npm(words: &[&str], folder: &Path, step: &Step) -> Result<(), Failure> {
    let program = Program::new("npm").args(words).args(["--no-audit", "--no-fund"]);
    program.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").within(folder).run(step).map(drop)
}

/// Whether a program is on the path, or a file is there.
pub(crate) fn is_there(proof: &str) -> bool {
    if proof.starts_with('/') {
        return Path::new(proof).exists();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder: PathBuf| folder.join(proof).is_file())
}
