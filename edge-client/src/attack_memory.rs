//! What an attack keeps from round to round, also over a restart of the client that crafts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use learning::parameters::{from_le_bytes, le_bytes};
use robust::State;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use wire::identity::RunId;

/// So many rounds are kept: a run that goes on repeats at most the last one.
const ROUNDS: usize = 2;

/// The states of an attack after the last rounds in which this machine crafted. All clients of a bench on this machine
/// share them, by their file: whichever leads goes on from where the last leader was.
#[derive(Debug, Default)]
pub struct AttackMemory {
    file: Option<PathBuf>,
    kept: Mutex<Kept>,
}

/// States by round, of one run.
#[derive(Clone, Debug, Default)]
struct Kept {
    run: Option<RunId>,
    after: BTreeMap<u32, State>,
}

/// The file of an [`AttackMemory`] cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--attack-memory {}: {cause}", path.display())]
pub struct MemoryError {
    path: PathBuf,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not what a client has written: {0}")]
    Format(#[from] SafeTensorError),
    #[error("not what a client has written: it names no run, or no round")]
    Content,
}

impl AttackMemory {
    /// What is kept in the file at `path`, which need not be there yet.
    pub fn at(path: PathBuf) -> Self {
        AttackMemory { file: Some(path), kept: Mutex::default() }
    }

    /// What was kept after `round` of `run`, as its checkpoint has it.
    pub fn after(run: RunId, round: u32, state: State) -> Self {
        let after = [(round, state)].into();
        AttackMemory { file: None, kept: Mutex::new(Kept { run: Some(run), after }) }
    }

    /// What was kept after the last round before `round`; nothing if it has crafted in none.
    ///
    /// # Errors
    /// [`MemoryError`] if the file cannot be read.
    pub fn before(&self, run: RunId, round: u32) -> Result<State, MemoryError> {
        let kept = self.load()?;
        let last = kept.after.range(..round).next_back().filter(|_| kept.run == Some(run));
        Ok(last.map(|(_, state)| state.clone()).unwrap_or_default())
    }

    /// Keeps `state` after `round`. With the operating system, and so before what is crafted goes out.
    ///
    /// # Errors
    /// [`MemoryError`] if the file cannot be written.
    pub fn keep(&self, run: RunId, round: u32, state: State) -> Result<(), MemoryError> {
        let mut kept = self.load()?;
        if kept.run != Some(run) {
            kept = Kept { run: Some(run), after: BTreeMap::new() };
        }
        // An attack that keeps nothing needs no file.
        if state.is_empty() && kept.after.is_empty() {
            return Ok(());
        }
        kept.after.split_off(&round);
        kept.after.insert(round, state);
        while kept.after.len() > ROUNDS {
            kept.after.pop_first();
        }
        if let Some(path) = &self.file {
            kept.write(path).map_err(|cause| MemoryError { path: path.clone(), cause })?;
        }
        *self.lock() = kept;
        Ok(())
    }

    /// As the file has it, if there is one: another client may have written it.
    fn load(&self) -> Result<Kept, MemoryError> {
        let Some(path) = &self.file else { return Ok(self.lock().clone()) };
        match fs::read(path) {
            Ok(bytes) => Kept::read(&bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Kept::default()),
            Err(error) => Err(error.into()),
        }
        .map_err(|cause| MemoryError { path: path.clone(), cause })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Tensors called `ROUND/NAME`, in a file that is replaced as a whole.
    fn write(&self, path: &PathBuf) -> Result<(), Cause> {
        let vectors = self.after.iter().flat_map(|(round, state)| {
            state
                .vectors()
                .map(move |(name, values)| (format!("{round}/{name}"), values.len(), le_bytes(values)))
        });
        let vectors: Vec<_> = vectors.collect();
        let views = vectors
            .iter()
            .map(|(name, length, bytes)| Ok((name, TensorView::new(Dtype::F32, vec![*length], bytes)?)));
        let views = views.collect::<Result<Vec<_>, SafeTensorError>>()?;
        let run = self.run.iter().map(|run| ("run".to_owned(), run.to_string())).collect();
        let bytes = safetensors::serialize(views, Some(run))?;
        let temporary = path.with_added_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(fs::rename(&temporary, path)?)
    }

    fn read(bytes: &[u8]) -> Result<Self, Cause> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let run = header.metadata().as_ref().and_then(|metadata| metadata.get("run")?.parse().ok());
        let mut kept = Kept { run: Some(run.ok_or(Cause::Content)?), after: BTreeMap::new() };
        for (name, view) in SafeTensors::deserialize(bytes)?.tensors() {
            let (round, name) = name.split_once('/').ok_or(Cause::Content)?;
            let round = round.parse().map_err(|_| Cause::Content)?;
            let values = from_le_bytes(view.data()).collect();
            kept.after.entry(round).or_default().set(name, values);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(7);

    fn state(value: f32) -> State {
        let mut state = State::default();
        state.set("direction/x", vec![value, -0.0]);
        state
    }

    fn before(memory: &AttackMemory, run: RunId, round: u32) -> Option<f32> {
        memory.before(run, round).unwrap().get("direction/x").map(|values| values[0])
    }

    #[test]
    fn a_round_that_is_repeated_begins_with_what_there_was_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attack-memory.safetensors");
        for memory in [AttackMemory::default(), AttackMemory::at(path.clone())] {
            assert_eq!(before(&memory, RUN, 1), None);
            for round in [2, 3, 5] {
                memory.keep(RUN, round, state(round as f32)).unwrap();
            }
            assert_eq!([9, 5, 3].map(|round| before(&memory, RUN, round)), [Some(5.0), Some(3.0), None]);
            memory.keep(RUN, 4, state(4.0)).unwrap();
            assert_eq!(before(&memory, RUN, 9), Some(4.0), "what came after is of a run that did not go on");
            assert_eq!(before(&memory, RunId(8), 9), None);
        }
        assert_eq!(before(&AttackMemory::at(path), RUN, 9), Some(4.0), "another client goes on from there");
    }

    #[test]
    fn an_attack_that_keeps_nothing_leaves_no_file_and_one_that_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        let memory = AttackMemory::at(path.clone());
        memory.keep(RUN, 1, State::default()).unwrap();
        assert!(!path.exists());
        memory.keep(RUN, 1, state(1.0)).unwrap();
        let bytes = fs::read(&path).unwrap();
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..5], b"", b"no tensors at all"] {
            fs::write(&path, damaged).unwrap();
            let error = memory.before(RUN, 2).unwrap_err().to_string();
            assert!(error.contains("memory: not what a client has written"), "{error}");
        }
    }
}
