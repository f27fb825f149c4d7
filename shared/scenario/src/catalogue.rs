//! What a scenario can choose by name: an ordinary value, which each program passes on to whatever reads a scenario.
//!
//! [`Catalogue::standard`] is what comes with Outpost. Another crate adds to it and calls the same `main` of each program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use learning::data;
use learning::models::{self, Architecture};
use robust::Rule;
use toml::Table;

use crate::attacks::{self, Attack};
use crate::defense::{self, Stage};
use crate::optimizers::{self, Optimizer};
use crate::programs;
use crate::registry::{Registry, Settings};

/// The models, rules, optimizers, stages, attacks, data sets and partitions that a scenario may name.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// Models: `model`.
    pub models: Registry<dyn Architecture>,
    /// Aggregation rules: `aggregation.rule`.
    pub rules: Registry<dyn Rule>,
    /// Optimizers of the aggregator: `optimizer.kind`.
    pub optimizers: Registry<dyn Optimizer>,
    /// Stages before the rule: `defense.kind`.
    pub stages: Registry<dyn Stage>,
    /// Attacks: `attack.kind`.
    pub attacks: Registry<dyn Attack>,
    /// Data sets: `dataset`.
    pub datasets: Registry<dyn data::Source>,
    /// Partitions of a data set over the devices: `fleet.partition`.
    pub partitions: Registry<dyn data::Partition>,
    pub(crate) found: Option<FoundInFiles>,
}

/// Settings of data sets that are found in files below a folder, each time the same.
#[derive(Clone, Debug)]
pub(crate) struct FoundInFiles {
    pub(crate) folder: PathBuf,
    /// What has been found, by what a scenario says.
    pub(crate) known: Arc<Mutex<BTreeMap<String, Table>>>,
}

impl Catalogue {
    /// The same, which finds in files below the folder `datasets` what a scenario does not say of its data set.
    #[must_use]
    pub fn with_datasets_in(&self, datasets: &Path) -> Self {
        let found = FoundInFiles { folder: datasets.to_owned(), known: Arc::default() };
        Catalogue { found: Some(found), ..self.clone() }
    }

