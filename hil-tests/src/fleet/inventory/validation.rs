//! What an inventory must fulfil.
//!
//! Names and paths of an inventory end up in commands that run on a device. They are held to characters that mean
//! nothing to a shell, so that no quoting can go wrong.

use std::collections::BTreeSet;

use input::toml_file::FileError;
use scenario::Scenario;
use wire::identity::DeviceId;

use super::names::{check_host, is_user};
use super::{Device, Inventory, Kind, Role};
use crate::fleet::boards::Board;

const LONGEST_NAME: usize = 64;

impl Inventory {
    pub(super) fn validate(&self) -> Result<(), FileError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > LONGEST_NAME || !self.name.chars().all(plain) {
            return self.wrong("name", format!("`{}`: give 1 to 64 of `a-z`, `0-9` and `-`", self.name));
        }
        if self.broker.listen.is_some() && self.broker.url.tls {
            let message = "the bench's own broker does not speak TLS; write url = \"mqtt://...\", or leave `listen` out and \
                           start a broker";
            return self.wrong("broker.listen", message);
        }
        let broker = &self.broker.url;
        if let Err(why) = check_host(&broker.host) {
            return self.wrong("broker.url", format!("`{}`: {why}", broker.host));
        }
        if broker.tls && broker.host.contains('%') {
            let message =
                "no certificate can be made out to a link-local address; name the broker by another one";
            return self.wrong("broker.url", message);
        }
        if self.devices.is_empty() {
            return self.wrong("device", "a fleet has at least one [[device]]");
        }
        let (mut ids, mut names, mut places) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for device in &self.devices {
            if device.name.as_ref().is_some_and(|name| !names.insert(name)) {
                return self.wrong_of(device, "name", "given to two devices; each needs its own");
            }
            if !ids.insert(device.id) {
                return self.wrong_of(device, "id", "given to two devices; each needs its own");
            }
            if let Err((key, what)) = Self::check_device(device) {
                return self.wrong_of(device, key, what);
            }
            // As resolvers compare names.
            let host = device.address.as_ref().map(|host| host.trim_end_matches('.').to_ascii_lowercase());
            let place = (host, device.port, &device.root);
            if device.kind == Kind::Ssh && !places.insert(place) {
                let message =
                    "another device has the same `address` and `port`; give one of them another `root`";
                return self.wrong_of(device, "address", message);
            }
        }
        Ok(())
    }

    /// The key of `device` that is wrong, and what is wrong with it.
    fn check_device(device: &Device) -> Result<(), (&'static str, String)> {
        let wrong = |key, message: &str| Err((key, message.to_owned()));
        match &device.board {
            Some(board) => drop(Board::find(board).map_err(|error| ("board", error.to_string()))?),
            None if matches!(device.kind, Kind::QemuSystem | Kind::QemuUser) => {
                return wrong("board", "an emulated device needs the profile of the board to emulate");
            }
            None => {}
        }
        match &device.address {
            None if device.kind == Kind::Ssh => {
                return wrong(
                    "address",
                    "missing; a device of kind `ssh` needs a host name or an IP address",
                );
            }
            Some(address) => {
                check_host(address).map_err(|why| ("address", format!("`{address}`: {why}")))?;
            }
            None => {}
        }
        if !is_user(&device.user) {
            let message =
                "not a user that ssh takes: letters, digits and `._-+\\@`, not `-` at its beginning";
            return Err(("user", format!("`{}`: {message}", device.user)));
        }
        if device.port == Some(0) {
            return wrong("port", "0 is no port");
        }
        if !is_root(&device.root) {
            let message = "give an absolute path of `A-Za-z0-9._-` and `/`, as in /opt/outpost";
            return Err(("root", format!("`{}`: {message}", device.root)));
        }
        if let Some(shard) = device.shard.as_ref().filter(|shard| !is_root(shard)) {
            let message = "give an absolute path of `A-Za-z0-9._-` and `/`, as in /opt/outpost/shard";
            return Err(("shard", format!("`{shard}`: {message}")));
        }
        if !device.import.is_empty() && device.kind != Kind::QemuSystem {
            return wrong(
                "import",
                "leave it out; it is for emulated boards, others keep what is imported there",
            );
        }
        let is_name = |word: &&String| is_word(word) && word.parse::<DeviceId>().is_err();
        for (key, words) in [("name", &device.name.iter().cloned().collect()), ("tags", &device.tags)] {
            if let Some(word) = words.iter().find(|word| !is_name(word)) {
                let message = "give words of `a-z`, `0-9` and `-` that are no device's id";
                return Err((key, format!("`{word}`: {message}")));
            }
        }
        if let Some(word) = device.capabilities.iter().find(|word| !is_word(word)) {
            return Err(("capabilities", format!("`{word}`: give words of `a-z`, `0-9` and `-`")));
        }
        if let Some(command) = &device.power_command {
            if device.kind == Kind::QemuSystem {
                return wrong("power", "leave it out; the bench itself switches an emulated board");
            }
            if !command.contains("{action}") {
                return wrong("power", "`{action}` is missing, which becomes on or off");
            }
            // It is started without a shell, so these would not do what they look like.
            if let Some(c) = command.replace("{action}", "").chars().find(|c| !is_plain(*c)) {
                let message = "no shell reads this command; put what needs one into a script";
                return Err(("power", format!("{c:?}: {message}")));
            }
        }
        Ok(())
    }

    /// Holds the inventory against a scenario: every device is of its fleet, and has the role that it draws.
    ///
    /// # Errors
    /// [`FileError::Invalid`] names the device and the key.
    pub fn check(&self, scenario: &Scenario) -> Result<(), FileError> {
        let attackers = scenario.attackers();
        for device in &self.devices {
            if device.id.0 >= scenario.fleet.devices {
                let message = format!(
                    "not of this fleet: {} has fleet.devices = {}, up to {}",
                    scenario.name,
                    scenario.fleet.devices,
                    DeviceId(scenario.fleet.devices.saturating_sub(1))
                );
                return self.wrong_of(device, "id", message);
            }
            let drawn = if attackers.contains(&device.id) { Role::Compromised } else { Role::Benign };
            if device.role.is_some_and(|role| role != drawn) {
                let names: Vec<String> = attackers.iter().map(ToString::to_string).collect();
                let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                let message = format!(
                    "seed {} of {} compromises other devices ({names}); leave `role` out, or change the seed",
                    scenario.seed, scenario.name
                );
                return self.wrong_of(device, "role", message);
            }
        }
        Ok(())
    }

    fn wrong(&self, key: &str, message: impl Into<String>) -> Result<(), FileError> {
        Err(FileError::invalid(&self.file, key, message))
    }

    fn wrong_of(&self, device: &Device, key: &str, message: impl Into<String>) -> Result<(), FileError> {
        self.wrong(&format!("{}: {key}", device.id), message)
    }
}

