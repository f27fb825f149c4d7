//! Training examples that an attack puts into the shards of compromised devices.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use learning::data::Dataset;
use wire::identity::DeviceId;

/// What an attack knows when it plants examples: before the run, and of the training data all.
pub struct Planting<'a> {
    /// The training data, before it is dealt out.
    pub train: &'a Dataset,
    /// Seed of the run.
    pub seed: u64,
    /// The compromised devices.
    pub attackers: &'a BTreeSet<DeviceId>,
    /// What has been found out about the training data.
    pub memory: &'a Memory,
    /// Those of the attack's [own examples](super::Attack::example_file) that are not held out.
    pub examples: Option<&'a Dataset>,
}

/// Examples of the shape of the training data, and whose they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planted {
    /// Features as a batch has them, example by example.
    pub features: Vec<f32>,
    /// One label per example.
    pub labels: Vec<u16>,
    /// Which of the examples join the shard of a device.
    pub places: BTreeMap<DeviceId, Vec<usize>>,
}

/// What attacks have found out about a data set, for other runs on the same one. Clones share it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<String, Arc<dyn Any + Send + Sync>>>>);

impl Memory {
    /// What is known by this name, or else what `find` finds out.
    ///
    /// # Panics
    /// If something of another type is known by this name.
    pub fn recall<T: Any + Send + Sync>(&self, name: &str, find: impl FnOnce() -> T) -> Arc<T> {
        // Not held while computing: a thread that waits for parts of it may pick up another run meanwhile, and would
        // then wait for itself.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(name).cloned();
        let found = found.unwrap_or_else(|| {
            let found = Arc::new(find());
            known().entry(name.to_owned()).or_insert(found).clone()
        });
        found.downcast().expect("one name for things of one type")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
