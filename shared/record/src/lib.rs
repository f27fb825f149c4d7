//! A run's directory and its report.
//!
//! # Layout of a run directory
//! | file | content |
//! |---|---|
//! | `manifest.json` | [`Manifest`]: what the run is made of; written last on creation, so its presence means "this is a run" |
//! | `scenario.toml` | the resolved scenario |
//! | `rounds.jsonl` | one [`RoundRecord`] a line, each with a running digest |
//! | `checkpoint.safetensors` | the global model after the last checkpointed round, at first the initial one, and what rule, stages and attack keep for later rounds |
//! | `best.safetensors` | the global model of lowest test error, with `evaluation.model = "best"` |
//! | `devices.json` | [`Devices`]: what each device reported of its hardware, and which devices were left out |
//! | `term` | grows with every start of the aggregator |
//! | `metrics.csv`, `summary.json`, `report.html` | written by [`RunDirectory::finish`] |
//! | `attack-memory.safetensors` | what the attack keeps for later rounds, where clients of this machine craft |
//! | `training-memory/` | the momentum that each client of this machine keeps for later rounds |
//! | `logs/` | what the processes of a bench logged; the bench writes it |
//! | `.lock` | held by the process that writes the directory |
//! | `.writer` | names that process, where the file system has no locks |
//!
//! # Surviving kill -9
//! Every file but `rounds.jsonl` is replaced atomically; `rounds.jsonl` is only appended to. A round is appended first and
//! checkpointed second, so a directory may hold rounds that its checkpoint does not know: [`RunDirectory::resume`] drops
//! those, and the run repeats them.
//!
//! # What is checked
//! A checkpoint has a digest of run, round and parameters, and the running digest of the rounds before it; the manifest has
//! those of scenario and data. All of it is checked before a run goes on and when a finished one is used again. A missing
//! file is never taken for one that has not been written yet: a run has its first four files from the beginning. Nothing here
//! is read or written through a link.
//!
//! # Files
//! `store.rs`: writing; `stored.rs`: reading; `following.rs`: waiting for rounds to come; `rounds_file.rs`, `model_file.rs`:
//! the two formats; `lock.rs`: one writer; `files.rs`: reading and replacing files.

mod device_record;
mod devices_file;
mod error;
mod files;
mod following;
mod lock;
mod manifest;
pub mod metrics;
mod model_file;
pub mod report;
mod round_record;
mod rounds_file;
mod store;
mod stored;
mod summary;

pub use device_record::DeviceRecord;
pub use devices_file::{DeviceDescription, DeviceEntry, Devices};
pub use error::RecordError;
pub use files::{copy_file, make_folder, open_file, read_if_there, write_atomically, write_atomically_as};
pub use following::FollowedRun;
pub use manifest::{FORMAT, Manifest, TensorShape};
pub use model_file::Checkpoint;
pub use report::{Arm, render};
pub use round_record::{MutedDevice, RefusedDevice, RoundRecord, UnfitDevice};
pub use store::RunDirectory;
pub use stored::{ATTACK_MEMORY, Rounds, State, StoredRun, TRAINING_MEMORY};
pub use summary::{AttackSummary, Summary};

#[cfg(test)]
mod examples;
