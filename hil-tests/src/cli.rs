//! The command line of `hil`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rim::BrokerAddress;
use shared::data::DatasetName;
use shared::scenario::Scenario;

use crate::bench::{Bench, Task, Watch};
use crate::fleet_data::FleetData;
use crate::paper_command::PaperArgs;
use crate::processes::{Binaries, Processes};
use crate::progress::Progress;
use crate::shards_command::ShardsArgs;
use crate::software::{Faults, Software};
use crate::sweep_command::SweepArgs;
use crate::{data_command, demo, table};

/// The bench: runs federated-learning scenarios with attacks and defenses, in software or as real processes.
///
///   cargo hil demo
///   cargo hil run hil-tests/scenarios/mnist-trimmed-mean.toml --on software
///   cargo hil run hil-tests/scenarios/mnist-trimmed-mean.toml --on processes --set fleet.devices=20 --set fleet.compromised=4
///
/// Exit codes: 0 finished, 1 failure, 2 wrong usage, 130 interrupted (the same command goes on from there).
#[derive(Debug, Parser)]
#[command(name = "hil", version, verbatim_doc_comment)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How much to log: error, warn, info, debug
    #[arg(long, global = true, value_name = "LEVEL", env = "OUTPOST_LOG", default_value = "warn")]
    pub log: tracing::Level,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One real experiment: 20 client processes over MQTT, 4 of them poisoning; does plain averaging fall, does a
    /// robust rule hold?
    Demo(DemoArgs),
    /// Run one scenario
    Run(RunArgs),
    Shards(ShardsArgs),
    Sweep(SweepArgs),
    Paper(PaperArgs),
    /// List the data sets, or get one
    #[command(subcommand)]
    Data(DataCommand),
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Which data sets there are, where they belong, and whether they are there
    List {
        #[command(flatten)]
        folder: DatasetsFolder,
    },
    /// Get a data set: download it (by the system's curl), or check and copy files at hand
    Fetch(FetchArgs),
}

#[derive(Debug, Args)]
struct FetchArgs {
    /// The data set: mnist, fashion-mnist, ch-mnist or breast-cancer
    name: DatasetName,
    /// Take the files from this folder, or this file, instead of downloading them
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    from: Option<PathBuf>,
    /// Download from here: URL, a slash, and each file's name with .gz
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    folder: DatasetsFolder,
}

#[derive(Debug, Args)]
struct DemoArgs {
    #[command(flatten)]
    common: Common,
    /// Where to put the runs and the report [default: runs/demo, or the next free runs/demo-N]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the devices run
    #[arg(long, value_name = "BENCH", default_value = "processes")]
    on: On,
}

#[derive(Debug, Args)]
struct RunArgs {
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
    /// Use this broker instead of an embedded one (processes)
    #[arg(long, value_name = "URL", env = "OUTPOST_BROKER")]
    broker: Option<BrokerAddress>,
    #[command(flatten)]
    faults: Faults,
}

#[derive(Debug, Args)]
struct Common {
    /// Override one key of the scenario, as in --set fleet.devices=20; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    folder: DatasetsFolder,
}

#[derive(Debug, Args)]
pub(crate) struct DatasetsFolder {
    /// Folder that holds the data sets [default: datasets]
    #[arg(long, value_name = "DIR", env = "OUTPOST_DATASETS")]
    datasets: Option<PathBuf>,
}

impl DatasetsFolder {
    /// The folder as given; else the one here, or that of the checkout that `cargo` runs this program from.
    pub(crate) fn path(&self) -> PathBuf {
        let here = PathBuf::from("datasets");
        let checkout =
            || std::env::var_os("CARGO_MANIFEST_DIR").map(|path| Path::new(&path).join("../datasets"));
        match &self.datasets {
            Some(given) => given.clone(),
            None if here.is_dir() => here,
            None => checkout().filter(|path| path.is_dir()).unwrap_or(here),
        }
    }
}