    /// What comes with Outpost.
    #[expect(clippy::too_many_lines, reason = "it is the list, a line for each thing")]
    pub fn standard() -> Self {
        let mut rules =
            Registry::<dyn Rule>::new("aggregation rule", "rule", &["rule", "byzantine", "round-quorum"]);
        rules.add::<robust::Mean>("mean");
        rules.add::<robust::Krum>("krum");
        rules.add::<robust::MultiKrum>("multi-krum");
        rules.add::<robust::Bulyan>("bulyan");
        rules.add::<robust::TrimmedMean>("trimmed-mean");
        rules.add::<robust::Median>("median");
        rules.add::<robust::Meamed>("meamed");
        rules.add::<robust::GeometricMedian>("geometric-median");
        rules.add::<robust::MedianOfMeans>("median-of-means");
        rules.add::<robust::CenteredClipping>("centered-clipping");
        rules.add::<robust::Cge>("cge");
        rules.add::<robust::Mda>("mda");
        rules.add::<robust::Smea>("smea");
        rules.add::<robust::Caf>("caf");
        rules.add::<robust::SignMajority>("sign-majority");
        rules.add::<robust::FoolsGold>("foolsgold");
        rules.add::<robust::FlTrust>("fltrust");
        rules.add::<programs::ProgramRule>("program");

        let mut optimizers = Registry::<dyn Optimizer>::new("optimizer", "kind", &["kind"]);
        optimizers.add::<optimizers::Momentum>("momentum");
        optimizers.add::<optimizers::Adam>("adam");

        let mut stages = Registry::<dyn Stage>::new("defense", "kind", &["kind"]);
        stages.add::<defense::ErrorRateRejection>("err");
        stages.add::<defense::LossRejection>("lfr");
        stages.add::<defense::Union>("union");
        stages.add::<defense::Clip>("clip");
        stages.add::<defense::AdaptiveClipping>("arc");
        stages.add::<defense::NearestNeighbourMixing>("nnm");
        stages.add::<defense::Bucketing>("bucketing");
        stages.add::<defense::DivideAndConquer>("dnc");
        stages.add::<defense::NormSign>("norm-sign");
        stages.add::<defense::ClippedClustering>("clipped-clustering");
        stages.add::<defense::Flame>("flame");
        stages.add::<defense::FlDetector>("fldetector");
        stages.add::<defense::Spectral>("spectral");
        stages.add::<defense::Roni>("roni");
        stages.add::<defense::Trim>("trim");
        stages.add::<programs::ProgramStage>("program");

        let mut attacks = Registry::<dyn Attack>::new("attack", "kind", &["kind", "round-fraction"]);
        attacks.add::<attacks::Gaussian>("gaussian");
        attacks.add::<attacks::LabelFlip>("label-flip");
        attacks.add::<attacks::TrimmedMean>("trimmed-mean");
        attacks.add::<attacks::Krum>("krum");
        attacks.add::<attacks::BackGradient>("back-gradient");
        attacks.add::<attacks::InnerProduct>("inner-product");
        attacks.add::<attacks::LittleIsEnough>("little-is-enough");
        attacks.add::<attacks::MinMax>("min-max");
        attacks.add::<attacks::MinSum>("min-sum");
        attacks.add::<attacks::Tailored>("tailored");
        attacks.add::<attacks::Mimic>("mimic");
        attacks.add::<attacks::SignFlip>("sign-flip");
        attacks.add::<attacks::Noise>("noise");
        attacks.add::<attacks::GlobalCopy>("copy");
        attacks.add::<attacks::Random>("random");
        attacks.add::<attacks::Trigger>("trigger");
        attacks.add::<attacks::SplitTrigger>("split-trigger");
        attacks.add::<attacks::EdgeCase>("edge-case");
        attacks.add::<attacks::ModelReplacement>("model-replacement");
        attacks.add::<attacks::Alternating>("alternating");
        attacks.add::<attacks::Neurotoxin>("neurotoxin");
        attacks.add::<attacks::PoisonedFl>("poisoned-fl");
        attacks.add::<attacks::Delay>("delay");
        attacks.add::<attacks::Silence>("drop");
        attacks.add::<attacks::Flood>("flood");
        attacks.add::<attacks::SlowLoris>("slow-loris");
        attacks.add::<attacks::Replay>("replay");
        attacks.add::<programs::ProgramAttack>("program");

        let mut datasets = Registry::<dyn data::Source>::new("data set", "kind", &["kind"]);
        datasets.add::<data::Mnist>("mnist");
        datasets.add::<data::FashionMnist>("fashion-mnist");
        datasets.add::<data::ChMnist>("ch-mnist");
        datasets.add::<data::BreastCancer>("breast-cancer");
        datasets.add::<data::Cifar10>("cifar-10");
        datasets.add::<data::Cifar100>("cifar-100");
        datasets.add::<data::Emnist>("emnist");
        datasets.add::<data::Femnist>("femnist");
        datasets.add::<data::UciHar>("uci-har");
        datasets.add::<data::OwnFile>("file");
        datasets.add::<data::OnDevices>("devices");

        let mut partitions = Registry::<dyn data::Partition>::new(
            "partition",
            "partition",
            &["devices", "compromised", "partition", "selected"],
        );
        partitions.add::<data::LabelGroups>("label-groups");
        partitions.add::<data::Iid>("iid");
        partitions.add::<data::Dirichlet>("dirichlet");
        partitions.add::<data::LabelShards>("shards");
        partitions.add::<data::Similarity>("similarity");
        partitions.add::<data::Quantity>("quantity");
        partitions.add::<data::WholeGroups>("groups");

        Catalogue {
            models: Catalogue::models().ours(),
            rules: rules.ours(),
            optimizers: optimizers.ours(),
            stages: stages.ours(),
            attacks: attacks.ours(),
            datasets: datasets.ours(),
            partitions: partitions.ours(),
            found: None,
        }
    }

    fn models() -> Registry<dyn Architecture> {
        let mut models =
            Registry::<dyn Architecture>::new("model", "kind", &["kind", "weights", "anew", "frozen"]);
        models.add::<models::LogisticRegression>("logistic-regression");
        models.add::<models::Dnn>("dnn");
        models.add::<models::ResNet20>("resnet20");
        models.add::<models::CnnByzfl>("cnn-byzfl");
        models.add::<models::CnnMcmahan>("cnn-mcmahan");
        models.add::<models::TwoNn>("2nn");
        models.add::<models::Mlp>("mlp");
        models.add::<models::LeNet5>("lenet5");
        models.add::<models::Cnn1d>("cnn1d");
        models.add::<models::GruClassifier>("gru");
        models.add::<models::Layers>("layers");
        models
    }
}

/// A method `add` for the things of each kind: which settings can be such a thing is only known kind by kind.
macro_rules! may_be_added {
    ($($kind:path),+) => {
        $(impl Registry<dyn $kind> {
            /// Adds what has these settings, called `name`.
            pub fn add<S: $kind + Settings>(&mut self, name: &str) {
                self.insert::<S>(name, |settings| settings, |settings| Arc::new(settings));
            }
        })+
    };
}

may_be_added!(Architecture, Rule, Optimizer, Stage, Attack, data::Source, data::Partition);
