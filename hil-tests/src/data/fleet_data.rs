//! The data of a scenario, and each device's shard of it.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use aggregator_node::run;
use anyhow::Context;
use edge_client::shard::OwnShard;
use input::toml_file::FileError;
use learning::data::{self, DataError, Dataset, Shard, ShardEntry, ShardInfo, ShardList, ShardSource, Split};
use learning::random::{Purpose, stream};
use scenario::Scenario;
use scenario::attacks::{Attack, Memory, Planted, Planting};
use scenario::data::{TooFewExamples, TrainingExamples};
use wire::identity::{DeviceId, Digest};

/// Training and test data, held once however many devices share them.
///
/// Clones share what attacks find out about the training data, too: runs that differ in rule or model use it again.
#[derive(Clone, Debug)]
pub struct FleetData {
    /// What is partitioned over the devices.
    pub train: Arc<Dataset>,
    /// What the global model is evaluated on.
    pub test: Arc<Dataset>,
    /// What the aggregator trains on itself, if its rule wants that.
    pub root: Option<Arc<Dataset>>,
    /// What the attack has read from a file of the user's, if it does so.
    attack_examples: Option<Arc<Split>>,
    /// What devices have of their own, where the data lie on them.
    own: Option<OwnShards>,
    memory: Memory,
    digests: Arc<OnceLock<(Digest, Digest)>>,
    /// Digest of the whole data set, whatever is drawn of it and however it is split.
    whole: Digest,
}

/// The shards that devices have of their own, in a folder of this machine.
#[derive(Clone, Debug)]
struct OwnShards {
    folder: PathBuf,
    /// One for each device, in order of device, or why it has none that fits.
    shards: Arc<Vec<Result<OwnShard, String>>>,
}

/// Why a scenario has no data.
#[derive(Debug, thiserror::Error)]
pub enum FleetDataError {
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Fewer training examples than the scenario asks for.
    #[error(transparent)]
    TooFew(#[from] TooFewExamples),
    /// The examples of the attack cannot be used.
    #[error(transparent)]
    AttackExamples(#[from] FileError),
    /// The data lie on the devices, and nobody says where.
    #[error(
        "the data of this scenario lie on the devices: run it --on boards, or give --shards DIR with device-000.safetensors and \
         so on, which `edge-client import` makes, to --on software or processes"
    )]
    OnDevices,
    /// There is a folder of shards, and each device gets one that is dealt out.
    #[error("--shards is for a data set of kind `devices`; the shards of {0} are dealt out")]
    Dealt(String),
    /// The data of a device are not those of the scenario.
    #[error("{path}: {why}", path = path.display())]
    Unfit {
        /// Its shard.
        path: PathBuf,
        /// In which way.
        why: String,
    },
    /// Examples that the partition cannot deal out to so many devices.
    #[error("{0}: {1}")]
    Partition(&'static str, String),
    /// Fewer training examples than devices.
    #[error(
        "fleet.devices: {devices} is more than the {examples} training examples of {dataset} that there are, so that \
         devices would have none; lower it"
    )]
    FewerThanDevices {
        /// How many devices there are.
        devices: u32,
        /// How many examples there are.
        examples: usize,
        /// The data set.
        dataset: String,
    },
}

/// What decides the data of a scenario: scenarios with the same key have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataKey {
    dataset: String,
    train_examples: Option<u32>,
    root_examples: usize,
    /// The file of the attack, if it has one, with what decides which of its examples are held out.
    attack_examples: Option<(String, u64)>,
    /// Where the seed decides which examples are for training.
    seed: Option<u64>,
}

impl DataKey {
    /// The key of `scenario`.
    pub fn of(scenario: &Scenario) -> Self {
        let train_examples = scenario.data.train_examples;
        let root_examples = scenario.aggregation.rule.root_examples();
        let drawn = train_examples.is_some() || root_examples > 0 || !scenario.dataset.comes_split();
        let (dataset, seed) = (scenario.dataset.spelled(), drawn.then_some(scenario.seed));
        let file = scenario.attack.kind.as_ref().and_then(|attack| attack.example_file());
        let attack_examples = file.map(|file| (format!("{file:?}"), scenario.seed));
        DataKey { dataset, train_examples, root_examples, attack_examples, seed }
    }
}

