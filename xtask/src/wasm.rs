//! The engine for browsers: `web/wasm` compiled to WebAssembly and bound to JavaScript in `web/wasm/pkg/`.
//!
//! Two roads lead there, and the second is taken without asking where the first is closed:
//! the toolchain's own `wasm32-unknown-unknown` library (rustup fetches it), or the compiler Debian builds its
//! browsers with, which builds that library from source.

use std::path::{Path, PathBuf};
use std::time::Duration;

use wasm_bindgen_cli_support::Bindgen;

use crate::house;
use crate::progress::{Done, Step};
use crate::run::{Failure, Program};
use crate::setup;
use crate::stamp::Stamp;

const TRIPLE: &str = "wasm32-unknown-unknown";
/// Where the network is cut off, rustup waits for minutes.
const RUSTUP_S_MAX: u64 = 15;
/// How long a failed attempt is remembered, in seconds.
const RUSTUP_RETRY_S: u64 = 24 * 3600;
/// `rustup` or `debian` forces a road, to try it.
const ROAD_VARIABLE: &str = "MATINEE_WASM_ROAD";

/// How to compile, and what had to be installed for it.
pub(crate) struct Road {
    kind: Kind,
    compiler: String,
    /// What was installed.
    pub(crate) did: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rustup,
    Debian,
}

/// Finds a road, and installs what it needs.
pub(crate) fn road(step: &Step) -> Result<Road, Failure> {
    let mut did = Vec::new();
    let forced = std::env::var(ROAD_VARIABLE).ok();
    let kind = match forced.as_deref() {
        Some("debian") => Kind::Debian,
        Some("rustup") => Kind::Rustup,
        Some(other) => {
            return Err(Failure::new(format!("{ROAD_VARIABLE} is rustup or debian, not {other}")));
        }
        None if has_target() => Kind::Rustup,
        None if fetch_target(step) => {
            did.push(TRIPLE.to_owned());
            Kind::Rustup
        }
        None => Kind::Debian,
    };
    let compiler = match kind {
        Kind::Rustup => "rustc",
        Kind::Debian => {
            let missing: Vec<&str> = setup::DEBIAN_RUST
                .iter()
                .filter(|(_, proof)| !setup::is_there(proof))
                .map(|(name, _)| *name)
                .collect();
            setup::install(&missing, step)?;
            did.extend(missing.iter().map(|name| (*name).to_owned()));
            setup::DEBIAN_RUST[0].1
        }
    };
    Ok(Road { kind, compiler: compiler.to_owned(), did })
}

/// Compiles and binds, unless nothing has changed since the last time.
pub(crate) fn build(step: &Step) -> Result<Done, Failure> {
    let road = road(step)?;
    let root = house::root();
    let output = root.join("web/wasm/pkg");
    let inputs = ["protocol", "engine", "web/wasm", "Cargo.toml", "Cargo.lock", "xtask/src/wasm.rs"];
    let version = Program::new(&road.compiler).args(["--version"]).first_line().unwrap_or_default();
    let stamp = Stamp::of("wasm", &inputs.map(|input| root.join(input)), &[&version])?;
    let bound = output.join("matinee_web_bg.wasm");
    if stamp.is_fresh(&bound) {
        return Ok(Done::one(format!("nothing has changed, {} KB", kilobytes(&bound))));
    }
    compile(&road, step)?;
    bind(&output)?;
    stamp.keep()?;
    Ok(Done::one(format!("{} KB, by {version}", kilobytes(&bound))))
}

fn compile(road: &Road, step: &Step) -> Result<(), Failure> {
    let mut program = Program::cargo()
        .args(["build", "--package", "matinee-web", "--lib", "--profile", "wasm", "--target", TRIPLE])
        .args(["--target-dir".into(), target()])
        // The encoded form alone is read then, whatever a person's own RUSTFLAGS say.
        .env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"));
    if road.kind == Kind::Debian {
        let linker =
            rust_lld().ok_or_else(|| Failure::new("no rust-lld: install lld, or a rustup toolchain"))?;
        program = program
            .args(["-Zbuild-std=std,panic_abort"])
            .env("RUSTC", &road.compiler)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    }
    program.run(step).map(drop)
}

fn flags() -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    // What is served to browsers tells nothing about the machine that built it.
    flags.push(format!("--remap-path-prefix={}=matinee", house::root().display()));
    let home = |variable: &str, folder: &str| {
        std::env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(folder)))
    };
    if let Some(cargo) = home("CARGO_HOME", ".cargo") {
        flags.push(format!("--remap-path-prefix={}=cargo", cargo.display()));
    }
    flags
}

fn bind(output: &Path) -> Result<(), Failure> {
    let input = target().join(TRIPLE).join("wasm/matinee_web.wasm");
    let bound = Bindgen::new()
        .input_path(input)
        .web(true)
        .map(|bindgen| bindgen.typescript(true).remove_name_section(true).remove_producers_section(true))
        .and_then(|bindgen| bindgen.generate(output));
    bound.map_err(|cause| Failure::new(format!("wasm-bindgen: {cause:#}")))
}

/// A folder of its own, so that neither build throws the other's away.
fn target() -> PathBuf {
    house::target().join("wasm")
}

/// Whether the toolchain has the target's library.
fn has_target() -> bool {
    let folder = Program::new("rustc").args(["--print", "target-libdir", "--target", TRIPLE]).first_line();
    let Some(Ok(entries)) = folder.map(std::fs::read_dir) else {
        return false;
    };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Has rustup fetch the library; an attempt that failed is not repeated for a day.
fn fetch_target(step: &Step) -> bool {
    if !setup::is_there("rustup") {
        return false;
    }
    let failed = house::state().join("rustup-unreachable.stamp");
    let age =
        failed.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|then| then.elapsed().ok());
    if age.is_some_and(|age| age < Duration::from_secs(RUSTUP_RETRY_S)) {
        return false;
    }
    step.tell(&format!("rustup target add {TRIPLE}, for at most {RUSTUP_S_MAX} s"));
    let attempt = Program::new("rustup")
        .args(["target", "add", TRIPLE])
        .timeout(Duration::from_secs(RUSTUP_S_MAX))
        .run(step);
    let fetched = attempt.is_ok() && has_target();
    if !fetched {
        step.tell("rustup cannot fetch it: taking Debian's compiler");
        // Without the stamp the attempt is merely made again.
        let _ = std::fs::create_dir_all(house::state()).and_then(|()| std::fs::write(&failed, ""));
    }
    fetched
}

/// The linker that comes with the toolchain, or one on the path.
fn rust_lld() -> Option<PathBuf> {
    let sysroot = PathBuf::from(Program::new("rustc").args(["--print", "sysroot"]).first_line()?);
    let host = Program::new("rustc").args(["--print", "host-tuple"]).first_line()?;
    let own = sysroot.join("lib/rustlib").join(host).join("bin/rust-lld");
    if own.exists() {
        return Some(own);
    }
    ["wasm-ld", "rust-lld"].into_iter().find(|name| setup::is_there(name)).map(PathBuf::from)
}

fn kilobytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len().div_ceil(1000))
}
