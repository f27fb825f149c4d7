//! Which data sets are there, and how to get the others.
//!
//! # Layout
//! - [`mod@published`]: where each data set comes from, under which licence, and what its files are.
//! - [`fetch()`]: gets the files of one data set, checks them and puts them in their place.
//! - [`download`]: one file over HTTP, by the system's `curl`.

use std::path::{Path, PathBuf};

use shared::data::{self, DataError, DatasetName, find_file};

pub mod download;
pub mod fetch;
pub mod published;
#[cfg(test)]
mod tests;

pub use fetch::{Source, fetch};
pub use published::{Published, published};

/// A table of all data sets for a terminal: name, folder, whether it is there and can be read, size, licence and origin;
/// below it, what is wrong with those that are there and cannot.
pub fn list(datasets: &Path) -> String {
    let mut damaged = String::new();
    let mut lines = vec![["name", "folder", "present", "size", "licence", "origin"].map(ToOwned::to_owned)];
    lines.extend(DatasetName::ALL.map(|name| {
        let source = published(name);
        let files = name.spec().files.iter().map(|file| find_file(&folder(datasets, name), file));
        let files: Option<Vec<PathBuf>> = files.collect();
        // Read as a run reads it.
        let present = match data::load(name, datasets, 0) {
            Ok(_) => "yes",
            Err(DataError::Missing { .. }) => "no",
            Err(error) => {
                damaged.extend(["\n".to_owned(), error.to_string(), "\n".to_owned()]);
                "damaged"
            }
        };
        [
            name.to_string(),
            folder(datasets, name).display().to_string(),
            present.to_owned(),
            files.map_or_else(|| format!("{} to get", source.size), |files| size(&files)),
            source.licence.to_owned(),
            source.origin.to_owned(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text + &damaged
}

/// Where the files of a data set belong.
fn folder(datasets: &Path, name: DatasetName) -> PathBuf {
    datasets.join(name.spec().folder)
}

fn size(files: &[PathBuf]) -> String {
    let bytes = files.iter().filter_map(|file| Some(file.metadata().ok()?.len())).sum();
    indicatif::BinaryBytes(bytes).to_string()
}
