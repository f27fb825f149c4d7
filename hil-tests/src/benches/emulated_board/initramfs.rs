//! The file system of an emulated board, in the format `newc` of cpio, which the kernel unpacks into its memory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context as _;
use cpio::newc::{Builder, trailer};

use super::Kernel;
use crate::fleet::deploy::{Release, quoted};
use crate::fleet::inventory::Device;

const INIT: &str = include_str!("../../../../firmware-configs/qemu/init");

/// File types, as in `stat.h`.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Where the kernel and `init` expect folders.
const FOLDERS: [&str; 7] = ["bin", "dev", "etc", "modules", "proc", "sys", "tmp"];

/// Writes what the board of `device` has: `release` in the folder `current` below its root, as on a board that was deployed to,
/// and the data that it is to import.
pub(super) fn write(
    kernel: &Kernel,
    release: &Release,
    device: &Device,
    to: impl Write,
) -> anyhow::Result<()> {
    let current = format!("{}/current", device.root.trim_matches('/'));
    let mut archive = Archive { to, folders: BTreeSet::new() };
    for folder in FOLDERS {
        archive.folder(Path::new(folder))?;
    }
    archive.file("init", 0o755, INIT.as_bytes())?;
    archive.file("bin/busybox", 0o755, &kernel.busybox)?;
    for (name, module) in &kernel.modules {
        archive.file(&format!("modules/{name}"), 0o644, module)?;
    }
    for (name, mode, content) in release.contents() {
        archive.file(&format!("{current}/{name}"), mode, content)?;
    }
    archive.entry("client", LINK | 0o777, format!("/{current}").as_bytes())?;
    if let [file, words @ ..] = &device.import[..] {
        let content = fs::read(file).with_context(|| format!("import: {file}"))?;
        let name =
            Path::new(file).file_name().with_context(|| format!("import: {file}: no name of a file"))?;
        let place = format!("/data/{}", name.to_string_lossy());
        archive.file(place.trim_start_matches('/'), 0o600, &content)?;
        let shard = device.own_shard();
        archive.folder(Path::new(shard.trim_start_matches('/')).parent().unwrap_or(Path::new("")))?;
        let words =
            [place.as_str()].into_iter().chain(words.iter().map(String::as_str)).chain(["--out", &shard]);
        let words: Vec<String> = words.map(quoted).collect();
        archive.file("import", 0o600, words.join(" ").as_bytes())?;
    }
    Ok(trailer(archive.to)?.flush()?)
}

struct Archive<W> {
    to: W,
    /// Those that are there.
    folders: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.folder(Path::new(path).parent().unwrap_or(Path::new("")))?;
        self.entry(path, FILE | mode, content)
    }

    /// A folder, and those that it is in: nothing appears where there is none.
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        self.folder(parent)?;
        let name = path.to_string_lossy().into_owned();
        if self.folders.insert(name.clone()) { self.entry(&name, FOLDER | 0o755, &[]) } else { Ok(()) }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_| io::Error::other(format!("{path}: too large for the memory of a board")))?;
        let mut entry = Builder::new(path).mode(mode).write(&mut self.to, size);
        entry.write_all(content)?;
        entry.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fleet::deploy::Binary;
    use crate::fleet::inventory::Inventory;
    use cpio::newc::Reader;

    /// Mode and content of every entry; a folder comes before what is in it.
    fn entries(mut archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut entries = BTreeMap::new();
        loop {
            let mut reader = Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return entries;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            if let Some((parent, _)) = name.rsplit_once('/') {
                assert!(entries.contains_key(parent), "{name} comes before its folder");
            }
            let mut content = Vec::new();
            io::Read::read_to_end(&mut reader, &mut content).unwrap();
            entries.insert(name, (mode, content));
            archive = reader.finish().unwrap();
        }
    }

    #[test]
    fn a_board_has_its_modules_and_what_was_provisioned_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("devices/device-000");
        std::fs::create_dir_all(&device).unwrap();
        for name in ["scenario.toml", "shard.safetensors", "ca.pem", "device.pem", "device.key"] {
            std::fs::write(device.join(name), name).unwrap();
        }
        std::fs::write(device.join("client.toml"), "").unwrap();
        std::fs::write(folder.path().join("edge-client"), "#!/bin/sh\n").unwrap();
        let inventory = "name = \"one\"\n[broker]\nurl = \"mqtts://pi\"\n[[device]]\nid = \"device-000\"\n\
                         kind = \"qemu-system\"\nboard = \"pi-4b\"\nroot = \"/srv/fl\"\n";
        let data = folder.path().join("it's.csv");
        std::fs::write(&data, "a,b\n").unwrap();
        let inventory =
            format!("{inventory}import = [{data:?}, \"--label\", \"b\"]\nshard = \"/own/shard\"\n");
        let inventory = Inventory::parse("one.toml", &inventory).unwrap();
        let binary = Binary::read(&folder.path().join("edge-client")).unwrap();
        let release =
            Release::of(folder.path(), &inventory.devices[0], &inventory.broker.url, &binary).unwrap();
        let kernel = Kernel {
            image: folder.path().join("vmlinuz"),
            modules: vec![("00-virtio.ko".to_owned(), b"module".to_vec())],
            busybox: b"busybox".to_vec(),
        };
        let mut archive = Vec::new();
        write(&kernel, &release, &inventory.devices[0], &mut archive).unwrap();
        let entries = entries(&archive);
        let of = |name: &str| (entries[name].0, String::from_utf8_lossy(&entries[name].1).into_owned());
        assert_eq!(of("init"), (0o100_755, INIT.to_owned()));
        assert_eq!(of("modules/00-virtio.ko"), (0o100_644, "module".to_owned()));
        assert_eq!(of("data/it's.csv"), (0o100_600, "a,b\n".to_owned()));
        let words = r"'/data/it'\''s.csv' '--label' 'b' '--out' '/own/shard'";
        assert_eq!((of("import").1.as_str(), of("own").0), (words, 0o040_755));
        assert_eq!(of("client"), (0o120_777, "/srv/fl/current".to_owned()));
        assert_eq!(of("srv/fl/current/edge-client").0, 0o100_700);
        assert_eq!(of("srv/fl/current/device.key"), (0o100_600, "device.key".to_owned()));
        assert_eq!(of("srv/fl/current").0, 0o040_755);
        assert!(of("srv/fl/current/client.toml").1.contains("mqtts://pi:8883"));
    }
}
