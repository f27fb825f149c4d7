//! Tells the program which commit and which compiler it is built from, for the manifests of its runs.

#![allow(clippy::print_stdout, reason = "a build script speaks to cargo so")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What stands for what cannot be found out.
const UNKNOWN: &str = "unknown";
/// The variable that the program reads the commit from; whoever builds where there is no repository may set it.
const COMMIT: &str = "OUTPOST_COMMIT";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("..");
    let commit = env::var(COMMIT).ok().filter(|commit| !commit.is_empty()).or_else(|| commit(&root));
    println!("cargo::rustc-env={COMMIT}={}", commit.as_deref().unwrap_or(UNKNOWN));
    println!("cargo::rustc-env=OUTPOST_COMPILER={}", compiler().as_deref().unwrap_or(UNKNOWN));
}

/// What the compiler says that it is: `rustc 1.96.0 (ac68faa20 2026-05-25)`.
fn compiler() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// The commit that is checked out in the repository whose root is `root`; `None` if that is none. Cargo is told to ask
/// again when it changes.
fn commit(root: &Path) -> Option<String> {
    let folder = git_folder(&root.join(".git"))?;
    let head = read(&folder.join("HEAD"))?;
    // Whatever moves HEAD adds a line to its log.
    for file in ["HEAD", "logs/HEAD"].map(|name| folder.join(name)).iter().filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let Some(reference) = head.strip_prefix("ref: ") else { return Some(head) };
    // A work tree has a HEAD of its own, and branches in common with the repository.
    let common = read(&folder.join("commondir")).map_or_else(|| folder.clone(), |path| folder.join(path));
    let loose = read(&common.join(reference));
    loose.or_else(|| {
        let packed = read(&common.join("packed-refs"))?;
        let lines = packed.lines().filter_map(|line| line.split_once(' '));
        lines.into_iter().find(|(_, name)| *name == reference).map(|(commit, _)| commit.to_owned())
    })
}

/// Where git keeps what belongs to a work tree: in the folder `place`, or where the file `place` says.
fn git_folder(place: &Path) -> Option<PathBuf> {
    if place.is_dir() {
        return Some(place.to_owned());
    }
    let text = read(place)?;
    Some(place.parent()?.join(text.strip_prefix("gitdir: ")?))
}

fn read(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
