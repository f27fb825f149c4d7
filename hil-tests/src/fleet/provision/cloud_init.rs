//! The files for a board's SD card, with which its first boot makes a host that `hil deploy` can reach.
//!
//! They are three files for the boot partition of a current image of Raspberry Pi OS. The deployment brings the rest, binary
//! and configuration: a card holds no key of the fleet.

use anyhow::ensure;

use super::folder::{Folder, Secrecy};
use super::wifi::Wifi;
use crate::fleet::inventory::{Device, Inventory, can_be_made};

/// The unit that runs the client.
pub(crate) const UNIT: &str = "outpost-edge-client.service";
const USER_DATA: &str = include_str!("../../../../firmware-configs/cloud-init/user-data");
const NETWORK_CONFIG: &str = include_str!("../../../../firmware-configs/cloud-init/network-config");
const WIFI_CONFIG: &str = include_str!("../../../../firmware-configs/cloud-init/network-config-wifi");
const META_DATA: &str = include_str!("../../../../firmware-configs/cloud-init/meta-data");

/// What the first boot sets up.
#[derive(Clone, Debug)]
pub struct FirstBoot {
    /// The public keys that may log in: see [`login_keys`](super::login_keys).
    pub login_keys: Vec<String>,
    /// The wireless network, if the boards have one.
    pub wifi: Option<Wifi>,
}

/// Makes sure that the first boot can do for every device what it is to do.
pub(super) fn check(inventory: &Inventory) -> anyhow::Result<()> {
    inventory.devices.iter().try_for_each(|device| {
        ensure!(
            can_be_made(&device.user),
            "{}: {}: user: `{}`: the first boot cannot make this user: give a name of `a-z`, `0-9` and `._-` that no system \
             has, as in outpost, or set the board up by hand and leave --ssh-key out",
            inventory.file(),
            device.id,
            device.user
        );
        Ok(())
    })
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
    let user_data = [
        ("hostname", quoted(&device.id.to_string())),
        ("user", quoted(&device.user)),
        ("authorized_keys", serde_json::json!(first_boot.login_keys).to_string()),
        ("root", quoted(&device.root)),
        ("sudo", quoted(&sudo_rule(device))),
    ];
    let (network, secrecy) = match &first_boot.wifi {
        None => (NETWORK_CONFIG.to_owned(), Secrecy::Open),
        Some(Wifi { ssid, passphrase, country }) => {
            let words =
                [("country", quoted(country)), ("ssid", quoted(ssid)), ("passphrase", quoted(passphrase))];
            (fill(&format!("{NETWORK_CONFIG}{WIFI_CONFIG}"), &words), Secrecy::Secret)
        }
    };
    let meta_data = [("instance", quoted(&format!("outpost-{fleet}-{}", device.id)))];
    [
        ("user-data", fill(USER_DATA, &user_data), Secrecy::Open),
        ("network-config", network, secrecy),
        ("meta-data", fill(META_DATA, &meta_data), Secrecy::Open),
    ]
}

/// `template` with the words in braces filled in. What is filled in is not looked at again, whatever is in it.
fn fill(template: &str, words: &[(&str, String)]) -> String {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        text += before;
        let filled = |(word, value): &'_ (&str, String)| {
            Some((value.clone(), after.strip_prefix(word)?.strip_prefix('}')?))
        };
        let (value, after) = words.iter().find_map(filled).unwrap_or(("{".to_owned(), after));
        text += &value;
        rest = after;
    }
    text + rest
}

/// A text as a YAML scalar: a JSON string is one, whatever is in it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Exactly what a deployment runs as root.
fn sudo_rule(device: &Device) -> String {
    format!("ALL=(root) NOPASSWD: {}", root_commands(device).join(", "))
}

