//! What is shown of a fleet.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use wire::Status;
use wire::identity::DeviceId;

use super::LastStatus;
use crate::fleet::inventory::{Device, Inventory};
use crate::terminal::table::align;

/// Whether a device is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// It is connected to the broker.
    Online,
    /// It has left, or the broker has lost it.
    Offline,
    /// The broker has nothing of it.
    NeverSeen,
}

/// What is known of a device. What it did not tell is absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceState {
    /// The device.
    pub device: String,
    /// What people call it.
    pub name: Option<String>,
    /// Its board, as the inventory has it.
    pub board: Option<String>,
    /// Where ssh finds it.
    pub address: Option<String>,
    /// Whether it is there.
    pub presence: Presence,
    /// When it was heard last, in seconds since 1970: by this machine's clock, or by its own if that was before.
    pub heard_unix: Option<u64>,
    /// Version of its client.
    pub version: Option<String>,
    /// What else it told.
    #[serde(flatten)]
    pub details: Details,
}

/// What a device tells of its work and its board.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// The run that it takes part in, or took part in last.
    pub run: Option<String>,
    /// The last round whose update was accepted.
    pub round: Option<u32>,
    /// The release that was deployed.
    pub release: Option<Box<str>>,
    /// Model of the board.
    pub model: Option<Box<str>>,
    /// Its processor, as `uname -m` calls it.
    pub architecture: Option<Box<str>>,
    /// The release of its kernel.
    pub kernel: Option<Box<str>>,
    /// SHA-256 of the client.
    pub client_sha256: Option<String>,
    /// Of the processor, in degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// What slows the processor down or has done so, as the firmware calls it; empty if nothing does.
    pub throttling: Option<Vec<String>>,
    /// Resident memory of the client, in KiB.
    pub rss_kib: Option<u32>,
    /// What went wrong last, and was not made up for since.
    pub last_error: Option<String>,
    /// When that was, in seconds since 1970, by its own clock.
    pub last_error_unix: Option<u64>,
}

/// The details of a status.
fn details(status: &Status) -> Details {
    let (told, hardware) = (&status.telemetry, *status.hardware.clone());
    Details {
        run: status.run.map(|run| run.to_string()),
        round: status.delivered,
        release: hardware.release,
        model: hardware.model,
        architecture: hardware.architecture,
        kernel: hardware.kernel,
        client_sha256: hardware.client.map(|digest| digest.to_string()),
        temperature_celsius: told.celsius(),
        throttling: told.throttled.map(|flags| flags.now().map(ToOwned::to_owned).collect()),
        rss_kib: told.rss_kib,
        last_error: status.error.as_deref().map(ToOwned::to_owned),
        last_error_unix: status.error.as_ref().and(status.error_time),
    }
}

/// The state of every device of a fleet, in the order of its inventory.
pub fn states(inventory: &Inventory, latest: &BTreeMap<DeviceId, LastStatus>) -> Vec<DeviceState> {
    let state = |device: &Device| {
        let heard = latest.get(&device.id);
        let status = heard.map(|heard| &heard.status);
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs());
        DeviceState {
            device: device.id.to_string(),
            name: device.name.clone(),
            board: device.board.clone(),
            address: device.address.clone(),
            presence: match status {
                Some(status) if status.online => Presence::Online,
                Some(_) => Presence::Offline,
                None => Presence::NeverSeen,
            },
            heard_unix: heard.and_then(|heard| heard.at.and_then(seconds).or(heard.status.time)),
            version: status.map(|status| status.version.clone()),
            details: status.map(details).unwrap_or_default(),
        }
    };
    inventory.devices.iter().map(state).collect()
}

/// A column: its title, and what it shows of a device by the time that it is.
struct Column {
    title: &'static str,
    show: fn(&DeviceState, SystemTime) -> Option<String>,
    /// Which columns a terminal is too narrow for first.
    dispensable: u32,
}

