//! The list of a fleet's shards, by which an aggregator knows what each device should train on.

use std::collections::BTreeMap;
use std::path::Path;

use input::toml_file::{self, FileError};
use serde::{Deserialize, Serialize};
use wire::identity::{DeviceId, Digest};

use super::ShardSource;

const FORMAT: &str = "outpost-shard-list-1";

/// A file, `shards.toml`, that is written beside the shards of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardList {
    format: String,
    /// What all of them were made from.
    source: ShardSource,
    /// One for each device, in ascending order.
    shard: Vec<ShardEntry>,
}

/// The shard of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// The device.
    pub device: DeviceId,
    /// Number of examples.
    pub examples: u32,
    /// The shard's digest, as it stands in its file.
    pub blake3: Digest,
}

impl ShardList {
    /// What the file is called.
    pub const FILE: &str = "shards.toml";

    /// The list of the shards `shard`, all made from `source`.
    pub fn new(source: ShardSource, shard: Vec<ShardEntry>) -> Self {
        ShardList { format: FORMAT.to_owned(), source, shard }
    }

    /// The text of the file.
    ///
    /// # Panics
    /// Never: a list holds nothing that TOML cannot express.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("texts and small numbers")
    }

    /// Reads the list from the file `path`, which must list the shards of `devices` devices that were made by `settings`.
    ///
    /// # Errors
    /// [`FileError`] names the file, what is wrong with it and what to do.
    pub fn load(path: &Path, devices: u32, settings: &BTreeMap<String, String>) -> Result<Self, FileError> {
        let file = path.display().to_string();
        let list: ShardList = toml_file::load(path)?;
        let wrong = |key: &str, what: String| {
            Err(FileError::invalid(
                &file,
                key,
                format!("{what}; make the shards and this list anew from the scenario"),
            ))
        };
        if list.format != FORMAT {
            return wrong("format", format!("{:?}, where this version reads {FORMAT:?}", list.format));
        }
        if let Some(difference) = list.source.differs_from(settings) {
            return wrong("source", difference);
        }
        let listed = list.shards();
        if list.shard.len() != devices as usize || !listed.keys().copied().eq((0..devices).map(DeviceId)) {
            return wrong("shard", format!("not one for each of the {devices} devices"));
        }
        Ok(list)
    }

    /// The digest of the training data that the shards are parts of.
    pub fn training(&self) -> Digest {
        self.source.data
    }

    /// The digest of the file, as [`ShardList::to_toml`] writes it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_toml().as_bytes())
    }

    /// The shard of each device.
    pub fn shards(&self) -> BTreeMap<DeviceId, ShardEntry> {
        self.shard.iter().map(|entry| (entry.device, *entry)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(device: u32) -> ShardEntry {
        ShardEntry { device: DeviceId(device), examples: 10, blake3: Digest([0xab; 32]) }
    }

    fn settings() -> BTreeMap<String, String> {
        [("fleet.non-iid".to_owned(), "0.5".to_owned())].into()
    }

    fn list(devices: &[u32]) -> ShardList {
        let source = ShardSource { data: Digest([0xcd; 32]), settings: settings() };
        ShardList::new(source, devices.iter().copied().map(entry).collect())
    }

    /// What comes of a file with `text` for a fleet of two.
    fn load(text: &str) -> Result<BTreeMap<DeviceId, ShardEntry>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(ShardList::FILE);
        std::fs::write(&path, text).unwrap();
        let list = ShardList::load(&path, 2, &settings()).map_err(|error| error.to_string())?;
        assert_eq!((list.training(), list.digest()), (Digest([0xcd; 32]), Digest::of(text.as_bytes())));
        Ok(list.shards())
    }

    #[test]
    fn a_list_reads_back() {
        let read = load(&list(&[0, 1]).to_toml()).unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), [entry(0), entry(1)]);
    }

    #[test]
    fn a_list_of_another_fleet_making_or_format_is_refused() {
        for devices in [&[0][..], &[0, 1, 2], &[0, 2], &[0, 0], &[0, 1, 1]] {
            let error = load(&list(devices).to_toml()).unwrap_err();
            assert!(
                error.contains("shards.toml: shard: not one for each of the 2 devices; make "),
                "{error}"
            );
        }
        let text = list(&[0, 1]).to_toml();
        let error = load(&text.replace("\"0.5\"", "\"0.9\"")).unwrap_err();
        assert!(error.contains("source: made with fleet.non-iid = 0.9, but the scenario says"), "{error}");
        let error = load(&text.replace("list-1", "list-9")).unwrap_err();
        assert!(error.contains("format: \"outpost-shard-list-9\""), "{error}");
        assert!(load(&text.replace("examples = 10", "examples = -1")).unwrap_err().contains("shards.toml:"));
    }
}