fn is_root(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let level = |level: &str| {
        !level.is_empty()
            && !level.starts_with('-')
            && ![".", ".."].contains(&level)
            && level.chars().all(plain)
    };
    text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(level))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || " ./_-:=,@+%".contains(c)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::Power;
    use super::*;

    const SHELF: &str = r#"
name = "shelf"
[broker]
url = "mqtts://192.168.1.10:8883"
[[device]]
id = "device-000"
kind = "ssh"
board = "pi-4b"
address = "192.168.1.21"
"#;

    fn error(text: &str) -> String {
        Inventory::parse("fleet.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_with_a_device_is_named() {
        for (line, parts) in [
            ("address = \"192.168.1.21;reboot\"", ["device-000: address", "neither a host name"]),
            ("address = \"127.0.0.1:22\"", ["device-000: address", "`port = 22`"]),
            ("address = \"-oProxyCommand=x\"", ["device-000: address", "neither a host name"]),
            ("user = \"root; rm\"", ["device-000: user", "not a user that ssh takes"]),
            ("port = 0", ["device-000: port", "0 is no port"]),
            ("root = \"opt\"", ["device-000: root", "absolute path"]),
            ("root = \"/opt/$(id)\"", ["device-000: root", "absolute path"]),
            ("root = \"/opt/../etc\"", ["device-000: root", "absolute path"]),
            ("root = \"/\"", ["device-000: root", "absolute path"]),
            ("name = \"Pi Kitchen\"", ["device-000: name", "Pi Kitchen"]),
            ("name = \"device-007\"", ["device-000: name", "no device's id"]),
            ("tags = [\"\"]", ["device-000: tags", "a-z"]),
            ("capabilities = [\"Power On\"]", ["device-000: capabilities", "Power On"]),
            ("power = \"uhubctl -a on\"", ["device-000: power", "{action}"]),
            ("power = \"a {action}; b\"", ["device-000: power", "no shell"]),
            ("board = \"pi-9\"", ["device-000: board", "pi-4b"]),
        ] {
            let key = line.split(' ').next().unwrap();
            // The fleet has a name of its own.
            let stays = |old: &&str| old.starts_with("name ") || !old.starts_with(&format!("{key} "));
            let kept: Vec<&str> = SHELF.lines().filter(stays).collect();
            let error = error(&format!("{}\n{line}\n", kept.join("\n")));
            for part in ["fleet.toml: "].iter().chain(&parts) {
                assert!(error.contains(part), "no `{part}` in: {error}");
            }
        }
    }

    #[test]
    fn the_benchs_own_broker_speaks_no_tls() {
        let with = |text: &str| text.replace("[[device]]", "listen = \"0.0.0.0:1883\"\n[[device]]");
        assert!(error(&with(SHELF)).contains("broker.listen: "));
        let plain = Inventory::parse("fleet.toml", &with(&SHELF.replace("mqtts:", "mqtt:"))).unwrap();
        assert_eq!(plain.broker.listen.unwrap().port(), 1883);
        assert!(
            error(&SHELF.replace("[[device]]", "listen = \"pi\"\n[[device]]")).contains("fleet.toml:5: ")
        );
    }

    #[test]
    fn what_does_not_parse_is_named_with_its_line() {
        for (text, parts) in [
            (SHELF.replace("board", "bored"), ["fleet.toml:8: ", "bored"]),
            (SHELF.replace("\"ssh\"", "\"telnet\""), ["fleet.toml:7: ", "qemu-system"]),
            (SHELF.replace("device-000", "device-0"), ["fleet.toml:6: ", "device-007"]),
            (SHELF.replace("mqtts:", "https:"), ["fleet.toml:4: ", "mqtt://HOST"]),
            (format!("{SHELF}service = \"cron\"\n"), ["fleet.toml:10: ", "systemd"]),
        ] {
            let error = error(&text);
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn two_devices_never_share_a_name_or_a_place() {
        let second = SHELF.split_once("[[device]]").unwrap().1;
        let twice = error(&format!("{SHELF}[[device]]{second}"));
        assert!(twice.contains("device-000: id: given to two devices"), "{twice}");
        let second = second.replace("device-000", "device-001");
        let same_place = error(&format!("{SHELF}[[device]]{second}"));
        assert!(same_place.contains("device-001: address: another device"), "{same_place}");
        let elsewhere = format!("{SHELF}[[device]]{second}root = \"/opt/second\"\n");
        assert_eq!(Inventory::parse("fleet.toml", &elsewhere).unwrap().devices.len(), 2);
        let name = "name = \"pi-kitchen\"\n";
        let named = error(&format!("{SHELF}{name}[[device]]{second}root = \"/opt/second\"\n{name}"));
        assert!(named.contains("device-001: name: given to two devices"), "{named}");
    }

    #[test]
    fn devices_are_chosen_by_id_name_and_tag() {
        let mut text = "name = \"home\"\n[broker]\nurl = \"mqtt://pi\"\n".to_owned();
        for (id, name) in [(0, "pi-kitchen"), (2, "pi-attic"), (3, "pi-cellar")] {
            let tags = if id == 0 { "" } else { "tags = [\"cold\"]\n" };
            writeln!(
                text,
                "[[device]]\nid = \"device-00{id}\"\nkind = \"native\"\nname = \"{name}\"\n{tags}"
            )
            .unwrap();
        }
        let inventory = Inventory::parse("home.toml", &text).unwrap();
        let choose = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            inventory.choose(&words, 4).map(|ids| ids.into_iter().map(|id| id.0).collect::<Vec<_>>())
        };
        assert_eq!(choose(&["pi-kitchen"]), Ok(vec![0]));
        assert_eq!(choose(&["cold", "device-000"]), Ok(vec![0, 2, 3]));
        assert_eq!(choose(&["device-001"]), Ok(vec![1]), "the scenario has it, if nobody else");
        for unknown in ["device-004", "pi-garden", ""] {
            let error = choose(&["cold", unknown]).unwrap_err();
            assert!(error.starts_with(&format!("{unknown}: not in home.toml")), "{error}");
        }
        assert_eq!(inventory.devices[0].label(), "device-000 (pi-kitchen)");
    }

    #[test]
    fn a_device_of_kind_ssh_needs_an_address_and_an_emulated_one_a_board() {
        let without =
            |key: &str| SHELF.lines().filter(|l| !l.starts_with(key)).collect::<Vec<_>>().join("\n");
        assert!(error(&without("address")).contains("device-000: address: missing"));
        let powered = SHELF.replace("\"ssh\"", "\"qemu-system\"") + "power = \"a {action}\"\n";
        assert!(error(&powered).contains("device-000: power: leave it out"));
        let emulated = without("board").replace("\"ssh\"", "\"qemu-user\"");
        assert!(error(&emulated).contains("device-000: board: an emulated device"));
    }

    #[test]
    fn the_power_command_is_split_into_words() {
        let text = format!("{SHELF}power = \"uhubctl -l 1-1 -p 2 -a {{action}}\"\n");
        let device = &Inventory::parse("fleet.toml", &text).unwrap().devices[0];
        let words = ["uhubctl", "-l", "1-1", "-p", "2", "-a", "off"].map(ToOwned::to_owned).to_vec();
        assert_eq!(device.power(Power::Off), Some(words));
    }

    #[test]
    fn ids_and_roles_are_held_against_the_scenario() {
        let scenario = |seed: u32| {
            let text = format!(
                "name = \"s\"\nseed = {seed}\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                 [fleet]\ndevices = 3\ncompromised = 1\n[attack]\nkind = \"label-flip\"\n"
            );
            Scenario::parse("s.toml", &text, &[]).unwrap()
        };
        let of = |text: &str| Inventory::parse("fleet.toml", text).unwrap();
        let outside = of(&SHELF.replace("device-000", "device-003")).check(&scenario(1)).unwrap_err();
        assert!(outside.to_string().contains("device-003: id: not of this fleet"), "{outside}");
        let compromised = scenario(1).attackers().into_iter().next().unwrap();
        let expecting = |role: &str| {
            let text = SHELF.replace("device-000", &compromised.to_string());
            of(&format!("{text}role = \"{role}\"\n")).check(&scenario(1))
        };
        assert!(expecting("compromised").is_ok());
        let error = expecting("benign").unwrap_err().to_string();
        assert!(error.contains("role: seed 1") && error.contains(&compromised.to_string()), "{error}");
    }

    #[test]
    fn the_examples_are_valid() {
        for text in [
            include_str!("../../../../firmware-configs/fleets/loopback.toml"),
            include_str!("../../../../firmware-configs/fleets/shelf.toml"),
            include_str!("../../../../firmware-configs/fleets/emulated-boards.toml"),
        ] {
            Inventory::parse("example.toml", text).unwrap();
        }
    }
}
