//! The tables of a scenario file and their defaults (the paper's Table 1 where it has one).

use learning::data::Partition;
use robust::Rule;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use toml::Table;

use crate::attacks;
use crate::registry::NONE;
use input::chosen::Chosen;

pub(super) fn one() -> u64 {
    1
}

/// `[fleet]`: the devices.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fleet {
    /// Number of devices (the paper's m).
    pub devices: u32,
    /// Number of compromised devices among them (the paper's c).
    pub compromised: u32,
    /// Which example goes to which of them, with its settings; `None` where each has its own.
    #[serde(flatten, serialize_with = "unless_usual")]
    pub partition: Option<Chosen<dyn Partition>>,
    /// Devices that take part in a round.
    pub selected: u32,
}

/// The partition of a file that names none.
pub(super) const USUAL_PARTITION: &str = "label-groups";

/// The settings of a partition, after its name where that is another than the usual one: files and shards from before there
/// were others say the same.
#[expect(clippy::ref_option, reason = "serde calls it so")]
fn unless_usual<S: Serializer>(
    partition: &Option<Chosen<dyn Partition>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match partition {
        None => Table::new().serialize(serializer),
        Some(partition) if partition.name() == USUAL_PARTITION => partition.settings().serialize(serializer),
        Some(partition) => partition.serialize(serializer),
    }
}

/// The keys of `[fleet]` that every partition has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct FleetKeys {
    /// Number of devices (the paper's m).
    pub(super) devices: u32,
    /// Number of compromised devices among them (the paper's c).
    pub(super) compromised: u32,
    /// Which example goes to which of them; the usual one if nobody says it, and none where each device has its own.
    pub(super) partition: Option<String>,
    /// Devices that take part in a round; all of them by default.
    pub(super) selected: Option<u32>,
}

impl Default for FleetKeys {
    fn default() -> Self {
        FleetKeys { devices: 100, compromised: 20, partition: None, selected: None }
    }
}

/// `[aggregation]`: what the aggregator does with the updates (paper section 2.2).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Aggregation {
    /// The rule, with its settings.
    #[serde(flatten)]
    pub rule: Chosen<dyn Rule>,
    /// How many compromised devices the aggregator assumes; as many as there are by default.
    pub byzantine: u32,
    /// With how many updates a round is aggregated at the least; with as many as the rule takes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_quorum: Option<u32>,
}

/// The keys of `[aggregation]` that every rule has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AggregationKeys {
    /// The rule.
    pub(super) rule: String,
    /// How many compromised devices the aggregator assumes; as many as there are by default.
    pub(super) byzantine: Option<u32>,
    /// With how many updates a round is aggregated at the least; with as many as the rule takes by default.
    pub(super) round_quorum: Option<u32>,
}

impl Default for AggregationKeys {
    fn default() -> Self {
        AggregationKeys { rule: "mean".to_owned(), byzantine: None, round_quorum: None }
    }
}

/// The key of `[optimizer]` that every optimizer has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct OptimizerKeys {
    /// The optimizer; with `none`, the rule's aggregate is the next global model.
    pub(super) kind: String,
}

impl Default for OptimizerKeys {
    fn default() -> Self {
        OptimizerKeys { kind: NONE.to_owned() }
    }
}

/// `[attack]`: what the compromised devices do (paper sections 3 and 4.1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attack {
    /// The attack, with its settings, if there is one.
    #[serde(flatten)]
    pub kind: Option<Chosen<dyn attacks::Attack>>,
    /// Share of the rounds, drawn from the seed, in which compromised devices attack; in others they act honestly (the
    /// paper's figure 5c).
    pub round_fraction: f64,
}

impl Attack {
    pub(super) fn is_none(&self) -> bool {
        self.kind.is_none()
    }
}

/// The keys of `[attack]` that every attack has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct AttackKeys {
    /// The attack; with `none`, compromised devices act honestly.
    pub(super) kind: String,
    /// Share of the rounds, drawn from the seed, in which compromised devices attack; in others they act honestly (the
    /// paper's figure 5c).
    pub(super) round_fraction: f64,
}

impl Default for AttackKeys {
    fn default() -> Self {
        AttackKeys { kind: NONE.to_owned(), round_fraction: 1.0 }
    }
}

/// The key of `[defense]` that every stage has.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct StageKeys {
    /// The stage; with `none`, there is none.
    pub(super) kind: String,
}

impl Default for StageKeys {
    fn default() -> Self {
        StageKeys { kind: NONE.to_owned() }
    }
}

/// `[evaluation]`: when the global model is evaluated on the whole test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Evaluation {
    /// Every so many rounds, and after the last.
    pub every: u32,
    /// Which global model is the result of the run (the paper's training strategy, its section 6).
    pub model: ResultModel,
}

/// Which global model is the result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
