//! Running cargo for a target.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;

use super::{Target, ToolchainError};
use crate::system::children;

/// The profile of the programs that boards get.
pub const FLEET_PROFILE: &str = "fleet";

/// A program of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The client.
    EdgeClient,
    /// The aggregator.
    AggregatorNode,
}

impl Program {
    /// Its file's name, and its package's.
    pub fn name(self) -> &'static str {
        match self {
            Program::EdgeClient => "edge-client",
            Program::AggregatorNode => "aggregator-node",
        }
    }
}

/// A program that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Builds `programs` for `target`, in the order of their names, with the profile [`FLEET_PROFILE`]. Cargo's own words
/// go to standard error.
///
/// # Errors
/// [`ToolchainError`] says what is missing and how to get it, or that the build failed.
pub fn build(target: &Target, programs: &[Program]) -> Result<Vec<Built>, ToolchainError> {
    target.check()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = children::command(&cargo);
    command.current_dir(sources()?);
    command.args(["build", "--profile", FLEET_PROFILE, "--target", target.triple]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if let Some(folder) = target_folder() {
        command.arg("--target-dir").arg(folder);
    }
    programs.iter().for_each(|program| {
        command.args(["-p", program.name()]);
    });
    link::complain(format_args!(
        "bringing the client for {} up to date, which takes minutes the first time",
        target.triple
    ));
    let output = command
        .envs(target.environment())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| ToolchainError::Start { program: cargo.display().to_string(), cause })?;
    if !output.status.success() {
        return Err(ToolchainError::Failed { triple: target.triple });
    }
    let mut all = executables(&String::from_utf8_lossy(&output.stdout));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The program for `target` that an earlier [`build()`] left beside this one.
///
/// # Errors
/// [`ToolchainError::NotBuilt`] if there is none.
pub fn built(target: &Target, program: Program) -> Result<PathBuf, ToolchainError> {
    let path = programs_folder(target.triple).join(FLEET_PROFILE).join(program.name());
    if path.is_file() { Ok(path) } else { Err(ToolchainError::NotBuilt { path, triple: target.triple }) }
}

/// Where cargo leaves what is built for the target `triple`: a folder of folders, one for each profile.
pub fn programs_folder(triple: &str) -> PathBuf {
    target_folder().unwrap_or_else(|| "target".into()).join(triple)
}

/// The workspace: of the checkout that cargo runs this program from, or the folder we are in.
fn sources() -> Result<PathBuf, ToolchainError> {
    let checkout = env::var_os("CARGO_MANIFEST_DIR").map(|folder| Path::new(&folder).join(".."));
    let folder = checkout.unwrap_or_else(|| ".".into());
    if folder.join("edge-client/Cargo.toml").is_file() {
        Ok(folder)
    } else {
        Err(ToolchainError::NoSources(env::current_dir().unwrap_or(folder)))
    }
}

/// Cargo's folder that this program lies in, as `target/debug/hil`, `target/TRIPLE/debug/hil` or
/// `target/debug/deps/test`.
fn target_folder() -> Option<PathBuf> {
    let this = env::current_exe().ok()?;
    let marked = |folder: &&Path| folder.join("CACHEDIR.TAG").is_file();
    let inner = this.ancestors().skip(1).find(marked)?;
    Some(inner.parent().filter(marked).unwrap_or(inner).to_owned())
}

/// The executables that cargo's messages name.
fn executables(messages: &str) -> Vec<Built> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
        target: Option<Name>,
    }
    #[derive(Deserialize)]
    struct Name {
        name: String,
    }
    let parse = |line: &str| serde_json::from_str::<Message>(line).ok();
    let executable = |message: Message| Some(Built { path: message.executable?, name: message.target?.name });
    messages.lines().filter_map(parse).filter_map(executable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_told_from_libraries_and_noise() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"shared","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"edge-client"},"executable":"/t/fleet/edge-client","fresh":true}
not json
{"reason":"build-finished","success":true}"#;
        let built = Built { name: "edge-client".to_owned(), path: "/t/fleet/edge-client".into() };
        assert_eq!(executables(messages), [built]);
    }

    #[test]
    fn the_folder_of_this_test_is_cargos() {
        let folder = target_folder().unwrap();
        assert!(env::current_exe().unwrap().starts_with(&folder));
    }
}
