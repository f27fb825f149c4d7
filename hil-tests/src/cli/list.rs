//! `hil list`.

use clap::{Args, ValueEnum};
use scenario::catalogue::Catalogue;
use scenario::registry::Registry;

use super::common::Ending;
use crate::terminal::table::align_left;

/// List what a scenario may name, with a line about each
///
///   cargo hil list models
///   cargo hil list rules
///   cargo hil list attacks
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct ListArgs {
    /// What to list
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Models: `model`
    Models,
    /// Aggregation rules: `aggregation.rule`
    Rules,
    /// Optimizers of the aggregator: `optimizer.kind`
    Optimizers,
    /// Stages before the rule: `defense.kind`
    Stages,
    /// Attacks: `attack.kind`
    Attacks,
    /// Data sets: `dataset`
    Datasets,
    /// Partitions of a data set over the devices: `fleet.partition`
    Partitions,
}

impl ListArgs {
    /// Prints names and lines.
    ///
    /// # Errors
    /// If nothing can be printed.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let lines = match self.what {
            What::Models => lines(&catalogue.models),
            What::Rules => lines(&catalogue.rules),
            What::Optimizers => lines(&catalogue.optimizers),
            What::Stages => lines(&catalogue.stages),
            What::Attacks => lines(&catalogue.attacks),
            What::Datasets => lines(&catalogue.datasets),
            What::Partitions => lines(&catalogue.partitions),
        };
        link::print(align_left(&lines).trim_end())?;
        Ok(Ending::Finished)
    }
}

fn lines<T: ?Sized + 'static>(registry: &Registry<T>) -> Vec<Vec<String>> {
    registry.entries().map(|entry| vec![entry.name().to_owned(), entry.about()]).collect()
}
