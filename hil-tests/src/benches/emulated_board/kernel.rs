//! What an emulated board boots.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};

use crate::system::children;

/// The script that gets a kernel.
const FETCH: &str = include_str!("../../../../firmware-configs/qemu/fetch-kernel");

/// A kernel, its modules, and the programs of a shell.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel.
    pub(super) image: PathBuf,
    /// Name and content of its modules, each after those that it needs.
    pub(super) modules: Vec<(String, Vec<u8>)>,
    /// Busybox.
    pub(super) busybox: Vec<u8>,
}

impl Kernel {
    /// The kernel in the folder `given`, or else in the usual one.
    ///
    /// # Errors
    /// If there is none; the error says how to get it.
    pub fn find(given: Option<&Path>) -> anyhow::Result<Self> {
        let folder = folder(given)?;
        let advice = || {
            let shown = folder.display();
            let out = given.map(|_| format!(" --out {shown}")).unwrap_or_default();
            format!("{shown}: no kernel for emulated boards; `cargo hil board-kernel{out}` gets it")
        };
        let image = folder.join("vmlinuz");
        ensure!(image.is_file(), advice());
        let mut modules = Vec::new();
        for entry in fs::read_dir(folder.join("modules")).with_context(advice)? {
            let entry = entry.with_context(advice)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            modules.push((name, fs::read(entry.path()).with_context(advice)?));
        }
        modules.sort();
        let busybox = fs::read(folder.join("busybox")).with_context(advice)?;
        Ok(Kernel { image, modules, busybox })
    }
}

/// Where the kernel is: in the folder `given`, in that of `OUTPOST_KERNEL`, or else among what this user's programs may
/// keep.
///
/// # Errors
/// If nothing is given, and there is no such place.
pub fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = given.map(Path::to_owned).or_else(|| named("OUTPOST_KERNEL")) {
        return Ok(folder);
    }
    let cache = named("XDG_CACHE_HOME").or_else(|| named("HOME").map(|home| home.join(".cache")));
    let cache = cache.context("no HOME to keep a kernel in; OUTPOST_KERNEL=DIR names another place")?;
    Ok(cache.join("outpost/board-kernel"))
}

/// Gets a kernel into `folder`, from this machine's own sources of Debian's packages, or from those in the file
/// `sources`. What it does is told on standard error.
///
/// # Errors
/// If it cannot be had; then `folder` is as it was.
pub fn fetch(folder: &Path, sources: Option<&Path>) -> anyhow::Result<()> {
    let mut script = children::command("sh");
    script.args(["-c", FETCH, "fetch-kernel"]).arg(folder).args(sources).stdin(Stdio::null());
    let status = script.stdout(std::io::stderr()).status().context("cannot start sh")?;
    if !status.success() {
        bail!("no kernel was put into {}: the line above says why", folder.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_kernel_is_named_with_the_command_that_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = Kernel::find(Some(folder.path())).unwrap_err().to_string();
        assert!(error.starts_with(&folder.path().display().to_string()), "{error}");
        assert!(error.contains("cargo hil board-kernel --out"), "{error}");
        fs::write(folder.path().join("vmlinuz"), "").unwrap();
        assert!(Kernel::find(Some(folder.path())).unwrap_err().to_string().contains("board-kernel"));
    }

    #[test]
    fn modules_keep_their_order() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("modules")).unwrap();
        for name in ["vmlinuz", "busybox", "modules/02-c.ko", "modules/00-a.ko", "modules/01-b.ko"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let kernel = Kernel::find(Some(folder.path())).unwrap();
        let names: Vec<&str> = kernel.modules.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["00-a.ko", "01-b.ko", "02-c.ko"]);
    }
}
