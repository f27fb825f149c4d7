//! `hil demo`.

use std::path::PathBuf;

use clap::Args;
use scenario::catalogue::Catalogue;

use super::common::{ArchArgs, Common, DeviceArg, Ending, FleetArgs, On};
use crate::benches::software::Faults;
use crate::experiments::demo;
use crate::system::stop::Stop;
use crate::terminal::table;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    common: Common,
    /// Where to put the runs and the report [default: runs/demo, or the next free runs/demo-N]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the devices run
    #[arg(long, value_name = "BENCH", default_value = "processes")]
    on: On,
    #[command(flatten)]
    arch: ArchArgs,
    #[command(flatten)]
    fleet: FleetArgs,
}

impl DemoArgs {
    pub(super) fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        let out = self.out.unwrap_or_else(free_demo_folder);
        self.fleet.check(&[self.on])?;
        let arch = self.arch.of(&[self.on])?;
        let bench = self.on.bench(Faults::default(), None, &arch, &self.fleet, DeviceArg::default())?;
        let outcome = demo::run(
            catalogue,
            bench.as_ref(),
            &out,
            &self.common.folder.path(),
            &self.common.settings,
            stop.gently(),
        )?;
        let Some(outcome) = outcome else { return Ok(Ending::Interrupted) };
        link::print(format_args!(
            "\n{}\nreport: {}",
            table::summaries(&outcome.arms),
            outcome.report.display()
        ))?;
        Ok(Ending::Finished)
    }
}

/// The first of `runs/demo`, `runs/demo-2`, ... without a report: a finished demo is left alone, an interrupted one
/// goes on.
fn free_demo_folder() -> PathBuf {
    let names = std::iter::once("runs/demo".to_owned()).chain((2..).map(|n| format!("runs/demo-{n}")));
    names.map(PathBuf::from).find(|path| !path.join("report.html").exists()).unwrap_or_default()
}
