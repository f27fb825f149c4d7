//! What a client keeps from round to round, also over a restart: for its attack, and for its training.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use input::files::replace;
use learning::parameters::{from_le_bytes, le_bytes};
use robust::State;
use rustix::fs::{Access, access};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use tracing::warn;
use wire::identity::{Digest, RunId};

/// So many rounds are kept: a run that goes on repeats at most the last one.
const ROUNDS: usize = 2;
/// More is not read: a board has hardly as much memory.
const MAX_BYTES: u64 = 1 << 28;

/// The states after the last rounds in which there was something to keep. Clients of a bench on this machine share those of
/// their attack, by their file: whichever leads goes on from where the last leader was.
#[derive(Debug, Default)]
pub struct Memory {
    file: Option<Place>,
    kept: Mutex<Kept>,
}

/// What is kept, and where.
#[derive(Clone, Debug)]
struct Place {
    of: Of,
    path: PathBuf,
}

/// Whose states are kept.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// Those of an attack.
    Attack,
    /// Those of the device's own training.
    Training,
}

impl Of {
    /// The option that names the file.
    fn option(self) -> &'static str {
        match self {
            Of::Attack => "--attack-memory",
            Of::Training => "--training-memory",
        }
    }
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Of::Attack => "the attack",
            Of::Training => "the momentum",
        })
    }
}

/// States by round, of one run.
#[derive(Clone, Debug, Default)]
struct Kept {
    run: Option<RunId>,
    after: BTreeMap<u32, State>,
}

