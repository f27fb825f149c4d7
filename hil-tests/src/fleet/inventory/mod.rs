//! The inventory of a fleet: which devices there are, what they are, and how to reach them.
//!
//! ```
//! use hil_tests::fleet::inventory::Inventory;
//!
//! let inventory = Inventory::parse("shelf.toml", r#"
//!     name = "shelf"
//!     [broker]
//!     url = "mqtts://192.168.1.10:8883"
//!     [[device]]
//!     id = "device-000"
//!     kind = "ssh"
//!     board = "pi-4b"
//!     address = "192.168.1.21"
//! "#)?;
//! assert_eq!(inventory.devices[0].root, "/opt/outpost");
//! # Ok::<(), input::toml_file::FileError>(())
//! ```
//!
//! `firmware-configs/fleets` has examples with every key explained. An unknown key is an error.

mod emulated;
mod names;
mod validation;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use input::toml_file::{self, FileError};
use link::BrokerAddress;
use program::CommandLine;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use wire::identity::DeviceId;

use crate::fleet::boards::Board;
pub(crate) use emulated::as_seen_within;
pub(crate) use names::can_be_made;

/// A fleet: see the module documentation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Inventory {
    /// What the fleet is called: `[a-z0-9-]`, at most 64 characters.
    pub name: String,
    /// Where the devices find their broker.
    pub broker: Broker,
    /// The devices, in the order of the file.
    #[serde(rename = "device", default)]
    pub devices: Vec<Device>,
    /// What errors call the file.
    #[serde(skip)]
    file: String,
}

/// The broker of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Broker {
    /// Its address, as the devices reach it.
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "String")]
    pub url: BrokerAddress,
    /// Where the bench's own broker listens on this machine; without it, the broker is somebody else's business. Port 0
    /// is a free one, which then stands in for that of `url`. To name an address beyond this machine is to trust the
    /// network: whoever reaches that broker can be any device and the aggregator as well.
    #[schemars(with = "Option<String>")]
    pub listen: Option<SocketAddr>,
}

/// One device of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Device {
    /// Its name, also in topics and in its certificate.
    #[serde(deserialize_with = "from_text")]
    #[schemars(with = "String")]
    pub id: DeviceId,
    /// What people call it, as in `pi-kitchen`: no other device's name, and none's id.
    pub name: Option<String>,
    /// Words by which it is chosen together with others.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// How it is there.
    pub kind: Kind,
    /// Its board profile; without one, a machine of this one's architecture.
    pub board: Option<String>,
    /// Host name or IP address, for ssh.
    pub address: Option<String>,
    /// Who logs in, for ssh.
    #[serde(default = "outpost")]
    pub user: String,
    /// The port of sshd; without one, what the user's own ssh configuration says.
    pub port: Option<u16>,
    /// What hardware cases may ask for.
    #[serde(default)]
    pub capabilities: BTreeSet<String>,
    /// The command that switches its power: see [`Device::power`].
    #[serde(rename = "power", default)]
    power_command: Option<String>,
    /// Programs with their arguments that its client may start, where the scenario's attack names exactly such a one.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub allow_program: Vec<CommandLine>,
    /// Where its shard lies, of a scenario whose data lie on the devices; if nobody says it, `shard` in the folder `root`.
    pub shard: Option<String>,
    /// Of an emulated board, which has nothing when it is switched on: what `edge-client import` is given there then, first the
    /// file, which is one of this machine.
    #[serde(default)]
    pub import: Vec<String>,
    /// How it is wired up, for people.
    pub wiring: Option<String>,
    /// What the user expects it to be; only held against the scenario's draw.
    pub role: Option<Role>,
    /// What runs the client on it.
    #[serde(default)]
    pub service: Service,
    /// The folder that holds everything of this project on it.
    #[serde(default = "opt_outpost")]
    pub root: String,
}

/// How a device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A machine that is reached over ssh.
    Ssh,
    /// A whole machine, emulated.
    QemuSystem,
    /// A process of a foreign architecture, emulated.
    QemuUser,
    /// A process of this machine.
    Native,
}

