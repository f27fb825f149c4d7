//! Hardware tests as data: a case says what it needs, what runs, what goes wrong, and what must come of it.
//!
//! # Layout
//! - `case.rs`: [`Case`], a file of `hil-tests/cases`.
//! - `fit.rs`: [`fit`], whether a fleet can do a case, and which device is struck.
//! - `rig.rs`: [`Rig`], the bench that a fleet's kinds of devices need.
//! - `telemetry.rs`: [`Measurement`], what devices must report of their boards.
//! - `verdict.rs`: [`judge`], whether the result is what was expected.
//!
//! A case runs on the whole of a fleet. A case that a fleet cannot do is [`Unfit`], with the reason: never a success.

mod case;
mod fit;
mod rig;
mod telemetry;
#[cfg(test)]
mod tests;
mod verdict;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use record::StoredRun;

pub use case::{Case, Expect, Matrix, Needs};
pub use fit::{Unfit, fit};
pub use rig::Rig;
pub use telemetry::Measurement;
pub use verdict::{Reference, judge};

use crate::benches::software::Software;
use crate::benches::{Bench, Task, Watch};
use crate::data::FleetData;
use crate::fleet::inventory::{Device, Inventory};

/// Runs `case` on `fleet` into the folder `out`, beside the undisturbed run in software, and says in one line what came
/// of it.
///
/// # Errors
/// What was expected and did not come, all of it; or why the run did not take place. [`Unfit`] if the fleet cannot do it.
pub fn run(case: &Case, fleet: &Inventory, rig: &Rig, datasets: &Path, out: &Path) -> anyhow::Result<String> {
    let steps = fit(case, fleet)?;
    let bench = rig.bench(fleet, &steps)?;
    let scenario = Arc::new(case.scenario(fleet.devices.len() as u32)?);
    fleet.check(&scenario)?;
    let data = FleetData::load(&scenario, datasets)?;
    let task = |out: PathBuf| Task {
        scenario: scenario.clone(),
        data: data.clone(),
        datasets: datasets.to_owned(),
        out,
    };
    let watch = Watch { on_round: &|_| {}, stop: &AtomicBool::new(false) };
    let (here, there) = (task(out.join("run")), task(out.join("undisturbed")));
    let Some(summary) = bench.run(&here, &watch)? else { bail!("the run was stopped") };
    let undisturbed = if case.expect.same_model { Software::default().run(&there, &watch)? } else { None };
    let records = StoredRun::open(&here.out, &scenario.catalogue)
        .and_then(|run| run.records())
        .context("the run's record")?;
    let to_the_bit = fleet.devices.iter().all(is_of_this_architecture);
    let undisturbed = undisturbed.as_ref().map(|summary| Reference { summary, to_the_bit });
    judge(&case.expect, fleet, &scenario, &steps, &summary, &records, undisturbed)
}

/// Whether `device` computes as this machine does; so does one without a board, as inventories say.
fn is_of_this_architecture(device: &Device) -> bool {
    device.profile().is_none_or(|board| board.target.split('-').next() == Some(std::env::consts::ARCH))
}