/// The commands that a deployment to a device with systemd runs as root: all of them, word for word.
pub(crate) fn root_commands(device: &Device) -> Vec<String> {
    let install =
        format!("/usr/bin/install -m 0644 {}/current/{UNIT} /etc/systemd/system/{UNIT}", device.root);
    let verbs = ["enable", "reset-failed", "restart --no-block", "stop"];
    let of_unit = verbs.map(|verb| format!("/usr/bin/systemctl {verb} {UNIT}"));
    [install, "/usr/bin/systemctl daemon-reload".to_owned()].into_iter().chain(of_unit).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;
    use crate::system::children::command;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMKuT1sjTgACZjNRXBcLiokslez3dkYM+rIjViy1MY24";
    /// Names and passphrases that mean something else to YAML, `wpa_supplicant` or the templates.
    const ODD: [(&str, &str); 9] = [
        ("a: \"b\" #c", "\\ {x} 'y' %"),
        ("{passphrase}", "{ssid}{country}"),
        ("yes", "00012345"),
        (" spaces ", "  spaces  "),
        ("Café ☕", "1.5e3 ~ null"),
        ("null", "0x1234567"),
        ("- a", "? b: [c, {d"),
        ("&a *b !c", "&a *b !c |>"),
        ("key", "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD"),
    ];

    fn texts(wifi: Option<Wifi>) -> [(&'static str, String); 3] {
        let text = include_str!("../../../../firmware-configs/fleets/shelf.toml");
        let inventory = Inventory::parse("shelf.toml", text).unwrap();
        let login_keys = vec![format!("{KEY} me: \"the\" #1 {{root}}"), KEY.to_owned()];
        let first_boot = FirstBoot { login_keys, wifi };
        files(&inventory.devices[0], &inventory.name, &first_boot).map(|(name, text, _)| (name, text))
    }

    fn parsed(wifi: Option<Wifi>) -> [Yaml; 3] {
        texts(wifi).map(|(name, text)| {
            assert!(!text.contains('{') || name != "meta-data", "{text}");
            let mut documents =
                YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
            assert_eq!(documents.len(), 1, "{name}");
            documents.remove(0)
        })
    }

    fn odd_networks() -> impl Iterator<Item = Wifi> {
        ODD.into_iter().map(|(ssid, passphrase)| Wifi::new(ssid, passphrase, "DE").unwrap())
    }

    #[test]
    fn the_first_boot_makes_a_host_with_the_user_that_deploys() {
        let [user_data, _, meta_data] = parsed(None);
        assert_eq!(user_data["hostname"].as_str(), Some("device-000"));
        let user = &user_data["users"][0];
        assert_eq!(user["name"].as_str(), Some("outpost"));
        let keys = &user["ssh_authorized_keys"];
        assert_eq!(keys[0].as_str(), Some(&*format!("{KEY} me: \"the\" #1 {{root}}")));
        assert_eq!(keys[1].as_str(), Some(KEY));
        assert!(keys[2].is_badvalue());
        let rule = user["sudo"].as_str().unwrap();
        assert!(rule.contains("/usr/bin/systemctl restart --no-block outpost-edge-client.service"), "{rule}");
        assert!(!rule.contains("NOPASSWD: ALL"), "{rule}");
        assert_eq!(meta_data["instance-id"].as_str(), Some("outpost-shelf-device-000"));
        let install: Vec<_> =
            user_data["runcmd"][0].as_vec().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(install.join(" "), "install -d -m 0700 -o outpost -g outpost /opt/outpost");
    }

    #[test]
    fn the_first_boot_has_the_kernel_limit_memory_and_starts_anew_once() {
        let [user_data, _, _] = parsed(None);
        let script = user_data["runcmd"][2][2].as_str().unwrap();
        assert!(
            script.contains("=/boot/firmware/cmdline.txt\n") && script.contains(" /run/outpost-reboot\n")
        );
        assert_eq!(user_data["power_state"]["condition"][2].as_str(), Some("/run/outpost-reboot"));
        let folder = tempfile::tempdir().unwrap();
        let (line, again) = (folder.path().join("cmdline.txt"), folder.path().join("reboot"));
        let script = script
            .replace("/boot/firmware/cmdline.txt", line.to_str().unwrap())
            .replace("/run/outpost-reboot", again.to_str().unwrap());
        let run = || assert!(command("sh").args(["-c", &script]).status().unwrap().success());
        run();
        assert!(!again.exists(), "a machine without such a file is left alone");
        fs::write(&line, "console=tty1 root=PARTUUID=1-02 rootwait \n").unwrap();
        run();
        let wanted = "console=tty1 root=PARTUUID=1-02 rootwait cgroup_enable=memory cgroup_memory=1\n";
        assert_eq!(fs::read_to_string(&line).unwrap(), wanted);
        fs::remove_file(&again).unwrap();
        run();
        assert!(!again.exists(), "once is enough");
        assert_eq!(fs::read_to_string(&line).unwrap(), wanted);
    }

    #[test]
    fn whatever_a_network_is_called_comes_out_as_it_is() {
        for wifi in odd_networks() {
            let [_, network, _] = parsed(Some(wifi.clone()));
            let wlan = &network["network"]["wifis"]["wlan0"];
            let password = &wlan["access-points"][wifi.ssid.as_str()]["password"];
            assert_eq!(password.as_str(), Some(wifi.passphrase.as_str()), "{network:?}");
            assert_eq!(wlan["regulatory-domain"].as_str(), Some("DE"));
        }
        let [_, wired, _] = parsed(None);
        assert!(wired["network"]["wifis"].is_badvalue());
        assert_eq!(wired["network"]["ethernets"]["eth0"]["dhcp4"].as_bool(), Some(true));
    }

    #[test]
    fn a_user_that_the_first_boot_cannot_make_is_refused() {
        for user in ["root", "DOMAIN\\\\alice", "Alice"] {
            let text = format!(
                "name = \"one\"\n[broker]\nurl = \"mqtt://pi\"\n[[device]]\nid = \"device-000\"\nkind = \"ssh\"\n\
                 address = \"pi\"\nuser = \"{user}\"\n"
            );
            let inventory = Inventory::parse("one.toml", &text).unwrap();
            let error = check(&inventory).unwrap_err();
            assert!(error.to_string().contains("one.toml: device-000: user: "), "{error}");
        }
    }

    /// Runs a program of a board's own; `None`, having said so, where it is not installed.
    fn accepts(program: &str, words: &[&str], file: &Path) -> Option<String> {
        if !link::has(program) {
            return None;
        }
        let output = command(program).args(words).arg(file).output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        assert!(output.status.success(), "{program}: {said}");
        Some(said)
    }

    #[test]
    fn netplan_takes_whatever_network_is_written_and_hands_it_to_wpa_supplicant() {
        for wifi in odd_networks().step_by(2) {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join("etc/netplan/50-cloud-init.yaml");
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &texts(Some(wifi.clone()))[1].1).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            if accepts("netplan", &["generate", "--root-dir"], root.path()).is_none() {
                return;
            }
            let written = fs::read_to_string(root.path().join("run/netplan/wpa-wlan0.conf")).unwrap();
            let is_key = wifi.passphrase.len() == 64;
            let quote = if is_key { "" } else { "\"" };
            for line in [format!("ssid=\"{}\"", wifi.ssid), format!("psk={quote}{}{quote}", wifi.passphrase)]
            {
                assert!(written.contains(&format!("  {line}\n")), "no {line} in:\n{written}");
            }
            assert!(written.contains("\ncountry=DE\n"), "{written}");
        }
    }

    #[test]
    fn cloud_init_knows_every_key_that_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("user-data");
        fs::write(&file, &texts(None)[0].1).unwrap();
        accepts("cloud-init", &["schema", "--config-file"], &file);
    }
}
