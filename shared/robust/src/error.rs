//! Why a rule refuses to aggregate.

/// What is wrong with the updates, or with a rule's parameters for that many of them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuleError {
    /// There is nothing to aggregate.
    #[error("there are no updates to aggregate: wait for at least one device")]
    NoUpdates,
    /// Updates of different models.
    #[error(
        "row {row} has {actual} values where row 0 has {expected}: all updates of a round must be of one model"
    )]
    Dimension {
        /// Index of the row.
        row: usize,
        /// Length of the first row.
        expected: usize,
        /// Length of this row.
        actual: usize,
    },
    /// A model that the updates cannot have been trained from.
    #[error(
        "the global model has {actual} values where the updates have {expected}: both must be of one model"
    )]
    Origin {
        /// Length of the rows.
        expected: usize,
        /// Length of the model.
        actual: usize,
    },
    /// Not one weight for each row.
    #[error("{weights} weights for {rows} updates: give each update one weight, or none at all")]
    WeightCount {
        /// Number of updates.
        rows: usize,
        /// Number of weights.
        weights: usize,
    },
    /// A weight that is no number of examples.
    #[error("the weight of row {row} is {weight}: a weight is a number of examples, finite and not negative")]
    Weight {
        /// Index of the row.
        row: usize,
        /// Its weight.
        weight: f64,
    },
    /// All weights are zero, so that their mean is undefined.
    #[error("all {rows} updates have weight 0: at least one device must have trained on an example")]
    NoWeight {
        /// Number of updates.
        rows: usize,
    },
    /// The rule's guarantee does not hold for these numbers.
    #[error(
        "{rule} needs {condition}, but {parameter} = {value} and devices = {devices}: \
         raise the number of devices or lower aggregation.{parameter}"
    )]
    Condition {
        /// Name of the rule.
        rule: &'static str,
        /// The condition, in terms of `parameter` and `devices`.
        condition: &'static str,
        /// Key of the parameter in the scenario's `[aggregation]` table.
        parameter: &'static str,
        /// Value of the parameter.
        value: usize,
        /// Number of updates (the paper's m).
        devices: usize,
    },
    /// A setting that cannot be.
    #[error("{rule} needs {parameter} to be {condition}, and not {value}: change aggregation.{parameter}")]
    Setting {
        /// Name of the rule.
        rule: &'static str,
        /// Key of the setting in the scenario's `[aggregation]` table.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        condition: &'static str,
    },
    /// An exact search that would take too long.
    #[error(
        "{rule} looks among too many subsets of {devices} updates without {byzantine} of them: after {steps} steps it \
         gives up; lower aggregation.byzantine or the number of devices"
    )]
    TooHard {
        /// Name of the rule.
        rule: &'static str,
        /// Steps after which it gives up.
        steps: u64,
        /// Number of updates (the paper's m).
        devices: usize,
        /// How many are left out.
        byzantine: usize,
    },
    /// Bulyan's guarantee does not hold for these numbers, of which each condition takes several.
    #[error(
        "bulyan needs {condition}, but byzantine = {byzantine}, devices = {devices}, theta = {theta} and \
         gamma = {gamma}: change aggregation.byzantine, theta or gamma, or the number of devices"
    )]
    Bulyan {
        /// The condition.
        condition: &'static str,
        /// Number of updates selected (the paper's θ).
        theta: usize,
        /// Number of values averaged (the paper's γ).
        gamma: usize,
        /// Number of Byzantine devices to withstand (the paper's c).
        byzantine: usize,
        /// Number of updates (the paper's m).
        devices: usize,
    },
    /// What the rule needs to know of a round is not known where it is to aggregate.
    #[error("{rule} needs {needs}, which is not known here")]
    Unknown {
        /// Name of the rule.
        rule: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// Another program that computes the rule failed, or cannot be started.
    #[error("{0}")]
    Program(String),
    /// What the rule is computed on failed; the updates and the rule's parameters are fine.
    #[error("{0}")]
    Backend(String),
}
