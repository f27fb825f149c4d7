//! Whether a fleet can do a case.

use wire::identity::DeviceId;

use super::Case;
use crate::faults::{Fault, Mosquitto, Step, Surroundings, Target};
use crate::fleet::inventory::{Device, Inventory, Kind, Power, Service};

/// What a fleet lacks for a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// The steps of `case` on `fleet`: as they stand, each with the device that it strikes. Where a step names none, that is
/// the first that has what the fault and the case need.
///
/// # Errors
/// [`Unfit`] says what is lacking.
pub fn fit(case: &Case, fleet: &Inventory) -> Result<Vec<Step>, Unfit> {
    let devices = fleet.devices.len();
    if devices < case.needs.devices as usize {
        return Err(Unfit(format!("needs {} devices, and {} has {devices}", case.needs.devices, fleet.name)));
    }
    // Who takes part is known to the scenario by number.
    let mut ids: Vec<u32> = fleet.devices.iter().map(|device| device.id.0).collect();
    ids.sort_unstable();
    if !ids.iter().copied().eq(0..devices as u32) {
        let last = DeviceId(devices as u32 - 1);
        return Err(Unfit(format!("needs devices named device-000 to {last} without a gap")));
    }
    if case.steps.iter().all(|step| step.fault.target() != Target::Device) {
        // Nobody is struck; somebody must be what the case is about.
        first(case, fleet, None)?;
    }
    case.steps.iter().map(|step| struck(case, fleet, step)).collect()
}

fn struck(case: &Case, fleet: &Inventory, step: &Step) -> Result<Step, Unfit> {
    if let Fault::WrongClock { offset } = &step.fault {
        Surroundings::wrong_clock(offset).map_err(|error| Unfit(format!("needs faketime: {error}")))?;
    }
    match step.fault.target() {
        Target::Aggregator => {}
        Target::Broker if is_reached_through_the_bench(fleet) => {
            if Mosquitto::find().is_none() {
                return Err(Unfit("needs mosquitto: it is not installed".to_owned()));
            }
        }
        Target::Broker => return Err(Unfit("needs a broker that this machine may end".to_owned())),
        Target::Device if step.device.is_some() => {
            let named = fleet.devices.iter().find(|device| step.device == Some(device.id));
            return match named {
                Some(device) if has(case, fleet, device, step.fault.needs()) => Ok(step.clone()),
                Some(device) => Err(lacking(case, &device.id.to_string(), step.fault.needs())),
                None => Err(Unfit("needs a device that this fleet has not".to_owned())),
            };
        }
        Target::Device => {
            let device = Some(first(case, fleet, step.fault.needs())?);
            return Ok(Step { device, ..step.clone() });
        }
    }
    Ok(step.clone())
}

fn first(case: &Case, fleet: &Inventory, need: Option<&str>) -> Result<DeviceId, Unfit> {
    let device = fleet.devices.iter().find(|device| has(case, fleet, device, need));
    device.map(|device| device.id).ok_or_else(|| lacking(case, "a device", need))
}

/// Whether `device` is what `case` asks for, and has the capability that is needed on top.
fn has(case: &Case, fleet: &Inventory, device: &Device, need: Option<&str>) -> bool {
    let needs = &case.needs;
    let board = device.profile();
    let measures = |sensor| board.as_ref().is_some_and(|board| board.sensors.contains(sensor));
    (needs.kinds.is_empty() || needs.kinds.contains(&device.kind))
        && needs.capabilities.iter().all(|word| can(fleet, device, word))
        && needs.sensors.iter().all(measures)
        && need.is_none_or(|word| can(fleet, device, word))
}

/// Whether `device` has a capability: by what it is, or as its inventory says.
fn can(fleet: &Inventory, device: &Device, word: &str) -> bool {
    let by_nature = match word {
        "process" => true,
        // systemd starts a client as its unit says, and only once.
        "start" => device.kind != Kind::Ssh || device.service == Service::Process,
        "link" => is_reached_through_the_bench(fleet),
        // A static program, as an emulator is, takes the time from the kernel and from nobody else.
        "clock" => device.kind == Kind::Native,
        "power" => device.kind == Kind::QemuSystem || device.power(Power::Off).is_some(),
        _ => false,
    };
    by_nature || device.capabilities.contains(word)
}

/// Whether the devices reach the bench's own broker, and so whatever the bench puts in its place.
fn is_reached_through_the_bench(fleet: &Inventory) -> bool {
    fleet.is_local() || fleet.broker.listen.is_some()
}

fn lacking(case: &Case, who: &str, need: Option<&str>) -> Unfit {
    let needs = &case.needs;
    let words = needs.capabilities.iter().map(String::as_str).chain(need);
    let mut parts: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    parts.extend((!needs.kinds.is_empty()).then(|| format!("kind {:?}", needs.kinds)));
    parts.extend(needs.sensors.iter().map(|sensor| format!("sensor {sensor:?}")));
    Unfit(format!("needs {who} with {}", parts.join(", ")).to_lowercase())
}
