//! Which data sets this machine has, and how to get the others.
//!
//! # Layout
//! - [`fetch()`]: gets the files of one data set, checks them and puts them in their place.
//! - [`download`]: one file over HTTP, by the system's `curl`.

use std::path::{Path, PathBuf};

use learning::data::{self, DataError, Published, Source};
use scenario::registry::Registry;

use crate::terminal::table::align_left;

pub mod download;
pub mod fetch;
#[cfg(test)]
mod tests;

pub use fetch::{FetchFrom, fetch};

/// A table of all data sets of `registry` whose settings have defaults, for a terminal: name, folder, whether it is there and can be read, size, licence and origin;
/// below it, what is wrong with those that are there and cannot.
pub fn list(registry: &Registry<dyn Source>, datasets: &Path) -> String {
    let mut damaged = String::new();
    let mut lines =
        vec![["name", "folder", "present", "size", "licence", "origin"].map(ToOwned::to_owned).to_vec()];
    let known = registry.entries().filter_map(|entry| registry.with_defaults(entry.name()).ok());
    lines.extend(known.map(|dataset| {
        let folder = folder(datasets, &*dataset);
        let files = dataset.files_in(&folder).into_iter().map(|file| file.find(&folder));
        let files: Option<Vec<PathBuf>> = files.collect();
        let source = dataset.published();
        let said = |about: fn(&Published) -> &str| source.as_ref().map_or("-", about).to_owned();
        // Read as a run reads it.
        let present = match data::load(&dataset, datasets, 0) {
            Ok(_) => "yes",
            Err(DataError::Missing { .. }) => "no",
            Err(error) => {
                damaged.extend(["\n".to_owned(), error.to_string(), "\n".to_owned()]);
                "damaged"
            }
        };
        vec![
            dataset.name().to_owned(),
            folder.display().to_string(),
            present.to_owned(),
            files.map_or_else(|| format!("{} to get", said(|source| source.size)), |files| size(&files)),
            said(|source| source.licence),
            said(|source| source.origin),
        ]
    }));
    align_left(&lines) + &damaged
}

/// Where the files of a data set belong.
fn folder(datasets: &Path, dataset: &dyn Source) -> PathBuf {
    datasets.join(dataset.spec().folder)
}

fn size(files: &[PathBuf]) -> String {
    let bytes = files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    indicatif::BinaryBytes(bytes).to_string()
}