/// The file of a [`Memory`] cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} {}: {cause}; mend it, or remove the file to have {} begin anew", place.of.option(), place.path.display(), place.of)]
pub struct MemoryError {
    place: Place,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("not what a client has written: {0}")]
    Format(#[from] SafeTensorError),
    #[error("not what a client has written: {0}")]
    Content(&'static str),
}

impl Memory {
    /// What is kept in the file at `path`, which need not be there yet.
    ///
    /// # Errors
    /// [`MemoryError`] if it cannot be read or written: a device that could not keep something would find out in the middle of
    /// a run.
    pub fn at(of: Of, path: PathBuf) -> Result<Self, MemoryError> {
        let open = || {
            fs::create_dir_all(folder(&path))?;
            let _lock = lock_folder(&path)?;
            Kept::load(&path)?;
            Ok(access(folder(&path), Access::WRITE_OK).map_err(io::Error::from)?)
        };
        let opened = open();
        let place = Place { of, path };
        match opened {
            Ok(()) => Ok(Memory { file: Some(place), kept: Mutex::default() }),
            Err(cause) => Err(MemoryError { place, cause }),
        }
    }

    /// What was kept after `round` of `run`, as its checkpoint has it.
    pub fn after(run: RunId, round: u32, state: State) -> Self {
        let after = [(round, state)].into();
        Memory { file: None, kept: Mutex::new(Kept { run: Some(run), after }) }
    }

    /// What was kept after the last round before `round`; nothing if there was none.
    ///
    /// # Errors
    /// [`MemoryError`] if the file cannot be read.
    pub fn before(&self, run: RunId, round: u32) -> Result<State, MemoryError> {
        let kept = match &self.file {
            Some(place) => Kept::load(&place.path).map_err(|cause| place.unusable(cause))?,
            None => self.lock().clone(),
        };
        let mine = kept.run == Some(run);
        let last = kept.after.range(..round).next_back().filter(|_| mine);
        if let (None, Some(Place { of, path }), Some(other)) = (last, &self.file, kept.run) {
            let whose =
                if mine { "only later rounds".to_owned() } else { format!("what the run {other} kept") };
            warn!("{} {}: it holds {whose}: {of} begins anew in round {round}", of.option(), path.display());
        }
        Ok(last.map(|(_, state)| state.clone()).unwrap_or_default())
    }

    /// Keeps `state` after `round`. It is on the disk when this returns, and so before what it belongs to goes out. What comes
    /// from a client that stood still for rounds is left out.
    ///
    /// # Errors
    /// [`MemoryError`] if the file cannot be written.
    pub fn keep(&self, run: RunId, round: u32, state: State) -> Result<(), MemoryError> {
        let mut held = self.lock();
        let Some(place) = &self.file else {
            held.keep(run, round, state);
            return Ok(());
        };
        let kept = || {
            let _lock = lock_folder(&place.path)?;
            let mut kept = Kept::load(&place.path)?;
            if kept.keep(run, round, state) { kept.store(&place.path) } else { Ok(()) }
        };
        kept().map_err(|cause| place.unusable(cause))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn unusable(&self, cause: Cause) -> MemoryError {
        MemoryError { place: self.clone(), cause }
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Keeps other clients of this machine from writing until it is dropped.
fn lock_folder(path: &Path) -> Result<File, Cause> {
    let folder = File::open(folder(path))?;
    folder.lock()?;
    Ok(folder)
}

impl Kept {
    /// Takes a state; false if there is nothing to write: what keeps nothing needs no file.
    fn keep(&mut self, run: RunId, round: u32, state: State) -> bool {
        if self.run != Some(run) {
            *self = Kept { run: Some(run), after: BTreeMap::new() };
        }
        let is_stale = self.after.keys().next_back().is_some_and(|last| round + 1 < *last);
        if is_stale || (state.is_empty() && self.after.is_empty()) {
            return false;
        }
        self.after.split_off(&round);
        self.after.insert(round, state);
        while self.after.len() > ROUNDS {
            self.after.pop_first();
        }
        true
    }

    /// As the file has it, if there is one: another client may have written it.
    fn load(path: &Path) -> Result<Self, Cause> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Kept::default()),
            found => {
                let found = found?;
                if !found.is_file() || found.len() > MAX_BYTES {
                    return Err(Cause::Content("it is no file, or larger than 256 MiB"));
                }
            }
        }
        Kept::read(&fs::read(path)?)
    }

    /// Tensors called `ROUND/NAME`, and which run and rounds they are of, with a digest.
    fn store(&self, path: &Path) -> Result<(), Cause> {
        let vectors = self.after.iter().flat_map(|(round, state)| {
            state.vectors().map(move |(name, values)| (format!("{round}/{name}"), le_bytes(values)))
        });
        let vectors: BTreeMap<String, Vec<u8>> = vectors.collect();
        let view = |bytes| TensorView::new(Dtype::F32, vec![<[u8]>::len(bytes) / 4], bytes);
        let views = vectors.iter().map(|(name, bytes)| Ok((name, view(bytes)?)));
        let views = views.collect::<Result<Vec<_>, SafeTensorError>>()?;
        let rounds: Vec<_> = self.after.keys().map(ToString::to_string).collect();
        let of = format!("{} {}", self.run.unwrap_or(RunId(0)), rounds.join(","));
        let digest = digest(&of, vectors.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
        let metadata = [("of".to_owned(), of), ("sha256".to_owned(), digest)];
        let bytes = safetensors::serialize(views, Some(HashMap::from(metadata)))?;
        Ok(replace(path, 0o600, |file| file.write_all(&bytes))?)
    }

    fn read(bytes: &[u8]) -> Result<Self, Cause> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = |key| header.metadata().as_ref().and_then(|metadata| metadata.get(key));
        let of = metadata("of").ok_or(Cause::Content("it names no run"))?;
        let tensors = SafeTensors::deserialize(bytes)?;
        let vectors: BTreeMap<_, _> = tensors.iter().collect();
        let content = vectors.iter().map(|(name, view)| (*name, view.data()));
        if metadata("sha256") != Some(&digest(of, content)) {
            return Err(Cause::Content("it does not have the digest that it states"));
        }
        // What has its own digest was written by `store`; the rest is what another program would have to mean.
        let named = of.split_once(' ').and_then(|(run, rounds)| {
            let rounds = rounds.split(',').map(|round| Some((round.parse().ok()?, State::default())));
            Some((run.parse().ok()?, rounds.collect::<Option<BTreeMap<u32, _>>>()?))
        });
        let (run, mut after) = named.ok_or(Cause::Content("it names no run, or no rounds"))?;
        for (name, view) in vectors {
            let state = name.split_once('/').and_then(|(round, name)| {
                Some((after.get_mut(&round.parse().ok()?)?, name)).filter(|_| view.dtype() == Dtype::F32)
            });
            let (state, name) = state.ok_or(Cause::Content("a tensor of it is of no round"))?;
            state.set(name, from_le_bytes(view.data()).collect::<Vec<_>>());
        }
        Ok(Kept { run: Some(run), after })
    }
}

/// Over what a file is `of`, and each vector with its name and length.
fn digest<'a>(of: &str, vectors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut content = of.as_bytes().to_vec();
    for (name, bytes) in vectors {
        content.extend(format!(" {name} {} ", bytes.len()).into_bytes());
        content.extend(bytes);
    }
    Digest::of(&content).to_string()
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

    fn before(memory: &Memory, run: RunId, round: u32) -> Option<f32> {
        memory.before(run, round).unwrap().get("direction/x").map(|values| values[0])
    }

    #[test]
    fn a_round_that_is_repeated_begins_with_what_there_was_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attack-memory.safetensors");
        for memory in [Memory::default(), Memory::at(Of::Attack, path.clone()).unwrap()] {
            assert_eq!(before(&memory, RUN, 1), None);
            for round in [2, 3, 5] {
                memory.keep(RUN, round, state(round as f32)).unwrap();
            }
            assert_eq!([9, 5, 3].map(|round| before(&memory, RUN, round)), [Some(5.0), Some(3.0), None]);
            memory.keep(RUN, 4, state(4.0)).unwrap();
            assert_eq!(before(&memory, RUN, 9), Some(4.0), "what came after is of a run that did not go on");
            memory.keep(RUN, 2, state(2.0)).unwrap();
            assert_eq!(before(&memory, RUN, 9), Some(4.0), "of a client that stood still");
            memory.keep(RUN, 5, State::default()).unwrap();
            assert_eq!(before(&memory, RUN, 9), None, "the attack has let go of it");
            assert_eq!(before(&memory, RunId(8), 9), None);
        }
        let other = Memory::at(Of::Attack, path).unwrap();
        assert_eq!(before(&other, RUN, 5), Some(4.0), "another client goes on from there");
    }

    #[test]
    fn an_attack_that_keeps_nothing_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/memory");
        let memory = Memory::at(Of::Attack, path.clone()).unwrap();
        memory.keep(RUN, 1, State::default()).unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory");
        Memory::at(Of::Attack, path.clone()).unwrap().keep(RUN, 1, state(1.0)).unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..5], b"", b"no tensors at all", &flipped] {
            fs::write(&path, damaged).unwrap();
            let error = Memory::at(Of::Attack, path.clone()).unwrap_err().to_string();
            assert!(error.contains("memory: not what a client has written: "), "{error}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(Memory::at(Of::Attack, path).unwrap_err().to_string().contains("it is no file"));
        for (of, says) in [
            (Of::Attack, ["--attack-memory /proc/nowhere/memory: ", "to have the attack begin anew"]),
            (Of::Training, ["--training-memory /proc/nowhere/memory: ", "to have the momentum begin anew"]),
        ] {
            let nowhere = Memory::at(of, "/proc/nowhere/memory".into()).unwrap_err().to_string();
            assert!(says.iter().all(|part| nowhere.contains(part)), "{nowhere}");
        }
    }
}
