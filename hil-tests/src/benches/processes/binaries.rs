//! Finding the programs to run.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::system::children;

/// The programs of a fleet.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The client.
    pub edge_client: PathBuf,
    /// The aggregator.
    pub aggregator_node: PathBuf,
}

impl Binaries {
    /// The programs beside this one, brought up to date first if this one was started by `cargo run`.
    ///
    /// # Errors
    /// If they are not there, or do not build.
    pub fn find() -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("where this program lies")?;
        let folder = this.parent().context("this program lies in no folder")?;
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(Path::new(&cargo), folder)?;
        }
        Binaries::within(folder)
    }

    /// The programs in `folder`.
    ///
    /// # Errors
    /// If one is not there.
    pub fn within(folder: &Path) -> anyhow::Result<Self> {
        let program = |name: &str| {
            let path = folder.join(name).with_extension(std::env::consts::EXE_EXTENSION);
            ensure!(
                path.is_file(),
                "{}: no such program; cargo build --workspace builds it, with --release for target/release",
                path.display()
            );
            Ok(path)
        };
        Ok(Binaries { edge_client: program("edge-client")?, aggregator_node: program("aggregator-node")? })
    }
}

/// Builds the programs into `folder` with the profile that it belongs to. All packages of this one are named, so
/// that features come out as they are and nothing is built twice.
fn build(cargo: &Path, folder: &Path) -> anyhow::Result<()> {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target = folder.parent().context("no target folder")?;
    link::complain("bringing edge-client and aggregator-node up to date, which takes minutes the first time");
    let status = children::command(cargo)
        .args(["build", "--bins", "--profile", profile, "--target-dir"])
        .arg(target)
        .args(["-p", "hil-tests", "-p", "edge-client", "-p", "aggregator-node"])
        .status()
        .with_context(|| format!("cannot start {}", cargo.display()))?;
    ensure!(status.success(), "edge-client and aggregator-node do not build");
    Ok(())
}
