//! `hil data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use scenario::catalogue::Catalogue;

use super::common::{DatasetsFolder, Ending, UsageError};
use super::describe::DescribeArgs;
use crate::data::datasets;

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Which data sets there are, where they belong, and whether they are there
    List {
        #[command(flatten)]
        folder: DatasetsFolder,
    },
    /// Get a data set: download it (by the system's curl), or check and copy files at hand
    Fetch(FetchArgs),
    Describe(DescribeArgs),
}

#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    /// The data set: one of those that `hil data list` lists
    name: String,
    /// Take the files from this folder, or this file, instead of downloading them
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    from: Option<PathBuf>,
    /// Download from here: URL, a slash, and each file's name with .gz
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    folder: DatasetsFolder,
}

impl DataCommand {
    /// Lists or gets.
    ///
    /// # Errors
    /// If a data set cannot be had.
    pub(super) fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        match self {
            DataCommand::List { folder } => {
                link::print(datasets::list(&catalogue.datasets, &folder.path()).trim_end())?;
                Ok(Ending::Finished)
            }
            DataCommand::Fetch(args) => args.run(catalogue),
            DataCommand::Describe(args) => args.run(catalogue),
        }
    }
}

impl FetchArgs {
    fn run(self, catalogue: &Catalogue) -> anyhow::Result<Ending> {
        let from = match (self.from, self.url) {
            (Some(path), _) => datasets::FetchFrom::Path(path),
            (None, Some(url)) => datasets::FetchFrom::Url(url),
            (None, None) => datasets::FetchFrom::Mirror,
        };
        let dataset = catalogue.datasets.with_defaults(&self.name);
        let dataset = dataset.map_err(|misfit| UsageError(misfit.message))?;
        for file in datasets::fetch(&dataset, &from, &self.folder.path())? {
            let note = match file.as_published {
                Some(true) => ", as published",
                Some(false) => ", not the published one",
                None => "",
            };
            link::print(format_args!("{}: content has SHA-256 {}{note}", file.path.display(), file.digest))?;
        }
        Ok(Ending::Finished)
    }
}
