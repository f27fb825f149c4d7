//! What is deployed to a device.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use edge_client::config::Settings;
use link::BrokerAddress;
use time::OffsetDateTime;
use wire::identity::Digest;

use super::architecture::Architecture;
use crate::fleet::inventory::{Device, Service};
use crate::fleet::provision::UNIT;

const UNIT_TEXT: &str = include_str!("../../../../firmware-configs/systemd/outpost-edge-client.service");

/// A client to deploy.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(super) bytes: Arc<[u8]>,
    pub(super) architecture: Option<Architecture>,
    digest: Digest,
}

impl Binary {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("the client {}", path.display()))?;
        let architecture = Architecture::of(&bytes).with_context(|| path.display().to_string())?;
        Ok(Binary { digest: Digest::of(&bytes), bytes: bytes.into(), architecture })
    }
}

/// What a device is to run.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(super) files: Vec<ReleaseFile>,
    /// That of the client; `None` for a script.
    pub(super) architecture: Option<Architecture>,
}

/// A file of a release.
#[derive(Clone, Debug)]
pub(super) struct ReleaseFile {
    pub(super) name: &'static str,
    /// As chmod takes it.
    pub(super) mode: &'static str,
    pub(super) bytes: Arc<[u8]>,
    pub(super) digest: String,
}

impl Release {
    /// What `folder` holds for `device`, with the client `binary`. It goes to `broker`, wherever it was provisioned to.
    pub(crate) fn of(
        folder: &Path,
        device: &Device,
        broker: &BrokerAddress,
        binary: &Binary,
    ) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join("devices").join(device.id.to_string()).join(name);
            fs::read(&path).with_context(|| {
                format!("{}: provision the fleet again with `hil provision`", path.display())
            })
        };
        let configuration = readdressed(&read("client.toml")?, broker)?;
        let mut names = vec!["scenario.toml"];
        // Another lies on the device, and stays there.
        if shard_of(&configuration)?.is_none_or(|shard| shard.ends_with("current/shard.safetensors")) {
            names.push("shard.safetensors");
        }
        if broker.tls {
            names.extend(["ca.pem", "device.pem", "device.key"]);
        }
        let mut files = vec![file("client.toml", configuration.into())];
        for name in names {
            files.push(file(name, read(name)?.into()));
        }
        if device.service == Service::Systemd {
            files.push(file(UNIT, unit(device).into_bytes().into()));
        }
        files.push(ReleaseFile {
            name: "edge-client",
            mode: "0700",
            bytes: binary.bytes.clone(),
            digest: binary.digest.to_string(),
        });
        Ok(Release { files, architecture: binary.architecture })
    }

    /// Its files: name, permissions, content.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&'static str, u32, &[u8])> {
        let mode = |file: &ReleaseFile| u32::from_str_radix(file.mode, 8).unwrap_or(0o600);
        self.files.iter().map(move |file| (file.name, mode(file), &*file.bytes))
    }

    /// Its name: when, and what. Names sort by age.
    pub(super) fn name(&self, now: OffsetDateTime) -> String {
        let listing: BTreeMap<&str, &str> =
            self.files.iter().map(|file| (file.name, file.digest.as_str())).collect();
        let digest = Digest::of(format!("{listing:?}").as_bytes()).to_string();
        let (date, time) = (now.date().to_string().replace('-', ""), now.time());
        format!("{date}-{:02}{:02}{:02}-{}", time.hour(), time.minute(), time.second(), &digest[..8])
    }
}

/// A client's configuration as it is, or with another broker if it names one.
fn readdressed(configuration: &[u8], broker: &BrokerAddress) -> anyhow::Result<Vec<u8>> {
    let text = std::str::from_utf8(configuration).context("client.toml")?;
    let settings = Settings::parse("client.toml", text)?;
    if settings.broker.as_ref() == Some(broker) {
        return Ok(configuration.to_vec());
    }
    Ok(toml::to_string(&Settings { broker: Some(broker.clone()), ..settings })?.into_bytes())
}