/// The last one is cut where it is too long.
const COLUMNS: [Column; 14] = [
    Column { title: "device", show: |state, _| Some(state.device.clone()), dispensable: 0 },
    Column { title: "name", show: |state, _| state.name.clone(), dispensable: 2 },
    Column { title: "state", show: |state, _| Some(presence(state).to_owned()), dispensable: 0 },
    Column { title: "heard", show: |state, now| state.heard_unix.map(|at| age(at, now)), dispensable: 1 },
    Column { title: "run", show: |state, _| state.details.run.clone(), dispensable: 6 },
    Column {
        title: "round",
        show: |state, _| state.details.round.map(|round| round.to_string()),
        dispensable: 0,
    },
    Column {
        title: "release",
        show: |state, _| state.details.release.as_deref().map(str::to_owned),
        dispensable: 5,
    },
    Column { title: "address", show: |state, _| state.address.clone(), dispensable: 7 },
    Column { title: "board", show: |state, _| state.board.clone(), dispensable: 8 },
    Column { title: "version", show: |state, _| state.version.clone(), dispensable: 9 },
    Column {
        title: "°C",
        show: |state, _| state.details.temperature_celsius.map(|celsius| format!("{celsius:.1}")),
        dispensable: 3,
    },
    Column { title: "throttling", show: |state, _| throttling(state), dispensable: 4 },
    Column {
        title: "RSS",
        show: |state, _| {
            state.details.rss_kib.map(|kib| indicatif::BinaryBytes(u64::from(kib) << 10).to_string())
        },
        dispensable: 10,
    },
    Column { title: "last error", show: error, dispensable: 0 },
];

/// What stands between two columns.
const GAP: usize = 2;
/// The least that is shown of an error, in characters.
const LEAST: usize = 16;

/// The states as a table for a terminal of so many characters in a line, `now`; all of it where that is not known.
pub fn table(states: &[DeviceState], width: Option<usize>, now: SystemTime) -> String {
    let cells = |column: &Column| -> Vec<String> {
        let show = |state| (column.show)(state, now).unwrap_or_else(|| "-".to_owned());
        [column.title.to_owned()].into_iter().chain(states.iter().map(show)).collect()
    };
    let longest = |cells: &[String]| cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let mut columns: Vec<(u32, Vec<String>)> =
        COLUMNS.iter().map(|column| (column.dispensable, cells(column))).collect();
    // What nobody has is no column; only names are not had by all fleets.
    columns.retain(|(dispensable, cells)| *dispensable != 2 || cells[1..].iter().any(|cell| cell != "-"));
    if let Some(width) = width {
        let taken = |columns: &[(u32, Vec<String>)]| -> usize {
            let (errors, others) = columns
                .split_last()
                .map_or((0, columns), |(last, others)| (longest(&last.1).min(LEAST), others));
            others.iter().map(|(_, cells)| longest(cells) + GAP).sum::<usize>() + errors
        };
        while taken(&columns) > width {
            let least = columns.iter().map(|(dispensable, _)| *dispensable).max().filter(|most| *most > 0);
            let Some(least) = least else { break };
            columns.retain(|(dispensable, _)| *dispensable != least);
        }
        if let Some((last, others)) = columns.split_last_mut() {
            let before: usize = others.iter().map(|(_, cells)| longest(cells) + GAP).sum();
            let left = width.saturating_sub(before).max(LEAST);
            last.1.iter_mut().for_each(|cell| *cell = cut(cell, left));
        }
    }
    let lines: Vec<Vec<String>> = (0..=states.len())
        .map(|line| columns.iter().map(|(_, cells)| cells[line].clone()).collect())
        .collect();
    align(&lines)
}

fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

fn presence(state: &DeviceState) -> &'static str {
    match state.presence {
        Presence::Online => "online",
        Presence::Offline => "offline",
        Presence::NeverSeen => "never seen",
    }
}

fn throttling(state: &DeviceState) -> Option<String> {
    state.details.throttling.as_ref().map(|causes| match causes.as_slice() {
        [] => "none".to_owned(),
        causes => causes.join(", "),
    })
}

/// The last error, and how old it is.
fn error(state: &DeviceState, now: SystemTime) -> Option<String> {
    let error = state.details.last_error.as_ref()?;
    let age = state.details.last_error_unix.map(|at| format!("{} ago: ", age(at, now)));
    Some(format!("{}{error}", age.unwrap_or_default()))
}