impl FleetData {
    /// Loads the data of `scenario` from the folder `datasets`.
    ///
    /// # Errors
    /// [`FleetDataError`] names the file or the key, what is wrong with it and what to do.
    pub fn load(scenario: &Scenario, datasets: &Path) -> Result<Self, FleetDataError> {
        let split = data::load(&scenario.dataset, datasets, scenario.seed)?;
        // Two runs of different seeds are to be held against each other.
        let whole = if scenario.dataset.comes_split() {
            split.digest()
        } else {
            data::load(&scenario.dataset, datasets, 0)?.digest()
        };
        let TrainingExamples { devices, root } = scenario.training_examples(split.train)?;
        let data = FleetData {
            root: root.map(Arc::new),
            attack_examples: scenario.attack_examples(datasets)?.map(Arc::new),
            ..FleetData::new(devices, split.test, whole)
        };
        data.check(scenario)?;
        Ok(data)
    }

    /// The same, where each device of `scenario` has a shard of its own in `folder`, if there is one.
    ///
    /// # Errors
    /// [`FleetDataError::Dealt`].
    pub fn with_shards_in(self, scenario: &Scenario, folder: Option<&Path>) -> Result<Self, FleetDataError> {
        let Some(folder) = folder else { return Ok(self) };
        let Some(expected) = scenario.dataset.on_devices() else {
            return Err(FleetDataError::Dealt(scenario.dataset.name().to_owned()));
        };
        let read = |device| OwnShard::imported(&folder.join(file_name(device)), expected);
        let shards = scenario.devices().map(read).collect();
        let own = OwnShards { folder: folder.to_owned(), shards: Arc::new(shards) };
        Ok(FleetData { own: Some(own), ..self })
    }

    fn new(train: Dataset, test: Dataset, whole: Digest) -> Self {
        FleetData {
            train: Arc::new(train),
            test: Arc::new(test),
            root: None,
            attack_examples: None,
            own: None,
            memory: Memory::default(),
            digests: Arc::default(),
            whole,
        }
    }

    /// The digests of what a run is made of, as its manifest has them.
    pub fn named_digests(&self, dataset: &str) -> BTreeMap<String, String> {
        let (test, training) = self.digests();
        let attack = self.attack_examples.as_ref().map(|split| ("attack", split.digest()));
        let parts = [("test", test), ("training", training), ("whole", self.whole)];
        // Of training examples that lie on the devices nobody knows all.
        let known = if self.train.is_empty() { &parts[..1] } else { &parts };
        run::data_digests(dataset, known.iter().copied().chain(attack))
    }

    /// The digests of test and training data, before there is poison in it.
    pub fn digests(&self) -> (Digest, Digest) {
        *self.digests.get_or_init(|| (self.test.digest(), self.train.digest()))
    }

    /// Makes sure that each device of `scenario` has an example: data may be loaded once for several scenarios.
    ///
    /// # Errors
    /// [`FleetDataError::FewerThanDevices`], [`FleetDataError::Partition`].
    pub fn check(&self, scenario: &Scenario) -> Result<(), FleetDataError> {
        let Some(partition) = &scenario.fleet.partition else { return Ok(()) };
        let (devices, examples) = (scenario.fleet.devices, self.train.len());
        if devices as usize > examples {
            let dataset = scenario.dataset.spelled();
            return Err(FleetDataError::FewerThanDevices { devices, examples, dataset });
        }
        let fits = partition.fits(&self.train, devices as usize);
        fits.map_err(|(key, message)| FleetDataError::Partition(key, message))
    }

    /// What the attack is judged by, if it has examples of its own.
    pub fn held_out(&self) -> Option<Arc<Dataset>> {
        self.attack_examples.as_ref().map(|split| Arc::new(split.test.clone()))
    }

