//! The folder that is provisioned: what may be written into it, how, and what is remembered of it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aggregator_node::record::{read_if_there, write_atomically_as};
use anyhow::{Context, bail, ensure};
use shared::identity::Digest;
use shared::scenario::Scenario;
use time::OffsetDateTime;

use super::Provisioned;
use super::manifest::{FORMAT, Manifest};
use crate::inventory::Inventory;

const MANIFEST: &str = "provision.json";

/// Who may read a file. The folder is closed to others in either case; what counts is a copy made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// A key or a password.
    Secret,
    /// Anything else.
    Open,
}

impl Secrecy {
    fn mode(self) -> u32 {
        match self {
            Secrecy::Secret => 0o600,
            Secrecy::Open => 0o644,
        }
    }
}

/// A folder that belongs to one fleet.
pub(super) struct Folder {
    path: PathBuf,
    pub(super) manifest: Manifest,
    changed: Vec<String>,
}

impl Folder {
    /// Opens the folder of this fleet, or makes it.
    pub(super) fn open(path: &Path, inventory: &Inventory, scenario: &Scenario) -> anyhow::Result<Self> {
        let shown = path.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create {shown}"))?;
        let earlier = read_manifest(path)?;
        if let Some(earlier) = &earlier {
            ensure!(
                earlier.fleet == inventory.name,
                "{shown}: provisioned for the fleet `{}`, but this one is `{}`; choose another --out",
                earlier.fleet,
                inventory.name
            );
        } else {
            let mut inside = fs::read_dir(path).with_context(|| format!("cannot read {shown}"))?;
            ensure!(
                inside.next().is_none(),
                "{shown}: holds something else; choose an empty folder for --out"
            );
        }
        // Made by hand before, it may be open to others.
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close {shown} to others"))?;
        let certificates = earlier.map(|earlier| earlier.certificates).unwrap_or_default();
        let manifest = Manifest {
            format: FORMAT,
            fleet: inventory.name.clone(),
            broker: inventory.broker.url.to_string(),
            scenario: scenario.name.clone(),
            scenario_sha256: scenario.digest().to_string(),
            certificates,
            files: std::collections::BTreeMap::new(),
        };
        let mut folder = Folder { path: path.to_owned(), manifest, changed: Vec::new() };
        // At once: interrupted from here on, the folder is still known as this fleet's.
        folder.write_manifest()?;
        Ok(folder)
    }

    /// The content of a file; `None` if there is none.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(read_if_there(&self.path.join(name))?)
    }

    /// Writes a file, if it is not as it should be, and enters it into the manifest.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8], secrecy: Secrecy) -> anyhow::Result<()> {
        self.manifest.files.insert(name.to_owned(), Digest::of(bytes).to_string());
        if self.read(name)?.as_deref() != Some(bytes) {
            replace(&self.path.join(name), bytes, secrecy)?;
            self.changed.push(name.to_owned());
        }
        Ok(())
    }

    /// Moves every key and certificate aside, the authority's first: what an interruption leaves behind is issued anew
    /// by the new authority. `None` if there was none.
    pub(super) fn retire_keys(&mut self) -> anyhow::Result<Option<PathBuf>> {
        let mut found = Vec::new();
        find_keys(&self.path, Path::new(""), &mut found)?;
        if found.is_empty() {
            return Ok(None);
        }
        found.sort_by_key(|name| !name.starts_with("ca"));
        let now = OffsetDateTime::now_utc();
        let (date, time) = (now.date(), now.time());
        let retired = format!("retired/{date}-{:02}{:02}{:02}", time.hour(), time.minute(), time.second());
        for name in found {
            let (from, to) = (self.path.join(&name), self.path.join(&retired).join(&name));
            create_parent(&to)?;
            fs::rename(&from, &to).with_context(|| format!("cannot move {} aside", from.display()))?;
        }
        self.manifest.certificates.clear();
        Ok(Some(self.path.join(retired)))
    }

    /// Writes the manifest.
    pub(super) fn finish(mut self, retired: Option<PathBuf>) -> anyhow::Result<Provisioned> {
        self.write_manifest()?;
        let Folder { path, manifest, changed } = self;
        Ok(Provisioned { folder: path, manifest, changed, retired })
    }

    fn write_manifest(&mut self) -> anyhow::Result<()> {
        let mut json = serde_json::to_vec_pretty(&self.manifest)?;
        json.push(b'\n');
        replace(&self.path.join(MANIFEST), &json, Secrecy::Open)
    }
}

/// The manifest of the folder at `path`, if there is one.
fn read_manifest(path: &Path) -> anyhow::Result<Option<Manifest>> {
    let path = path.join(MANIFEST);
    let shown = path.display().to_string();
    let Some(json) = read_if_there(&path)? else { return Ok(None) };
    let manifest: Manifest = serde_json::from_slice(&json).with_context(|| shown.clone())?;
    ensure!(manifest.format == FORMAT, "{shown}: written by another version of this program");
    Ok(Some(manifest))
}

impl Manifest {
    /// Reads the manifest of a provisioned folder, and makes sure that it is one of the fleet called `fleet`.
    ///
    /// # Errors
    /// If it is not provisioned, or for another fleet.
    pub fn load(folder: &Path, fleet: &str) -> anyhow::Result<Self> {
        let shown = folder.display();
        let Some(manifest) = read_manifest(folder)? else {
            bail!(
                "{shown}: not provisioned; `hil provision FLEET.toml SCENARIO.toml --out {shown}` writes it"
            )
        };
        ensure!(
            manifest.fleet == fleet,
            "{shown}: provisioned for the fleet `{}`, but this one is `{fleet}`",
            manifest.fleet
        );
        Ok(manifest)
    }

    /// Makes sure that the devices of `inventory` have been told of its broker, and of no other.
    ///
    /// # Errors
    /// If they have not.
    pub fn check_broker(&self, folder: &Path, inventory: &Inventory) -> anyhow::Result<()> {
        let broker = &inventory.broker.url;
        ensure!(
            self.broker == broker.to_string(),
            "{}: provisioned for the broker {}, but {} says {broker}; provision it again",
            folder.display(),
            self.broker,
            inventory.file()
        );
        Ok(())
    }
}

fn find_keys(root: &Path, below: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !name.starts_with("retired") {
                find_keys(root, &name, found)?;
            }
        } else if name.extension().is_some_and(|extension| extension == "key" || extension == "pem") {
            found.push(name);
        }
    }
    Ok(())
}

fn create_parent(path: &Path) -> anyhow::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let create = DirBuilder::new().recursive(true).mode(0o700).create(parent);
    create.with_context(|| format!("cannot create {}", parent.display()))
}

fn replace(path: &Path, bytes: &[u8], secrecy: Secrecy) -> anyhow::Result<()> {
    create_parent(path)?;
    Ok(write_atomically_as(path, bytes, secrecy.mode())?)
}
