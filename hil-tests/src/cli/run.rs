//! `hil run`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use link::{BrokerAddress, BrokerOptions, complain};
use record::AttackSummary;
use scenario::catalogue::Catalogue;

use super::common::{ArchArgs, Common, DeviceArg, Ending, FleetArgs, Format, On, OwnShardsArg, UsageError};
use crate::benches::Task;
use crate::benches::processes::RunningBroker;
use crate::benches::software::Faults;
use crate::system::stop::Stop;
use crate::terminal::table;

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The scenario file
    scenario: PathBuf,
    /// Where the devices run
    #[arg(long, value_name = "BENCH")]
    on: On,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    shards: OwnShardsArg,
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
    access: BrokerOptions,
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
    /// Whether it starts other programs.
    pub(super) fn starts_programs(&self) -> bool {
        !self.on.is_simulation()
    }

    pub(super) fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        if self.on != On::Software && self.faults.any() {
            return Err(UsageError("faults can be injected --on software only".to_owned()).into());
        }
        if self.on.is_simulation() && self.broker.is_some() {
            return Err(UsageError("a broker is used --on processes or emulated only".to_owned()).into());
        }
        if self.on == On::Boards && self.broker.is_some() {
            return Err(UsageError("--on boards uses the broker of the inventory".to_owned()).into());
        }
        if let Some(broker) = &self.broker {
            self.access.load(broker).map_err(|error| UsageError(error.to_string()))?;
        }
        self.fleet.check(&[self.on])?;
        self.shards.check(self.on)?;
        let arch = self.arch.of(&[self.on])?;
        let scenario = Arc::new(self.common.load(catalogue, &self.scenario)?);
        let datasets = self.common.folder.path();
        let data = self.shards.load(&scenario, &datasets)?;
        let access = self.access;
        let broker = self.broker.map(|address| RunningBroker { address, access });
        let bench = self.on.bench(self.faults, broker, &arch, &self.fleet, self.device)?;
        let name = scenario.name.clone();
        let out = self.out.unwrap_or_else(|| PathBuf::from(format!("runs/{name}-{}", bench.name())));
        let task = Task { scenario, data, datasets, out };
        let summary = if let Some(summary) = task.finished(bench.name())? {
            let out = task.out.display();
            complain(format_args!("{out} is already finished; give another --out to run it anew"));
            summary
        } else {
            let summary = bench.run_in_sight(&name, &task, stop.gently())?;
            let Some(summary) = summary else { return Ok(Ending::Interrupted) };
            summary
        };
        for (device, why) in &summary.unfit {
            complain(format_args!(
                "{device}: its data do not fit, and the run went without it, at least at first: {why}"
            ));
        }
        if let Some(attack) = summary.attack.filter(|attack| attack.as_meant < attack.rounds) {
            let AttackSummary { rounds, as_meant, fell_back, silent, .. } = attack;
            complain(format_args!(
                "the attack took place as the scenario means it in {as_meant} of {rounds} rounds only: compromised devices \
                 sent {fell_back} honest updates and no update {silent} times; the report lists the rounds"
            ));
        }
        match self.format {
            Format::Json => link::print(serde_json::to_string_pretty(&summary)?)?,
            Format::Table => {
                let report = task.out.join("report.html");
                link::print(format_args!(
                    "{}\nreport: {}",
                    table::summaries(&[(name, summary)]),
                    report.display()
                ))?
            }
        };
        Ok(Ending::Finished)
    }
}
