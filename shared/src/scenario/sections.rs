//! The tables of a scenario file and their defaults (the paper's Table 1 where it has one).

use serde::{Deserialize, Serialize};

use crate::rules::RuleName;

pub(super) fn one() -> u64 {
    1
}

/// `[training]`: local training (paper section 2.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Training {
    /// Step size of SGD on the mean loss of a batch. The default is what the authors' 0.003 on a loss summed
    /// over a batch of 32 amounts to.
    pub learning_rate: f64,
    /// Examples in a minibatch.
    pub batch_size: u32,
    /// SGD steps in a round (the paper's R); with 0 a device sends the model back as it came.
    pub local_steps: u32,
}

impl Default for Training {
    fn default() -> Self {
        Training { learning_rate: 0.096, batch_size: 32, local_steps: 1 }
    }
}

/// `[fleet]`: the devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Fleet {
    /// Number of devices (the paper's m).
    pub devices: u32,
    /// Number of compromised devices among them (the paper's c).
    pub compromised: u32,
    /// Degree of non-IID (the paper's p): share of a label's examples that go to the label's own group of devices.
    pub non_iid: f64,
    /// Devices that take part in a round; all of them by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected: Option<u32>,
}

impl Default for Fleet {
    fn default() -> Self {
        Fleet { devices: 100, compromised: 20, non_iid: 0.5, selected: None }
    }
}

/// `[aggregation]`: what the aggregator does with the updates (paper section 2.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Aggregation {
    /// The rule.
    pub rule: RuleName,
    /// Whether the mean counts a device by its examples (`FedAvg`) instead of once.
    pub weighted: bool,
    /// How many compromised devices the aggregator reckons with; as many as there are by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<u32>,
    /// With how many updates a round is aggregated at the least; with as many as the rule takes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_quorum: Option<u32>,
    /// How many values the trimmed mean drops at either end (the paper's beta); `byzantine` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trim: Option<u32>,
    /// How many updates Bulyan selects (the paper's theta); by default m - 2 `byzantine` of the m updates of the round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theta: Option<u32>,
    /// How many values Bulyan averages (the paper's gamma); by default `theta` - 2 `byzantine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gamma: Option<u32>,
}

impl Default for Aggregation {
    fn default() -> Self {
        Aggregation {
            rule: RuleName::Mean,
            weighted: true,
            byzantine: None,
            round_quorum: None,
            trim: None,
            theta: None,
            gamma: None,
        }
    }
}

/// `[attack]`: what the compromised devices do (paper sections 3 and 4.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Attack {
    /// The attack.
    pub kind: AttackKind,
    /// What the attacker knows; the Krum and the trimmed-mean attack come in both forms.
    pub knowledge: Knowledge,
    /// What the Krum and the trimmed-mean attack are after.
    pub goal: Goal,
    /// Whence the directed deviation takes its direction under full knowledge.
    pub direction: Direction,
    /// How far beyond the benign extreme the trimmed-mean attack's crafted values reach (the paper's b).
    pub spread: f64,
    /// Euclidean distance from the Krum attack's crafted model within which its supporters lie.
    pub epsilon: f64,
    /// The Krum attack gives up where it would have to shift each coordinate by less than this.
    pub threshold: f64,
    /// Share of the rounds, drawn from the seed, in which compromised devices attack; in others they behave (the
    /// paper's figure 5c).
    pub round_fraction: f64,
    /// Which compromised devices hold the examples of the back-gradient attack.
    pub placement: Placement,
}

impl Default for Attack {
    fn default() -> Self {
        Attack {
            kind: AttackKind::None,
            knowledge: Knowledge::Partial,
            goal: Goal::Directed,
            direction: Direction::Mean,
            spread: 2.0,
            epsilon: 0.01,
            threshold: 1e-5,
            round_fraction: 1.0,
            placement: Placement::Uniform,
        }
    }
}

/// The attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackKind {
    /// Compromised devices behave.
    None,
    /// Draws from a normal fitted to all before-attack models.
    Gaussian,
    /// Label l becomes L-1-l in training.
    LabelFlip,
    /// The paper's attack on the trimmed mean, also used against median and mean.
    TrimmedMean,
    /// The paper's attack on Krum, also used against Bulyan.
    Krum,
    /// Training examples optimised to harm, in the shards of compromised devices.
    BackGradient,
}

/// Which compromised devices hold poisoned examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// One of them holds all.
    Single,
    /// Each holds as many.
    Uniform,
}

/// What the attacker knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knowledge {
    /// The before-attack models of the compromised devices.
    Partial,
    /// The updates of the benign devices, too.
    Full,
}

/// What an attack is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The global model is to go against the direction that it would take without attack (paper section 3.1).
    Directed,
    /// The global model is to go far from where it would go, whichever way (the paper's appendix B).
    Undirected,
}

/// Whence the directed deviation takes its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// sign(mean of all before-attack models - global model): reproduces the paper's tables.
    Mean,
    /// sign(aggregate of all before-attack models by the rule under attack - global model): the paper read
    /// literally; weaker against trimmed mean and median.
    Rule,
}

/// `[evaluation]`: when the global model is evaluated on the whole test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Evaluation {
    /// Every so many rounds, and after the last.
    pub every: u32,
    /// Which global model is the result of the run (the paper's training strategy, its section 6).
    pub model: ResultModel,
}

/// Which global model is the result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultModel {
    /// The last.
    Last,
    /// The one of lowest testing error among those that were evaluated.
    Best,
}

impl Default for Evaluation {
    fn default() -> Self {
        Evaluation { every: 10, model: ResultModel::Last }
    }
}

/// `[timing]`: how long is waited for devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Timing {
    /// Seconds for all devices to answer the roll call; then the run starts with those that did.
    pub gather_seconds: u32,
    /// Seconds for all selected devices to deliver; then the round goes on with those that did.
    pub round_seconds: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { gather_seconds: 60, round_seconds: 60 }
    }
}
