//! A run's directory and its report.
//!
//! # Layout of a run directory
//! | file | content |
//! |---|---|
//! | `manifest.json` | [`Manifest`]: what the run is made of; written last on creation, so its presence means "this is a run" |
//! | `scenario.toml` | the resolved scenario |
//! | `rounds.jsonl` | one [`RoundRecord`] a line |
//! | `checkpoint.safetensors` | the global model after the last checkpointed round |
//! | `best.safetensors` | that of lowest test error, if the scenario wants it |
//! | `term` | grows with every start of the aggregator |
//! | `metrics.csv`, `summary.json`, `report.html` | written by [`RunDirectory::finish`] |
//! | `logs/` | what the processes of a bench logged, which puts it there |
//! | `.lock` | held by the process that writes the directory |
//!
//! # Surviving kill -9
//! Every file but `rounds.jsonl` is replaced atomically; `rounds.jsonl` is only appended to. A round is
//! appended first and checkpointed second, so a directory may hold rounds that its checkpoint does not know:
//! [`RunDirectory::resume`] drops those, and the run repeats them.

mod device_record;
mod error;
mod files;
mod manifest;
mod metrics;
mod report;
mod round_record;
mod rounds_file;
mod store;

pub use device_record::DeviceRecord;
pub use error::RecordError;
pub use files::{write_atomically, write_atomically_as};
pub use manifest::{FORMAT, Manifest, TensorShape};
pub use metrics::to_csv;
pub use report::{Arm, render};
pub use round_record::{AttackSummary, RefusedDevice, RoundRecord, Summary};
pub use store::RunDirectory;

#[cfg(test)]
mod examples;