/// Where the devices run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    /// In this process, with virtual time
    Software,
    /// As processes on this machine, over MQTT
    Processes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

impl On {
    fn bench(self, faults: Faults, broker: Option<BrokerAddress>) -> anyhow::Result<Box<dyn Bench>> {
        Ok(match self {
            On::Software => Box::new(Software { faults }),
            On::Processes => Box::new(Processes { binaries: Binaries::find()?, broker }),
        })
    }
}

/// Whether a command ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did.
    Finished,
    /// It was asked to stop.
    Interrupted,
}

/// A combination of flags that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub(crate) String);

impl Cli {
    /// Does what the command line says, until done or `stop` is set.
    ///
    /// # Errors
    /// A scenario, file or process that fails, in one line.
    pub fn run(self, stop: &AtomicBool) -> anyhow::Result<Ending> {
        match self.command {
            Command::Demo(args) => args.run(stop),
            Command::Run(args) => args.run(stop),
            Command::Shards(args) => args.run(),
            Command::Sweep(args) => args.run(stop),
            Command::Paper(args) => args.run(stop),
            Command::Data(DataCommand::List { folder }) => {
                print!("{}", data_command::list(&folder.path()));
                Ok(Ending::Finished)
            }
            Command::Data(DataCommand::Fetch(args)) => args.run(stop),
        }
    }
}

impl FetchArgs {
    fn run(self, stop: &AtomicBool) -> anyhow::Result<Ending> {
        let source = match (self.from, self.url) {
            (Some(path), _) => data_command::Source::Path(path),
            (None, Some(url)) => data_command::Source::Url(url),
            (None, None) => data_command::Source::Mirror,
        };
        let published = data_command::published(self.name);
        let fetched = data_command::fetch(self.name, &published, &source, &self.folder.path());
        // Ctrl-C reaches curl, too, which then fails.
        if fetched.is_err() && stop.load(Ordering::Relaxed) {
            return Ok(Ending::Interrupted);
        }
        for file in fetched? {
            let note = match file.as_published {
                Some(true) => ", as published",
                Some(false) => ", not the published one",
                None => "",
            };
            println!("{}: content has SHA-256 {}{note}", file.path.display(), file.digest);
        }
        Ok(Ending::Finished)
    }
}

impl DemoArgs {
    fn run(self, stop: &AtomicBool) -> anyhow::Result<Ending> {
        let out = self.out.unwrap_or_else(free_demo_folder);
        let bench = self.on.bench(Faults::default(), None)?;
        let outcome =
            demo::run(bench.as_ref(), &out, &self.common.folder.path(), &self.common.settings, stop)?;
        let Some(outcome) = outcome else { return Ok(Ending::Interrupted) };
        print!("\n{}", table::summaries(&outcome.arms));
        println!("\nreport: {}", outcome.report.display());
        Ok(Ending::Finished)
    }
}

/// The first of `runs/demo`, `runs/demo-2`, ... without a report: a finished demo is left alone, an interrupted one
/// goes on.
fn free_demo_folder() -> PathBuf {
    let names = std::iter::once("runs/demo".to_owned()).chain((2..).map(|n| format!("runs/demo-{n}")));
    names.map(PathBuf::from).find(|path| !path.join("report.html").exists()).unwrap_or_default()
}

impl RunArgs {
    fn run(self, stop: &AtomicBool) -> anyhow::Result<Ending> {
        if self.on != On::Software && self.faults.any() {
            return Err(UsageError("faults can be injected --on software only".to_owned()).into());
        }
        if self.on != On::Processes && self.broker.is_some() {
            return Err(UsageError("a broker is used --on processes only".to_owned()).into());
        }
        let scenario = Arc::new(Scenario::load(&self.scenario, &self.common.settings)?);
        let datasets = self.common.folder.path();
        let data = FleetData::load(&scenario, &datasets)?;
        let bench = self.on.bench(self.faults, self.broker)?;
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
