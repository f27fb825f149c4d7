//! The folder that is provisioned: what may be written into it, how, and what is remembered of it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use record::{read_if_there, write_atomically_as};
use scenario::Scenario;
use time::{Duration, OffsetDateTime};
use wire::identity::Digest;

use super::Provisioned;
use super::manifest::{CertificateEntry, FORMAT, Manifest};
use crate::fleet::inventory::Inventory;

const MANIFEST: &str = "provision.json";

/// Who may read a file. The folder is closed to others in either case; what counts is a copy made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    /// A key, a password, or a device's share of the data.
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
    issued: Vec<String>,
    removed: Vec<String>,
    now: OffsetDateTime,
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
        let with_tls = |earlier: Manifest| inventory.broker.url.tls.then_some(earlier.certificates);
        let certificates = earlier.and_then(with_tls).unwrap_or_default();
        let manifest = Manifest {
            format: FORMAT,
            fleet: inventory.name.clone(),
            broker: inventory.broker.url.to_string(),
            scenario: scenario.name.clone(),
            scenario_sha256: scenario.digest().to_string(),
            certificates,
            files: std::collections::BTreeMap::new(),
        };
        let mut folder = Folder {
            path: path.to_owned(),
            manifest,
            changed: Vec::new(),
            issued: Vec::new(),
            removed: Vec::new(),
            now: OffsetDateTime::now_utc(),
        };
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
        let path = self.path.join(name);
        if self.read(name)?.as_deref() != Some(bytes) {
            replace(&path, bytes, secrecy)?;
            self.changed.push(name.to_owned());
        } else if secrecy == Secrecy::Secret {
            // An earlier version of this program may have left it open.
            let close = fs::set_permissions(&path, fs::Permissions::from_mode(secrecy.mode()));
            close.with_context(|| format!("cannot close {} to others", path.display()))?;
        }
        Ok(())
    }

    /// Moves every key and certificate aside, the authority's first: what an interruption leaves behind is issued anew
    /// by the new authority. `None` if there was none.
    pub(super) fn retire_keys(&mut self) -> anyhow::Result<Option<PathBuf>> {
        let mut found = Vec::new();
        find_keys(&self.path, "", &mut found)?;
        if found.is_empty() {
            return Ok(None);
        }
        found.sort_by_key(|name| !name.starts_with("ca/"));
        let retired = self.retired();
        for name in found {
            self.rename(&name, &format!("{retired}/{name}"))?;
        }
        self.manifest.certificates.clear();
        Ok(Some(self.path.join(retired)))
    }

    /// Where what is replaced now is moved to, in this folder.
    pub(super) fn retired(&self) -> String {
        let (date, time) = (self.now.date(), self.now.time());
        format!("retired/{date}-{:02}{:02}{:02}", time.hour(), time.minute(), time.second())
    }

    /// Moves a file within the folder, if it is there.
    pub(super) fn rename(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        create_parent(&to)?;
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot move {} aside", from.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes what there is of devices that the inventory does not list any more, their keys above all.
    pub(super) fn remove_others(&mut self, inventory: &Inventory) -> anyhow::Result<()> {
        let devices = self.path.join("devices");
        let entries = match fs::read_dir(&devices) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(|| format!("cannot read {}", devices.display()))?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if inventory.devices.iter().all(|device| device.id.to_string() != name) {
                let removed = fs::remove_dir_all(entry.path());
                removed.with_context(|| format!("cannot remove {}", entry.path().display()))?;
                self.manifest.certificates.remove(&name);
                self.removed.push(name);
            }
        }
        self.removed.sort();
        Ok(())
    }

    /// Whether the certificate of `name` is as it should be, and still will be after `from_now`.
    pub(super) fn is_valid(&self, name: &str, hosts: &[String], authority: &str, from_now: Duration) -> bool {
        self.manifest.certificates.get(name).is_some_and(|it| {
            let lasts = it.days_left(self.now.date()) >= from_now.whole_days();
            lasts && it.hosts == hosts && it.authority_sha256 == authority
        })
    }

    /// Enters a certificate that was issued just now.
    pub(super) fn enter(&mut self, name: &str, entry: CertificateEntry) {
        self.manifest.certificates.insert(name.to_owned(), entry);
        self.issued.push(name.to_owned());
    }

    /// Writes the manifest.
    pub(super) fn finish(mut self, retired: Option<PathBuf>) -> anyhow::Result<Provisioned> {
        self.write_manifest()?;
        let Folder { path, manifest, changed, issued, removed, .. } = self;
        Ok(Provisioned { folder: path, manifest, changed, issued, removed, retired })
    }

    fn write_manifest(&mut self) -> anyhow::Result<()> {
        let mut json = serde_json::to_vec_pretty(&self.manifest)?;
        json.push(b'\n');
        replace(&self.path.join(MANIFEST), &json, Secrecy::Open)
    }
}

/// The manifest of the folder at `path`, if there is one.
pub(super) fn read_manifest(path: &Path) -> anyhow::Result<Option<Manifest>> {
    let path = path.join(MANIFEST);
    let shown = path.display().to_string();
    let Some(json) = read_if_there(&path)? else { return Ok(None) };
    let manifest: Manifest = serde_json::from_slice(&json).with_context(|| shown.clone())?;
    ensure!(manifest.format == FORMAT, "{shown}: written by another version of this program");
    Ok(Some(manifest))
}

fn find_keys(root: &Path, below: &str, found: &mut Vec<String>) -> anyhow::Result<()> {
    let folder = root.join(below);
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        // Nothing that this program has written has another name.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type()?.is_dir() {
            if name != "retired" {
                find_keys(root, &name, found)?;
            }
        } else if matches!(name.rsplit_once('.'), Some((_, "key" | "pem"))) {
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