/// Where a client's configuration says that its shard lies.
fn shard_of(configuration: &[u8]) -> anyhow::Result<Option<PathBuf>> {
    let text = std::str::from_utf8(configuration).context("client.toml")?;
    Ok(Settings::parse("client.toml", text)?.shard)
}

/// A file that concerns only the client.
fn file(name: &'static str, bytes: Arc<[u8]>) -> ReleaseFile {
    let digest = Digest::of(&bytes).to_string();
    ReleaseFile { name, mode: "0600", bytes, digest }
}

/// The unit, for where and as whom the client runs on this device.
fn unit(device: &Device) -> String {
    UNIT_TEXT.replace("/opt/outpost", &device.root).replace("User=outpost", &format!("User={}", device.user))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::inventory::Inventory;

    #[test]
    fn the_unit_runs_where_and_as_whom_the_inventory_says() {
        let text = include_str!("../../../../firmware-configs/fleets/shelf.toml");
        let mut device = Inventory::parse("shelf.toml", text).unwrap().devices.remove(0);
        assert_eq!(unit(&device), UNIT_TEXT);
        (device.root, device.user) = ("/srv/fl".to_owned(), "pi".to_owned());
        let unit = unit(&device);
        assert!(unit.contains("ExecStart=/srv/fl/current/edge-client --config /srv/fl/current/client.toml"));
        assert!(unit.contains("\nUser=pi\n") && !unit.contains("/opt/outpost"), "{unit}");
    }

    #[test]
    fn no_file_of_a_release_is_open_to_others() {
        let text = include_str!("../../../../firmware-configs/fleets/shelf.toml");
        let device = Inventory::parse("shelf.toml", text).unwrap().devices.remove(0);
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("devices").join(device.id.to_string());
        fs::create_dir_all(&own).unwrap();
        let broker: BrokerAddress = "mqtts://192.168.1.10".parse().unwrap();
        fs::write(own.join("client.toml"), format!("broker = \"{broker}\"\n")).unwrap();
        for name in ["scenario.toml", "shard.safetensors", "ca.pem", "device.pem", "device.key"] {
            fs::write(own.join(name), name).unwrap();
        }
        let binary = Binary::read(&std::env::current_exe().unwrap()).unwrap();
        let release = Release::of(folder.path(), &device, &broker, &binary).unwrap();
        assert_eq!(release.contents().count(), 8);
        for (name, mode, _) in release.contents() {
            assert_eq!(mode, if name == "edge-client" { 0o700 } else { 0o600 }, "{name}");
        }
        // One that lies on the device is no part of it, whatever is left from an earlier scenario.
        fs::write(
            own.join("client.toml"),
            format!("shard = \"/opt/outpost/shard\"\nbroker = \"{broker}\"\n"),
        )
        .unwrap();
        let release = Release::of(folder.path(), &device, &broker, &binary).unwrap();
        assert!(release.contents().all(|(name, ..)| name != "shard.safetensors"));
    }

    #[test]
    fn names_sort_by_age_and_tell_contents_apart() {
        let release = |content: &[u8]| Release {
            files: vec![file("client.toml", content.to_vec().into())],
            architecture: None,
        };
        let (early, late) =
            (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH + time::Duration::days(400));
        let names = [release(b"a").name(early), release(b"b").name(late)];
        assert!(names[0] < names[1] && names[0].starts_with("19700101-000000-"), "{names:?}");
        assert_ne!(release(b"a").name(early), release(b"b").name(early));
    }

    #[test]
    fn a_configuration_stays_as_it_is_unless_the_broker_is_another() {
        let text = b"broker = \"mqtt://10.0.0.1:1883\" # here\ntopic-prefix = \"lab\"\n";
        let to = |broker: &str| readdressed(text, &broker.parse().unwrap()).unwrap();
        assert_eq!(to("mqtt://10.0.0.1"), text);
        let elsewhere = String::from_utf8(to("mqtt://10.0.0.2:7")).unwrap();
        assert_eq!(elsewhere, "broker = \"mqtt://10.0.0.2:7\"\ntopic-prefix = \"lab\"\n");
        assert!(readdressed(b"borker = 1", &"mqtt://a".parse().unwrap()).is_err());
    }
}
