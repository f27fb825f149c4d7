//! The data of a scenario, and each device's shard of it.

use std::path::Path;
use std::sync::Arc;

use shared::data::{self, DataError, Dataset, Shard, partition};
use shared::random::{Purpose, stream};
use shared::scenario::Scenario;

/// Training and test data, held once however many devices share them.
#[derive(Clone, Debug)]
pub struct FleetData {
    /// What is partitioned over the devices.
    pub train: Arc<Dataset>,
    /// What the global model is evaluated on.
    pub test: Arc<Dataset>,
}

impl FleetData {
    /// Loads the data of `scenario` from the folder `datasets`.
    ///
    /// # Errors
    /// [`DataError`] names the file, what is wrong with it and what to do.
    pub fn load(scenario: &Scenario, datasets: &Path) -> Result<Self, DataError> {
        let split = data::load(scenario.dataset, datasets, scenario.seed)?;
        Ok(FleetData { train: Arc::new(split.train), test: Arc::new(split.test) })
    }

    /// The devices' shards in order of device: the paper's non-IID partition.
    pub fn shards(&self, scenario: &Scenario) -> Vec<Shard> {
        let mut random = stream(scenario.seed, Purpose::Partition, None, 0);
        let devices = scenario.fleet.devices as usize;
        let (labels, classes) = (self.train.labels(), self.train.classes());
        partition(labels, classes, devices, scenario.fleet.non_iid, &mut random)
            .into_iter()
            .map(|indices| Shard::new(self.train.clone(), indices))
            .collect()
    }
}