impl Kind {
    /// Whether devices of this kind are processes of this machine.
    pub fn is_local(self) -> bool {
        matches!(self, Kind::Native | Kind::QemuUser)
    }
}

/// What runs the client on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// systemd, which starts it again after a fall and after a boot.
    #[default]
    Systemd,
    /// Nothing: a process with a file that holds its number.
    Process,
}

/// What a device may do in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It follows the protocol.
    Benign,
    /// It attacks, where the scenario says so.
    Compromised,
}

/// What to do with a device's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Switch it on.
    On,
    /// Switch it off.
    Off,
}

impl Power {
    /// What stands in for `{action}`.
    pub fn name(self) -> &'static str {
        match self {
            Power::On => "on",
            Power::Off => "off",
        }
    }
}

impl Service {
    /// What the inventory calls it.
    pub fn name(self) -> &'static str {
        match self {
            Service::Systemd => "systemd",
            Service::Process => "process",
        }
    }
}

impl Device {
    /// What people read: its id, and the name that they gave it.
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => format!("{} ({name})", self.id),
            None => self.id.to_string(),
        }
    }

    /// Where its shard lies, of a scenario whose data lie on the devices.
    pub fn own_shard(&self) -> String {
        self.shard.clone().unwrap_or_else(|| format!("{}/shard", self.root))
    }

    /// The profile of its board, if it has one.
    pub fn profile(&self) -> Option<Board> {
        Board::find(self.board.as_deref()?).ok()
    }

    /// The profile of the board to emulate, which every emulated device of an inventory has.
    ///
    /// # Errors
    /// If it has none: it is no emulated device.
    pub(crate) fn board_to_emulate(&self) -> anyhow::Result<Board> {
        Ok(Board::find(self.board.as_deref().context("an emulated device has a board")?)?)
    }

    /// The command that does `action`, word by word, to be started without a shell; `None` if the inventory knows none.
    pub fn power(&self, action: Power) -> Option<Vec<String>> {
        let command = self.power_command.as_ref()?.replace("{action}", action.name());
        Some(command.split_whitespace().map(ToOwned::to_owned).collect())
    }
}

impl Inventory {
    /// Reads and validates the inventory in `path`.
    ///
    /// # Errors
    /// [`FileError`] with the file and the line or the key.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        Inventory::parse(&path.display().to_string(), &toml_file::read(path)?)
    }

    /// As [`Inventory::load`], from text; `file` is what errors call it.
    ///
    /// # Errors
    /// As [`Inventory::load`].
    pub fn parse(file: &str, text: &str) -> Result<Self, FileError> {
        let mut inventory: Inventory = toml_file::parse(file, text)?;
        file.clone_into(&mut inventory.file);
        inventory.validate()?;
        Ok(inventory)
    }

    /// Whether all devices are processes of this machine.
    pub fn is_local(&self) -> bool {
        self.devices.iter().all(|device| device.kind.is_local())
    }

    /// The devices that `words` choose, each an id, a name or a tag. An id need not be of this fleet if it is below
    /// `devices`, the number that a scenario has.
    ///
    /// # Errors
    /// The first word that chooses none, and what would.
    pub fn choose(&self, words: &[String], devices: u32) -> Result<BTreeSet<DeviceId>, String> {
        let mut chosen = BTreeSet::new();
        for word in words {
            let is_meant = |device: &&Device| {
                device.name.as_ref() == Some(word)
                    || device.tags.contains(word)
                    || device.id.to_string() == *word
            };
            let meant = self.devices.iter().filter(is_meant).map(|device| device.id);
            let meant: Vec<DeviceId> =
                meant.chain(word.parse().ok().filter(|id: &DeviceId| id.0 < devices)).collect();
            if meant.is_empty() {
                return Err(format!("{word}: not in {}; give ids, names or tags of it", self.file));
            }
            chosen.extend(meant);
        }
        Ok(chosen)
    }

    /// What errors call the file.
    pub fn file(&self) -> &str {
        &self.file
    }
}

fn outpost() -> String {
    "outpost".to_owned()
}

fn opt_outpost() -> String {
    "/opt/outpost".to_owned()
}

/// A value that is written as text of its own kind.
fn from_text<'de, D: Deserializer<'de>, T: std::str::FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
