//! `hil agree`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use scenario::catalogue::Catalogue;

use super::common::{ArchArgs, Common, DeviceArg, Ending, FleetArgs, On, OwnShardsArg, UsageError};
use crate::benches::Task;
use crate::benches::software::Faults;
use crate::experiments::agreement::{Outcome, TOLERANCE, check, table};
use crate::system::stop::Stop;

/// Run one scenario on several benches, and say how far the results lie apart
///
///   cargo hil agree hil-tests/scenarios/emulated-attack.toml
///   cargo hil agree scenario.toml --on software,processes,emulated --arch aarch64 --set rounds=20
///   cargo hil agree scenario.toml --on software,batched --device cuda:0
///   cargo hil agree scenario.toml --on software,boards --fleet shelf.toml --provisioned fleet
///
/// The emulated bench runs once for each processor of --arch, with all devices of that processor. Prints test errors
/// and the drift of the model's parameters beside the first bench. Fails if a test error is further from the first
/// bench's than --tolerance.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct AgreeArgs {
    /// The scenario file
    scenario: PathBuf,
    /// The benches; the others are held against the first
    #[arg(long, value_name = "BENCHES", value_delimiter = ',', default_value = "software,emulated")]
    on: Vec<On>,
    #[command(flatten)]
    arch: ArchArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    device: DeviceArg,
    /// How far test errors may lie apart
    #[arg(long, value_name = "ERROR", default_value_t = TOLERANCE, value_parser = tolerance)]
    tolerance: f64,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shards: OwnShardsArg,
    /// Folder for the runs [default: runs/NAME-agreement]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl AgreeArgs {
    /// Runs the scenario everywhere and compares.
    ///
    /// # Errors
    /// If a run fails, or its result is too far from the first.
    pub(super) fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        let arch = self.arch.of(&self.on)?;
        self.fleet.check(&self.on)?;
        if !self.on.iter().any(|on| on.is_simulation()) {
            self.device.refuse()?;
        }
        let mut places = Vec::new();
        for on in &self.on {
            match on {
                On::Emulated => places.extend(arch.iter().map(|&arch| (*on, Some(arch)))),
                _ => places.push((*on, None)),
            }
        }
        for (position, (on, arch)) in places.iter().enumerate() {
            if places[..position].contains(&(*on, *arch)) {
                let message =
                    "--on and --arch: a bench is named twice, and the same run would be held against itself";
                return Err(UsageError(message.to_owned()).into());
            }
        }
        if places.len() < 2 {
            return Err(UsageError("one bench agrees with itself; name two with --on".to_owned()).into());
        }
        let scenario = Arc::new(self.common.load(catalogue, &self.scenario)?);
        let datasets = self.common.folder.path();
        let data = self.shards.load(&scenario, &datasets)?;
        let folder = self.out.unwrap_or_else(|| PathBuf::from(format!("runs/{}-agreement", scenario.name)));
        let mut outcomes = Vec::new();
        for (on, arch) in places {
            // Benches that are no simulation take their device from the environment.
            let device = if on.is_simulation() { self.device } else { DeviceArg::default() };
            let bench = on.bench(Faults::default(), None, arch.as_slice(), &self.fleet, device)?;
            let label = match arch {
                Some(arch) => format!("{} {arch}", bench.name()),
                None => bench.name().to_owned(),
            };
            let task = Task {
                scenario: scenario.clone(),
                data: data.clone(),
                datasets: datasets.clone(),
                out: folder.join(label.replace(' ', "-")),
            };
            let summary = bench.run_in_sight(&label, &task, stop.gently())?;
            let Some(summary) = summary else { return Ok(Ending::Interrupted) };
            outcomes.push(Outcome::read(&label, &task.out, summary, catalogue)?);
        }
        let printed = link::print(format_args!("{}\nruns: {}", table(&outcomes), folder.display()));
        check(&outcomes, self.tolerance)?;
        printed?;
        Ok(Ending::Finished)
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("must be from 0 to 1".to_owned()) }
}
