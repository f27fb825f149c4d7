//! What a board's SD card is given, so that its first boot makes a host that `hil deploy` can reach.
//!
//! Three files for the boot partition of a current image of Raspberry Pi OS. The rest, binary and configuration, comes
//! with the deployment: a card holds no key of the fleet.

use super::folder::{Folder, Secrecy};
use crate::deploy::root_commands;
use crate::inventory::{Device, Inventory};

const USER_DATA: &str = include_str!("../../../firmware-configs/cloud-init/user-data");
const NETWORK_CONFIG: &str = include_str!("../../../firmware-configs/cloud-init/network-config");
const WIFI_CONFIG: &str = include_str!("../../../firmware-configs/cloud-init/network-config-wifi");
const META_DATA: &str = include_str!("../../../firmware-configs/cloud-init/meta-data");

/// What the first boot sets up.
#[derive(Clone, Debug)]
pub struct FirstBoot {
    /// The public keys that may log in, one a line, as in `~/.ssh/id_ed25519.pub`.
    pub authorized_keys: String,
    /// The wireless network, if the boards have one.
    pub wifi: Option<Wifi>,
}

/// A wireless network.
#[derive(Clone)]
pub struct Wifi {
    /// Its name.
    pub ssid: String,
    /// Its passphrase.
    pub passphrase: String,
    /// The country whose rules hold, in two letters.
    pub country: String,
}

impl std::fmt::Debug for Wifi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wifi").field("ssid", &self.ssid).finish_non_exhaustive()
    }
}

/// Writes the three files of a device.
pub(super) fn write(
    folder: &mut Folder,
    device: &Device,
    inventory: &Inventory,
    first_boot: &FirstBoot,
) -> anyhow::Result<()> {
    let place = |name: &str| format!("devices/{}/cloud-init/{name}", device.id);
    for (name, text, secrecy) in files(device, &inventory.name, first_boot) {
        folder.write(&place(name), text.as_bytes(), secrecy)?;
    }
    Ok(())
}

fn files(device: &Device, fleet: &str, first_boot: &FirstBoot) -> [(&'static str, String, Secrecy); 3] {
    let keys: Vec<&str> = first_boot
        .authorized_keys
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let user_data = USER_DATA
        .replace("{hostname}", &quoted(&device.id.to_string()))
        .replace("{user}", &quoted(&device.user))
        .replace("{authorized_keys}", &serde_json::Value::from(keys).to_string())
        .replace("{root}", &quoted(&device.root))
        .replace("{sudo}", &quoted(&sudo_rule(device)));
    let (network, secrecy) = match &first_boot.wifi {
        None => (NETWORK_CONFIG.to_owned(), Secrecy::Open),
        Some(wifi) => {
            let text = format!("{NETWORK_CONFIG}{WIFI_CONFIG}")
                .replace("{country}", &quoted(&wifi.country))
                .replace("{ssid}", &quoted(&wifi.ssid))
                .replace("{passphrase}", &quoted(&wifi.passphrase));
            (text, Secrecy::Secret)
        }
    };
    let meta_data = META_DATA.replace("{instance}", &quoted(&format!("outpost-{fleet}-{}", device.id)));
    [
        ("user-data", user_data, Secrecy::Open),
        ("network-config", network, secrecy),
        ("meta-data", meta_data, Secrecy::Open),
    ]
}

/// A text as a YAML scalar: a JSON string is one, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Exactly what a deployment runs as root.
fn sudo_rule(device: &Device) -> String {
    format!("ALL=(root) NOPASSWD: {}", root_commands(device).join(", "))
}

#[cfg(test)]
mod tests {
    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;

    const KEYS: &str = "# mine\nssh-ed25519 AAAAC3Nza me: \"the\" #1\n\nssh-rsa AAAAB3 other\n";

    fn parsed(wifi: Option<Wifi>) -> [Yaml; 3] {
        let text = include_str!("../../../firmware-configs/fleets/shelf.toml");
        let inventory = Inventory::parse("shelf.toml", text).unwrap();
        let first_boot = FirstBoot { authorized_keys: KEYS.to_owned(), wifi };
        files(&inventory.devices[0], &inventory.name, &first_boot).map(|(name, text, _)| {
            assert!(!text.contains('{') || name != "meta-data", "{text}");
            let mut documents =
                YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            assert_eq!(documents.len(), 1, "{name}");
            documents.remove(0)
        })
    }

    #[test]
    fn the_first_boot_makes_a_host_with_the_user_that_deploys() {
        let [user_data, _, meta_data] = parsed(None);
        assert_eq!(user_data["hostname"].as_str(), Some("device-000"));
        let user = &user_data["users"][0];
        assert_eq!(user["name"].as_str(), Some("outpost"));
        assert_eq!(user["ssh_authorized_keys"][0].as_str(), Some("ssh-ed25519 AAAAC3Nza me: \"the\" #1"));
        assert_eq!(user["ssh_authorized_keys"][1].as_str(), Some("ssh-rsa AAAAB3 other"));
        assert!(user["ssh_authorized_keys"][2].is_badvalue());
        let rule = user["sudo"].as_str().unwrap();
        assert!(rule.contains("/usr/bin/systemctl restart --no-block outpost-edge-client.service"), "{rule}");
        assert!(!rule.contains("NOPASSWD: ALL"), "{rule}");
        assert_eq!(meta_data["instance-id"].as_str(), Some("outpost-shelf-device-000"));
        let commands = user_data["runcmd"].as_vec().unwrap();
        assert!(
            commands.iter().any(|command| command
                .as_vec()
                .unwrap()
                .iter()
                .any(|w| w.as_str() == Some("/opt/outpost")))
        );
    }

    #[test]
    fn whatever_a_network_is_called_comes_out_as_it_is() {
        let wifi =
            Wifi { ssid: "a: \"b\" #c".into(), passphrase: "\\ {x} 'y'\t%".into(), country: "DE".into() };
        let [_, network, _] = parsed(Some(wifi));
        let wlan = &network["network"]["wifis"]["wlan0"];
        assert_eq!(wlan["access-points"]["a: \"b\" #c"]["password"].as_str(), Some("\\ {x} 'y'\t%"));
        assert_eq!(wlan["regulatory-domain"].as_str(), Some("DE"));
        let [_, wired, _] = parsed(None);
        assert!(wired["network"]["wifis"].is_badvalue());
        assert_eq!(wired["network"]["ethernets"]["eth0"]["dhcp4"].as_bool(), Some(true));
    }
}
