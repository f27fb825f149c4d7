//! `hil run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aggregator_node::record::AttackSummary;
use clap::Args;
use rim::BrokerAddress;
use shared::scenario::Scenario;

use super::common::{ArchArgs, Common, DeviceArg, Ending, FleetArgs, Format, On, UsageError};
use crate::bench::{Task, Watch};
use crate::fleet_data::FleetData;
use crate::progress::Progress;
use crate::software::Faults;
use crate::table;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Where the devices run
    #[arg(long, value_name = "BENCH")]
    on: On,
    #[command(flatten)]
    common: Common,
    /// The run's directory [default: runs/NAME-BENCH]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Use this broker instead of an embedded one (processes, emulated)
    #[arg(long, value_name = "URL", env = "OUTPOST_BROKER")]
    broker: Option<BrokerAddress>,
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    arch: ArchArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    faults: Faults,
}

impl RunArgs {
    pub(super) fn run(self, stop: &AtomicBool) -> anyhow::Result<Ending> {
        if self.on != On::Software && self.faults.any() {
            return Err(UsageError("faults can be injected --on software only".to_owned()).into());
        }
        if self.on.is_simulation() && self.broker.is_some() {
            return Err(UsageError("a broker is used --on processes or emulated only".to_owned()).into());
        }
        if self.on == On::Boards && self.broker.is_some() {
            return Err(UsageError("--on boards uses the broker of the inventory".to_owned()).into());
        }
        if self.broker.as_ref().is_some_and(|broker| broker.tls) && std::env::var_os("OUTPOST_CA").is_none() {
            let message = "mqtts:// wants OUTPOST_CA=FILE (and OUTPOST_CERT, OUTPOST_KEY), which all processes take; where \
                           each device has a certificate of its own, use --on boards with devices of kind `native`";
            return Err(UsageError(message.to_owned()).into());
        }
        self.fleet.check(&[self.on])?;
        let arch = self.arch.of(&[self.on])?;
        let scenario = Arc::new(Scenario::load(&self.scenario, &self.common.settings)?);
        let datasets = self.common.folder.path();
        let data = FleetData::load(&scenario, &datasets)?;
        let bench = self.on.bench(self.faults, self.broker, &arch, &self.fleet, self.device)?;
        let name = scenario.name.clone();
        let out = self.out.unwrap_or_else(|| PathBuf::from(format!("runs/{name}-{}", bench.name())));
        if out.join("summary.json").exists() {
            eprintln!("{} is already finished; give another --out to run it anew", out.display());
        }
        let progress = Progress::new(&name, scenario.rounds);
        let on_round = |record: &_| progress.round(record);
        let task = Task { scenario, data, datasets, out };
        let summary = bench.run(&task, &Watch { on_round: &on_round, stop })?;
        progress.finish();
        let Some(summary) = summary else { return Ok(Ending::Interrupted) };
        if let Some(attack) = summary.attack.filter(|attack| attack.as_meant < attack.rounds) {
            let AttackSummary { rounds, as_meant, fell_back, silent, .. } = attack;
            eprintln!(
                "the attack took place as the scenario means it in {as_meant} of {rounds} rounds only: compromised devices \
                 sent {fell_back} honest updates and no update {silent} times; the report lists the rounds"
            );
        }
        match self.format {
            Format::Json => println!("{}", serde_json::to_string_pretty(&summary)?),
            Format::Table => {
                print!("{}", table::summaries(&[(name, summary)]));
                println!("\nreport: {}", task.out.join("report.html").display());
            }
        }
        Ok(Ending::Finished)
    }
}
