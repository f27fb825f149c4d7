//! Checkpoints: a global model, the run and round that it belongs to, and what is kept for later rounds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use learning::parameters::{Layout, Parameters, le_bytes};
use scenario::remembered::Remembered;
use wire::identity::{Digest, RunId};

use super::RecordError;
use super::files::{read_if_there, write_atomically};
use super::rounds_file::Chain;

/// What the names of tensors begin with that are not the model's.
const STATE: &str = "state/";

/// The global model after a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The round; 0 for the initial model.
    pub round: u32,
    /// The model.
    pub parameters: Parameters,
    /// What rule, stages and attack have kept of the rounds up to this one.
    pub remembered: Arc<Remembered>,
    /// The running digest of the records up to the round, in hexadecimal.
    pub(super) rounds: String,
}

impl Checkpoint {
    pub(super) fn new(round: u32, parameters: Parameters, remembered: Arc<Remembered>, chain: Chain) -> Self {
        Checkpoint { round, parameters, remembered, rounds: chain.to_string() }
    }

    /// safetensors has no checksum of its own, and a flipped bit of a number is still a number.
    fn digest(&self, run: RunId) -> Digest {
        let mut content = format!("{run} {} {} ", self.round, self.rounds).into_bytes();
        content.extend(self.parameters.to_le_bytes());
        for (name, values) in self.remembered.vectors() {
            content.extend(format!(" {name} {} ", values.len()).into_bytes());
            content.extend(le_bytes(values));
        }
        Digest::of(&content)
    }

    pub(super) fn write(&self, path: &Path, run: RunId) -> Result<(), RecordError> {
        let metadata = [
            ("run", run.to_string()),
            ("round", self.round.to_string()),
            ("rounds", self.rounds.clone()),
            ("sha256", self.digest(run).to_string()),
        ];
        let metadata: HashMap<_, _> = metadata.map(|(key, value)| (key.to_owned(), value)).into();
        let kept = self.remembered.vectors().map(|(name, values)| (format!("{STATE}{name}"), values));
        let bytes = self.parameters.to_safetensors(metadata, kept);
        write_atomically(
            path,
            &bytes.map_err(|cause| RecordError::Checkpoint { path: path.to_owned(), cause })?,
        )
    }

    /// The round that a checkpoint of these `bytes` states; `None` if they are none.
    pub(super) fn round_of(bytes: &[u8]) -> Option<u32> {
        Parameters::metadata(bytes).ok()?.get("round")?.parse().ok()
    }

    /// The checkpoint of `run` at `path`; `None` if there is no file.
    pub(super) fn read(path: &Path, layout: &Arc<Layout>, run: RunId) -> Result<Option<Self>, RecordError> {
        let damaged = |what: &str| RecordError::damaged(path, what);
        let Some(bytes) = read_if_there(path)? else { return Ok(None) };
        // Before anything of the size that the manifest states is allocated.
        if bytes.len() / 4 < layout.dimension() {
            return Err(damaged("it is shorter than the model that the manifest describes"));
        }
        let mut remembered = Remembered::default();
        let take =
            |name: &str, values| name.strip_prefix(STATE).is_some_and(|name| remembered.take(name, values));
        let (parameters, mut metadata) = Parameters::from_safetensors(layout.clone(), &bytes, take)
            .map_err(|error| RecordError::damaged(path, error.to_string()))?;
        if metadata.get("run") != Some(&run.to_string()) {
            return Err(damaged("it is of another run than the manifest's"));
        }
        let round = metadata.get("round").and_then(|round| round.parse().ok());
        let round = round.ok_or_else(|| damaged("it does not say which round it is of"))?;
        let rounds = metadata.remove("rounds").unwrap_or_default();
        let checkpoint = Checkpoint { round, parameters, remembered: remembered.into(), rounds };
        if metadata.get("sha256") != Some(&checkpoint.digest(run).to_string()) {
            return Err(damaged(
                "run, round, parameters and what is kept do not have the digest that it states",
            ));
        }
        Ok(Some(checkpoint))
    }
}