    /// The devices' shards in order of device: what each has of its own, or what the partition deals out and the attack plants
    /// in those of compromised devices.
    ///
    /// # Errors
    /// [`FleetDataError::OnDevices`] or [`FleetDataError::Unfit`], where each has its own.
    pub fn shards(&self, scenario: &Scenario) -> Result<Vec<Shard>, FleetDataError> {
        let Some(partition) = &scenario.fleet.partition else {
            let own = self.own.as_ref().ok_or(FleetDataError::OnDevices)?;
            let shard = |(device, shard): (DeviceId, &Result<OwnShard, String>)| match shard {
                Ok(own) => Ok(own.shard.clone()),
                Err(why) => {
                    let path = own.folder.join(file_name(device));
                    Err(FleetDataError::Unfit { path, why: why.clone() })
                }
            };
            return scenario.devices().zip(own.shards.iter()).map(shard).collect();
        };
        let mut random = stream(scenario.seed, Purpose::Partition, None, 0);
        let devices = scenario.fleet.devices as usize;
        let mut parts = partition.deal(&self.train, devices, &mut random);
        let train = match &scenario.attack.kind {
            Some(attack) if attack.plants() => self.planted(scenario, &**attack, &mut parts),
            _ => self.train.clone(),
        };
        Ok(parts.into_iter().map(|indices| Shard::new(train.clone(), indices)).collect())
    }

    /// The digest of the file of `device`'s `shard`.
    pub fn shard_digest(&self, scenario: &Scenario, device: DeviceId, shard: &Shard) -> Digest {
        let own = self.own.as_ref().and_then(|own| own.shards.get(device.0 as usize)?.as_ref().ok());
        own.map_or_else(|| shard.digest(&self.shard_info(scenario, device)), |own| own.digest)
    }

    /// What the file of `device`'s shard says of it.
    pub fn shard_info(&self, scenario: &Scenario, device: DeviceId) -> ShardInfo {
        ShardInfo { dataset: scenario.dataset.name().to_owned(), device, source: self.shard_source(scenario) }
    }

    fn shard_source(&self, scenario: &Scenario) -> ShardSource {
        ShardSource { data: self.digests().1, settings: scenario.shard_settings() }
    }

    /// The list of the `shards` of `scenario`, for its aggregator.
    pub fn shard_list(&self, scenario: &Scenario, shards: &[Shard]) -> ShardList {
        let entry = |(device, shard): (DeviceId, &Shard)| {
            let blake3 = self.shard_digest(scenario, device, shard);
            ShardEntry { device, examples: shard.len() as u32, blake3 }
        };
        let entries = scenario.devices().zip(shards).map(entry).collect();
        ShardList::new(self.shard_source(scenario), entries)
    }

    /// Writes each device's shard into `folder`, and their list; says where each shard is, in order of device. Where each has
    /// its own, nothing is written: the client says what is wrong with that, if anything is.
    ///
    /// # Errors
    /// If a file cannot be written, or [`FleetDataError::OnDevices`].
    pub fn write_shards(
        &self,
        scenario: &Scenario,
        folder: &Path,
    ) -> anyhow::Result<Vec<(DeviceId, PathBuf)>> {
        let write = |path: PathBuf, bytes: &[u8]| {
            // Whatever has this name, a link perhaps, is not written through.
            let created = match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path),
            };
            let written = created.and_then(|mut file| file.write_all(bytes));
            written.with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::Ok(path)
        };
        if scenario.dataset.on_devices().is_some() {
            let OwnShards { folder, .. } = self.own.as_ref().ok_or(FleetDataError::OnDevices)?;
            let folder = std::path::absolute(folder)?;
            return Ok(scenario.devices().map(|device| (device, folder.join(file_name(device)))).collect());
        }
        let shards = self.shards(scenario)?;
        let list = self.shard_list(scenario, &shards).to_toml();
        write(folder.join(ShardList::FILE), list.as_bytes())?;
        let write = |(device, shard): (DeviceId, &Shard)| {
            let bytes = shard.to_bytes(&self.shard_info(scenario, device));
            Ok((device, write(folder.join(file_name(device)), &bytes)?))
        };
        scenario.devices().zip(&shards).map(write).collect()
    }

    /// The training data with what is planted at its end, and the indices of that in the parts of compromised devices.
    fn planted(&self, scenario: &Scenario, attack: &dyn Attack, parts: &mut [Vec<u32>]) -> Arc<Dataset> {
        let (train, attackers) = (&*self.train, &scenario.attackers());
        let examples = self.attack_examples.as_ref().map(|split| &split.train);
        let planting = Planting { train, seed: scenario.seed, attackers, memory: &self.memory, examples };
        let Planted { features, labels, places } = attack.plant(&planting);
        for (device, examples) in places {
            parts[device.0 as usize]
                .extend(examples.into_iter().map(|example| (train.len() + example) as u32));
        }
        Arc::new(train.with_examples(&features, &labels).expect("what is planted is like training examples"))
    }
}

