//! The command line of `hil`, one file for each command.

mod aggregate;
mod agree;
mod arrays;
mod board_kernel;
mod broker;
mod build;
mod common;
mod craft;
mod data;
mod demo;
mod deploy;
mod describe;
mod export;
mod fleet;
mod list;
mod matrix;
mod model;
mod next_steps;
mod paper;
mod program;
mod provision;
mod report;
mod run;
mod schema;
mod shards;
mod sweep;

use aggregate::AggregateArgs;
use agree::AgreeArgs;
use board_kernel::BoardKernelArgs;
use broker::BrokerCommand;
use build::BuildArgs;
use clap::{Parser, Subcommand};
pub use common::{Ending, UsageError};
use craft::CraftArgs;
use data::DataCommand;
use demo::DemoArgs;
use deploy::DeployArgs;
use export::ExportArgs;
use fleet::FleetCommand;
use list::ListArgs;
use matrix::MatrixArgs;
use model::ModelCommand;
use paper::PaperArgs;
pub use program::{main, main_within};
use provision::ProvisionArgs;
use report::ReportArgs;
use run::RunArgs;
use scenario::catalogue::Catalogue;
use schema::SchemaArgs;
use shards::ShardsArgs;
use sweep::SweepArgs;

use crate::system::children::{Watcher, end_orphans};
use crate::system::stop::Stop;

/// The bench: runs federated-learning scenarios with attacks and defenses, in software or as real processes.
///
///   cargo hil demo
///   cargo hil run hil-tests/scenarios/mnist-trimmed-mean.toml --on software
///   cargo hil run hil-tests/scenarios/mnist-trimmed-mean.toml --on processes --set fleet.devices=20 --set fleet.compromised=4
///
/// Exit codes: 0 finished, 1 failure (also of a run in which nothing was aggregated), 2 wrong usage, 130 interrupted by
/// Ctrl-C, SIGTERM or SIGHUP (the same command goes on from there).
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
    Report(ReportArgs),
    Export(ExportArgs),
    Agree(AgreeArgs),
    Provision(ProvisionArgs),
    Deploy(DeployArgs),
    /// Look at a fleet of devices
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Look after a broker
    #[command(subcommand)]
    Broker(BrokerCommand),
    Shards(ShardsArgs),
    Sweep(SweepArgs),
    Matrix(MatrixArgs),
    Paper(PaperArgs),
    Aggregate(AggregateArgs),
    Craft(CraftArgs),
    List(ListArgs),
    /// Look at a model
    #[command(subcommand)]
    Model(ModelCommand),
    Schema(SchemaArgs),
    Build(BuildArgs),
    BoardKernel(BoardKernelArgs),
    /// List the data sets, or get one
    #[command(subcommand)]
    Data(DataCommand),
    /// What watches over another process of this program; see `children`
    #[command(hide = true)]
    EndOrphans {
        /// What its children have in their environment
        mark: String,
    },
}

impl Cli {
    /// Does what the command line says, until done or `stop` is set.
    ///
    /// # Errors
    /// A scenario, file or process that fails, in one line.
    pub fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        let watcher = self.starts_programs().then(Watcher::start).transpose()?;
        let ending = self.command.run(catalogue, stop);
        if let Some(watcher) = watcher {
            watcher.dismiss();
        }
        ending
    }

    fn starts_programs(&self) -> bool {
        self.command.starts_programs()
    }
}

impl Command {
    /// Whether it starts other programs.
    fn starts_programs(&self) -> bool {
        match self {
            Command::Run(args) => args.starts_programs(),
            Command::Demo(_)
            | Command::Agree(_)
            | Command::Deploy(_)
            | Command::Build(_)
            | Command::BoardKernel(_)
            | Command::Data(DataCommand::Fetch(_)) => true,
            _ => false,
        }
    }

    fn run(self, catalogue: &Catalogue, stop: &Stop) -> anyhow::Result<Ending> {
        match self {
            Command::Demo(args) => args.run(catalogue, stop),
            Command::Run(args) => args.run(catalogue, stop),
            Command::Report(args) => args.run(catalogue),
            Command::Export(args) => args.run(catalogue, stop),
            Command::Agree(args) => args.run(catalogue, stop),
            Command::Provision(args) => args.run(catalogue),
            Command::Deploy(args) => args.run(stop),
            Command::Fleet(command) => command.run(),
            Command::Broker(command) => command.run(),
            Command::Shards(args) => args.run(catalogue),
            Command::Sweep(args) => args.run(catalogue, stop),
            Command::Matrix(args) => args.run(catalogue, stop),
            Command::Paper(args) => args.run(stop),
            Command::Aggregate(args) => args.run(catalogue),
            Command::Craft(args) => args.run(catalogue),
            Command::List(args) => args.run(catalogue),
            Command::Model(command) => command.run(catalogue),
            Command::Schema(args) => args.run(catalogue),
            Command::Build(args) => args.run(),
            Command::BoardKernel(args) => args.run(),
            Command::Data(command) => command.run(catalogue),
            Command::EndOrphans { mark } => {
                end_orphans(&mark);
                Ok(Ending::Finished)
            }
        }
    }
}
