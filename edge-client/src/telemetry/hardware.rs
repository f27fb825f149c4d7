//! What this client runs on, and which one it is: read once, at the start.

use std::fs::File;
use std::path::{Path, PathBuf};

use wire::Hardware;
use wire::identity::Digest;

use super::files;

/// Where machines say what they are called: boards in their device tree, others in what their firmware knows.
const MODELS: [&str; 3] =
    ["/proc/device-tree/model", "/sys/firmware/devicetree/base/model", "/sys/class/dmi/id/product_name"];

/// What can be known of this machine and this program.
pub fn hardware() -> Hardware {
    let program = std::env::current_exe().ok();
    let system = rustix::system::uname();
    Hardware {
        architecture: Hardware::text(&system.machine().to_string_lossy()),
        kernel: Hardware::text(&system.release().to_string_lossy()),
        ..of(&MODELS.map(PathBuf::from), program.as_deref())
    }
}

/// What the first of `models` that can be read says, and what the file of the `program` and its place say.
fn of(models: &[PathBuf], program: Option<&Path>) -> Hardware {
    let digest = |path: &Path| Digest::of_content(File::open(path).ok()?).ok();
    // As `hil deploy` puts it: releases/NAME/edge-client.
    let release = |path: &Path| {
        let folder = path.parent()?;
        let is_release = folder.parent()?.file_name()? == "releases";
        is_release.then(|| Hardware::text(&folder.file_name()?.to_string_lossy())).flatten()
    };
    Hardware {
        model: models.iter().find_map(|path| Hardware::text(&files::read(path)?)),
        client: program.and_then(digest),
        release: program.and_then(release),
        ..Hardware::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::file;
    use super::*;

    #[test]
    fn the_model_is_what_the_first_file_says_and_the_client_what_its_file_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (none, empty) = (folder.path().join("none"), file(folder.path(), "empty", "\0"));
        let model = file(folder.path(), "model", "Raspberry Pi Zero 2 W Rev 1.0\0");
        let program = file(folder.path(), "releases/20260102-101500-1a2b3c4d/edge-client", vec![7; 100_000]);
        let hardware = Hardware {
            model: Some("Raspberry Pi Zero 2 W Rev 1.0".into()),
            client: Some(Digest::of(&vec![7; 100_000])),
            release: Some("20260102-101500-1a2b3c4d".into()),
            ..Hardware::default()
        };
        assert_eq!(of(&[none.clone(), empty, model], Some(&program)), hardware);
        let elsewhere = file(folder.path(), "debug/edge-client", "");
        assert_eq!(of(&[], Some(&elsewhere)).release, None);
        assert_eq!(of(std::slice::from_ref(&none), Some(&none)), Hardware::default());
    }

    #[test]
    fn this_machine_is_known_by_its_kernel() {
        let hardware = hardware();
        assert!(hardware.kernel.is_some() && hardware.architecture.is_some() && hardware.client.is_some());
    }
}