/// What the file of a device's shard is called in a folder of those of all.
fn file_name(device: DeviceId) -> String {
    format!("{device}.safetensors")
}

#[cfg(test)]
#[path = "../../extension/src/by_label.rs"]
#[allow(unreachable_pub, reason = "it is part of a crate of its own, which docs/extending.md shows")]
mod by_label;
#[cfg(test)]
#[path = "../../extension/src/measurements.rs"]
#[allow(unreachable_pub, reason = "as above")]
mod measurements;

#[cfg(test)]
mod tests {
    use learning::data::{Features, ShardFile};
    use scenario::attacks::back_gradient::Poison;
    use scenario::catalogue::Catalogue;

    use super::*;

    const MNIST: &str = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 3\n\
                         [fleet]\ndevices = 10\ncompromised = 4\n";

    fn scenario(settings: &[&str]) -> Scenario {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("test.toml", MNIST, &settings).unwrap()
    }

    /// 250 images of one pixel: 10 poisoned examples.
    fn data() -> FleetData {
        let labels = (0..10).cycle().take(250).collect();
        let train = Dataset::new(vec![1, 1], 10, Features::Bytes((0..250).collect()), labels).unwrap();
        FleetData::new(train.clone(), train, Digest::of(b"whole"))
    }

    /// How many poisoned examples each device has.
    fn poisoned(shards: &[Shard]) -> Vec<usize> {
        let count = |shard: &Shard| shard.indices().iter().filter(|&&index| index >= 250).count();
        shards.iter().map(count).collect()
    }

    #[test]
    fn poison_joins_the_shards_of_compromised_devices_and_changes_no_other() {
        let (data, clean) = (data(), data().shards(&scenario(&[])).unwrap());
        for (placement, shares) in [("single", &[10, 0, 0, 0]), ("uniform", &[3, 3, 2, 2])] {
            let attacked = scenario(&["attack.kind=back-gradient", &format!("attack.placement={placement}")]);
            let shards = data.shards(&attacked).unwrap();
            let mut expected = vec![0; 10];
            for (device, share) in attacked.attackers().into_iter().zip(shares) {
                expected[device.0 as usize] = *share;
            }
            assert_eq!(poisoned(&shards), expected, "{placement}");
            for (shard, clean) in shards.iter().zip(&clean) {
                assert!(shard.indices().starts_with(clean.indices()));
            }
        }
    }

    #[test]
    fn what_an_attack_finds_out_is_found_out_once_for_all_clones_and_rules() {
        let data = data();
        let attacked = scenario(&["attack.kind=back-gradient"]);
        let first = data.clone().shards(&attacked).unwrap();
        let finds_out = |seed: u64| {
            let mut is_new = false;
            data.memory.recall(&format!("back-gradient {seed}"), || {
                is_new = true;
                Poison { features: Vec::new(), labels: Vec::new() }
            });
            is_new
        };
        assert!(!finds_out(attacked.seed) && finds_out(attacked.seed + 1));
        let again =
            data.shards(&scenario(&["attack.kind=back-gradient", "aggregation.rule=median"])).unwrap();
        assert_eq!(first, again);
    }