/// How long ago `unix` was. A board's clock may be ahead.
fn age(unix: u64, now: SystemTime) -> String {
    let then = UNIX_EPOCH.checked_add(Duration::from_secs(unix));
    let seconds = then.and_then(|then| now.duration_since(then).ok()).map_or(0, |age| age.as_secs());
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use wire::identity::{Digest, RunId};
    use wire::{Hardware, PROTOCOL_VERSION, Telemetry, Throttling};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn shown() -> Vec<DeviceState> {
        let text = include_str!("../../../../firmware-configs/fleets/shelf.toml");
        let inventory = Inventory::parse("shelf.toml", text).unwrap();
        let heard = |device: u32, online: bool| {
            let status = Status {
                protocol: PROTOCOL_VERSION,
                device: DeviceId(device),
                boot: 1,
                up_ms: 0,
                online,
                scenario: Digest::of(b""),
                shard: Digest::of(b""),
                examples: 1,
                version: "0.1.0".into(),
                delivered: Some(7),
                telemetry: Telemetry {
                    rss_kib: Some(10 << 10),
                    temperature: Some(615),
                    throttled: Some(Throttling(0x5_0001)),
                    ..Telemetry::default()
                },
                error: (!online).then(|| "update of device-001 in round 8: refused: late".into()),
                error_time: Some(NOW - 300),
                run: Some(RunId(0xabc)),
                time: Some(NOW - 7300),
                hardware: Box::new(Hardware {
                    release: Some("20260102-101500-1a2b3c4d".into()),
                    ..Hardware::default()
                }),
            };
            // The first has spoken while this program listened.
            (DeviceId(device), LastStatus { status, at: online.then(|| now() - Duration::from_secs(5)) })
        };
        states(&inventory, &[heard(0, true), heard(1, false)].into())
    }

    fn lines(width: Option<usize>) -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        table(&shown(), width, now()).lines().map(words).collect()
    }

    #[test]
    fn a_device_is_online_or_offline_or_has_never_been_seen() {
        let presences: Vec<Presence> = shown().iter().map(|state| state.presence).collect();
        assert_eq!(presences, [Presence::Online, Presence::Offline, Presence::NeverSeen]);
        let lines = lines(None);
        let first = "device-000 pi-kitchen online 5 s 0000000000000abc 7 20260102-101500-1a2b3c4d 192.168.1.21 pi-4b \
                     0.1.0 61.5 under-voltage 10.00 MiB -";
        assert_eq!(lines[1], first);
        let late = "5 min ago: update of device-001 in round 8: refused: late";
        assert!(lines[2].contains("offline 2 h") && lines[2].ends_with(late), "{}", lines[2]);
        assert!(lines[3].ends_with("never seen - - - - device-002.local zero-2-w - - - - -"), "{}", lines[3]);
    }

    #[test]
    fn a_narrow_terminal_gets_fewer_columns_and_no_line_is_wider_than_it() {
        for width in [60, 80, 100, 120, 160] {
            let table = table(&shown(), Some(width), now());
            assert!(table.lines().all(|line| line.chars().count() <= width), "{width}:\n{table}");
        }
        let narrow = lines(Some(80));
        assert!(narrow[0].starts_with("device") && narrow[0].ends_with("last error"), "{}", narrow[0]);
        assert!(narrow[0].contains("heard") && !narrow[0].contains("RSS"), "{}", narrow[0]);
        assert!(narrow[2].contains('…'), "{}", narrow[2]);
        assert_eq!(lines(Some(1000)), lines(None));
    }

    #[test]
    fn ages_are_rough() {
        let of = |seconds: u64| age(NOW - seconds, now());
        assert_eq!([5, 119, 121, 7300, 200_000].map(of), ["5 s", "119 s", "2 min", "2 h", "2 d"]);
        assert_eq!((age(NOW + 50, now()), age(u64::MAX, now())), ("0 s".to_owned(), "0 s".to_owned()));
    }
}