    #[test]
    fn a_subset_of_the_training_data_is_a_seeded_draw() {
        let train = || data().train.as_ref().clone();
        let drawn = |settings: &[&str]| scenario(settings).training_examples(train()).unwrap().devices;
        let subset = drawn(&["data.train-examples=100"]);
        assert_eq!(subset.len(), 100);
        assert_eq!(subset, drawn(&["data.train-examples=100"]));
        assert_ne!(subset, drawn(&["data.train-examples=100", "seed=2"]));
        assert_eq!(drawn(&[]), train());
        let pixels = subset.batches(100).next().unwrap().features.to_floats().into_owned();
        assert!(pixels.is_sorted_by(|a, b| a < b), "each once, in order");
    }

    #[test]
    fn more_devices_than_training_examples_are_refused_with_both_numbers() {
        let fleet = |devices: u32| scenario(&[&format!("fleet.devices={devices}")]);
        assert!(data().check(&fleet(250)).is_ok());
        assert!(data().shards(&fleet(250)).unwrap().iter().all(|shard| shard.len() == 1));
        assert_eq!(
            data().check(&fleet(251)).unwrap_err().to_string(),
            "fleet.devices: 251 is more than the 250 training examples of mnist that there are, so that devices would \
             have none; lower it"
        );
    }

    #[test]
    fn more_training_examples_than_there_are_are_refused() {
        let error = scenario(&["data.train-examples=251"]).training_examples(data().train.as_ref().clone());
        let error = error.unwrap_err().to_string();
        assert_eq!(
            error,
            "data.train-examples: 251 is more than the 250 training examples of mnist; lower it"
        );
    }
    #[test]
    fn shards_are_made_of_a_data_set_and_by_a_partition_that_somebody_adds() {
        let mut catalogue = Catalogue::standard();
        catalogue.datasets.add::<measurements::Measurements>("measurements");
        catalogue.partitions.add::<by_label::ByLabel>("by-label");
        let datasets = tempfile::tempdir().unwrap();
        let table = "{ kind = \"measurements\", file = \"m.csv\", columns = 2, classes = 10, train = 40 }";
        let text = MNIST.replace("\"mnist\"", table);
        let read = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
            catalogue.parse("test.toml", &text, &settings).unwrap()
        };
        let scenario = read(&["fleet.partition=by-label", "fleet.sharers=1"]);
        assert_eq!(catalogue.parse("resolved", &scenario.to_toml(), &[]).unwrap(), scenario);

        let folder = datasets.path().join("measurements");
        let line = |number: u32| format!("{number}, 0.5, {}\n", number % 10);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("m.csv"), (0..50).map(line).collect::<String>() + "1, x, 3\n").unwrap();
        let refused = FleetData::load(&scenario, datasets.path()).unwrap_err().to_string();
        assert!(refused.contains("m.csv: line 51: invalid float literal; remove the file"), "{refused}");
        fs::write(folder.join("m.csv"), (0..50).map(line).collect::<String>()).unwrap();
        let data = FleetData::load(&scenario, datasets.path()).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (40, 10));
        let shards = data.shards(&scenario).unwrap();
        for (label, shard) in (0..).zip(&shards) {
            assert!(!shard.is_empty() && shard.labels().iter().all(|&of| of == label));
        }

        let (_, path) = &data.write_shards(&scenario, datasets.path()).unwrap()[9];
        let bytes = fs::read(path).unwrap();
        let read_by = |scenario: &Scenario| {
            ShardFile::read(&bytes, &scenario.dataset, &scenario.shard_settings())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read_by(&scenario).unwrap().shard.labels(), shards[9].labels());
        assert_eq!(
            read_by(&read(&["fleet.partition=iid"])).unwrap_err(),
            "made with fleet.partition = \"by-label\", fleet.sharers = 1, but the scenario says fleet.partition = \"iid\", no \
             fleet.sharers; make the shards anew from this scenario"
        );
        assert!(read_by(&read(&["dataset.train=30"])).unwrap_err().starts_with("made with dataset = { "));
    }
}
