//! The defense of a run on the aggregator: its stages, one after the other.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use learning::data::{Batch, Dataset};
use learning::evaluation::Evaluation;
use learning::models::Model;
use learning::random::{Purpose, stream};
use rand::seq::index::sample;
use robust::{
    Aggregate, Byzantine, Executor, Geometry, InContext, Local, Measured, Round, Rule, RuleError, State,
    Updates, combine, different,
};
use scenario::Scenario;
use scenario::defense::{Arriving, Defense, DefenseError, Mixtures, Screened, among};
use wire::identity::DeviceId;

use crate::evaluator::{BATCH, Evaluator, Examples};

/// A scenario's defense, with the validation examples drawn for its run. The default is one of stages that need none.
#[derive(Default)]
pub struct Screening {
    /// By their number: what evaluates on so many examples.
    validation: BTreeMap<usize, Evaluator>,
    /// The compromised devices.
    attackers: BTreeSet<DeviceId>,
    /// Where a round finds the memory of the last one's.
    aggregates: Mutex<Vec<Vec<f32>>>,
}

impl Screening {
    /// The defense of `scenario`. Its examples are [`validation_examples`].
    ///
    /// # Errors
    /// As [`validation_examples`].
    pub fn new(scenario: &Scenario, model: &Arc<dyn Model>, test: &Dataset) -> Result<Self, DefenseError> {
        let evaluator = |examples| Evaluator::new(model.clone(), Examples::Drawn(examples));
        let sizes = validation_sizes(scenario);
        let examples = sizes.map(|size| Ok((size, evaluator(validation_examples(scenario, test, size)?))));
        Ok(Screening {
            validation: examples.collect::<Result<_, DefenseError>>()?,
            attackers: scenario.attackers(),
            aggregates: Mutex::default(),
        })
    }

    /// What the defense of `scenario` leaves of a round. `states` are what its stages have kept
    /// of earlier rounds, and then with this one.
    ///
    /// # Errors
    /// As [`Defense::screen`].
    pub fn screen<'a>(
        &'a self,
        scenario: &'a Scenario,
        round: u32,
        received: Received<'a>,
        states: &mut Vec<State>,
    ) -> Result<Screened<Received<'a>>, DefenseError> {
        let defense = Defense {
            stages: &scenario.defense,
            seed: scenario.seed,
            attackers: &self.attackers,
            round,
            byzantine: received.byzantine,
        };
        defense.screen(received, states)
    }
}

/// The updates of a round, with what aggregates them.
pub struct Received<'a> {
    /// What evaluates aggregates.
    pub screening: &'a Screening,
    /// The sender of each row, in ascending order.
    pub devices: Vec<DeviceId>,
    /// d values each.
    pub rows: Vec<Cow<'a, [f32]>>,
    /// The number of examples behind each.
    pub weights: Vec<f64>,
    /// What is assumed of the senders.
    pub byzantine: Byzantine,
    /// The model that they were trained from; `None` if they are taken from zero.
    pub origin: Option<&'a [f32]>,
    /// What has been measured of them.
    pub measured: Measured,
    /// The rule that they go to, and what is known of the round; of its devices, here.
    pub rule: InContext<'a>,
    /// What carries it out.
    pub executor: &'a dyn Executor,
}

impl Local for &Received<'_> {
    fn updates<T>(&self, compute: impl FnOnce(&Updates<'_>) -> Result<T, RuleError>) -> Result<T, RuleError> {
        let rows: Vec<&[f32]> = self.rows.iter().map(AsRef::as_ref).collect();
        let updates = Updates::new(&rows, Some(&self.weights))?;
        let updates = self.origin.map_or(Ok(updates), |origin| updates.from_origin(origin))?;
        compute(&updates.knowing(&self.measured))
    }

    fn origin(&self) -> Option<&[f32]> {
        self.origin
    }

    fn dimension(&self) -> usize {
        self.rows.first().map_or(0, |row| row.len())
    }
}

impl Arriving for Received<'_> {
    fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    fn examples(&self) -> &[f64] {
        &self.weights
    }

    fn geometry(&self) -> Geometry<'_> {
        Geometry::new(self.rows.len(), Some(&self.weights), Box::new(self))
            .knowing(Some(self.measured.clone()))
    }

    fn evaluate(&self, examples: usize) -> Result<(Evaluation, Vec<Evaluation>), DefenseError> {
        let Received { screening, executor, byzantine, .. } = *self;
        let aggregates = || screening.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = mem::take(&mut *aggregates());
        let with_all = among(&self.rule, &self.devices, |rule| {
            self.updates(|updates| {
                executor.leave_one_out(rule, updates, byzantine, &mut memory)?;
                executor.aggregate(rule, updates, byzantine)
            })
        });
        let with_all = with_all?.values;
        // A rule that selects has few different ones, which are evaluated once each.
        let all: Vec<&[f32]> = [&with_all].into_iter().chain(&memory).map(Vec::as_slice).collect();
        let (firsts, places) = different(&all);
        let firsts: Vec<&[f32]> = firsts.iter().map(|&first| all[first]).collect();
        let evaluations = screening.validation[&examples].evaluate(&firsts)?;
        *aggregates() = memory;
        Ok((evaluations[0], places[1..].iter().map(|&place| evaluations[place]).collect()))
    }

    fn represent(&self, examples: usize) -> Result<Vec<Vec<f32>>, DefenseError> {
        let rows: Vec<&[f32]> = self.rows.iter().map(AsRef::as_ref).collect();
        Ok(self.screening.validation[&examples].represent(&rows)?)
    }

    fn keep(self, rows: &[usize]) -> Result<Self, DefenseError> {
        Ok(Received {
            devices: rows.iter().map(|&row| self.devices[row]).collect(),
            rows: rows.iter().map(|&row| self.rows[row].clone()).collect(),
            weights: rows.iter().map(|&row| self.weights[row]).collect(),
            measured: self.measured.select(rows),
            ..self
        })
    }

    fn mix(self, mixtures: &Mixtures) -> Result<Self, DefenseError> {
        let rows = (&self).updates(|updates| combine(&mixtures.of, updates))?;
        let (devices, weights) = (mixtures.devices.clone(), mixtures.examples.clone());
        let rows = rows.into_iter().map(Cow::Owned).collect();
        Ok(Received { devices, rows, weights, measured: Measured::default(), ..self })
    }
}

/// What the rule makes of what a defense has `left`, and whose updates have a part in that, as [`Screened::used`] names them;
/// `state` takes what the rule keeps of the round.
///
/// # Errors
/// What the rule says to what is left, and what computes it.
pub fn aggregate(
    left: &Screened<Received<'_>>,
    state: &mut State,
) -> Result<(Aggregate, Vec<DeviceId>), RuleError> {
    let updates = &left.updates;
    let aggregate = |rule: &dyn Rule| {
        let byzantine = updates.byzantine;
        let aggregate = updates.updates(|all| updates.executor.aggregate(rule, all, byzantine))?;
        rule.remember(&Round::new(&updates.geometry(), byzantine), &aggregate.values, state)?;
        Ok::<_, RuleError>(aggregate)
    };
    let aggregate = left.ruled(&updates.rule, aggregate)?;
    let used = left.used(&aggregate.used);
    Ok((aggregate, used))
}

/// How many validation examples the stages of the scenario judge by, where they do.
pub fn validation_sizes(scenario: &Scenario) -> impl Iterator<Item = usize> {
    scenario.defense.iter().map(|stage| stage.validation_examples()).filter(|examples| *examples > 0)
}

/// So many validation examples of the scenario's defense: drawn from `test` uniformly, without replacement, once for all
/// rounds.
///
/// # Errors
/// [`DefenseError::TooFewExamples`] if `test` has fewer.
pub fn validation_examples(
    scenario: &Scenario,
    test: &Dataset,
    wanted: usize,
) -> Result<Vec<Batch>, DefenseError> {
    let available = test.len();
    if wanted > available {
        return Err(DefenseError::TooFewExamples { wanted, available });
    }
    let mut random = stream(scenario.seed, Purpose::Validation, None, 0);
    let drawn: Vec<u32> = sample(&mut random, available, wanted).iter().map(|index| index as u32).collect();
    Ok(drawn.chunks(BATCH).map(|indices| test.batch(indices)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{model, rows_of_bias, test_set};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use robust::{Context, Processors};

    fn scenario(settings: &[&str]) -> Scenario {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [fleet]\ncompromised = 1\n";
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("s.toml", text, &settings).unwrap()
    }

    /// A defense by three examples that removes one update, or other settings.
    fn defended(kind: &str, settings: &[&str]) -> Scenario {
        let mut all = vec![format!("defense.kind={kind}")];
        for default in ["defense.validation-examples=3", "defense.remove=1"] {
            let key = default.split_once('=').unwrap().0;
            if !settings.iter().any(|setting| setting.starts_with(key)) {
                all.push(default.to_owned());
            }
        }
        all.extend(settings.iter().map(ToString::to_string));
        scenario(&all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Who is removed in a round, of updates on a test set.
    fn removed_on(
        test: &Dataset,
        scenario: &Scenario,
        round: u32,
        updates: &[(DeviceId, Vec<f32>)],
    ) -> Result<BTreeSet<DeviceId>, DefenseError> {
        let screening = Screening::new(scenario, &model(), test)?;
        let received = Received {
            screening: &screening,
            devices: updates.iter().map(|&(device, _)| device).collect(),
            rows: updates.iter().map(|(_, row)| row.into()).collect(),
            weights: vec![1.0; updates.len()],
            byzantine: Byzantine::of(1),
            origin: None,
            measured: Measured::default(),
            rule: InContext { rule: &*scenario.aggregation.rule, context: Context::default() },
            executor: &Processors,
        };
        Ok(screening.screen(scenario, round, received, &mut Vec::new())?.removed.into_iter().collect())
    }

    fn removed(scenario: &Scenario, updates: &[(DeviceId, Vec<f32>)]) -> BTreeSet<DeviceId> {
        removed_on(&test_set(), scenario, 1, updates).unwrap()
    }

    fn named(rows: Vec<Vec<f32>>) -> Vec<(DeviceId, Vec<f32>)> {
        (0..).map(DeviceId).zip(rows).collect()
    }

    #[test]
    fn without_a_defense_or_anything_to_remove_nothing_is_screened() {
        let updates = named(rows_of_bias(&[1.0, 2.0, -9.0]));
        for scenario in
            [scenario(&[]), defended("err", &["defense.remove=0", "defense.validation-examples=999"])]
        {
            assert_eq!(removed(&scenario, &updates), BTreeSet::new());
        }
    }

    #[test]
    fn the_examples_are_a_seeded_draw_without_replacement() {
        let pixels = learning::data::Features::Bytes((0..=199).collect());
        let test = Dataset::new(vec![1], 2, pixels, vec![0; 200]).unwrap();
        let drawn = |settings: &[&str]| {
            let batches = validation_examples(&scenario(settings), &test, 100).unwrap();
            batches[0].features.to_floats().iter().map(|f| f.to_bits()).collect::<BTreeSet<_>>()
        };
        assert_eq!(drawn(&[]).len(), 100);
        assert_eq!(drawn(&[]), drawn(&[]));
        assert_ne!(drawn(&[]), drawn(&["seed=2"]));
    }

    #[test]
    fn more_examples_than_there_are_are_refused() {
        let scenario = defended("lfr", &["defense.validation-examples=4"]);
        let refused = Screening::new(&scenario, &model(), &test_set()).err().unwrap().to_string();
        assert!(refused.contains("validation-examples = 4") && refused.contains("has 3"), "{refused}");
    }

    #[test]
    fn an_update_that_makes_the_aggregate_not_finite_is_removed() {
        // The weight of the first class: times the feature 4 its logits overflow.
        let features = learning::data::Features::Floats(vec![4.0; 3]);
        let test = Dataset::new(vec![1], 2, features, vec![0, 1, 1]).unwrap();
        let scenario = defended("lfr", &[]);
        for garbage in 0..3 {
            let mut rows = rows_of_bias(&[0.5, -0.5, 0.25]);
            rows[garbage][0] = f32::MAX;
            let removed = removed_on(&test, &scenario, 1, &named(rows)).unwrap();
            assert_eq!(removed, [DeviceId(garbage as u32)].into());
        }
    }

    #[test]
    fn ties_can_be_made_to_hit_the_compromised_or_the_benign_first() {
        let updates = named(rows_of_bias(&[1.0; 10]));
        for (ties, compromised) in [("compromised", 4), ("benign", 0)] {
            let fleet = ["fleet.devices=10", "fleet.compromised=4", "attack.kind=label-flip"];
            let ties = format!("defense.ties={ties}");
            let scenario = defended("err", &[&fleet[..], &["defense.remove=4", &ties]].concat());
            let (hit, attackers) = (removed(&scenario, &updates), scenario.attackers());
            assert_eq!((hit.len(), hit.intersection(&attackers).count()), (4, compromised), "{ties}");
        }
    }

    #[test]
    fn over_the_rounds_ties_hit_every_device() {
        let (scenario, updates) = (defended("err", &[]), named(rows_of_bias(&[1.0; 5])));
        let hit = |round| removed_on(&test_set(), &scenario, round, &updates).unwrap();
        assert_eq!((1..=50).flat_map(hit).collect::<BTreeSet<_>>().len(), 5);
    }

    #[test]
    fn stages_act_one_after_the_other_on_what_is_left() {
        let stage = "{ kind = \"lfr\", validation-examples = 3, remove = 1 }";
        let scenario = scenario(&[&format!("defense=[{stage}, {stage}]")]);
        let removed = removed(&scenario, &named(rows_of_bias(&[1.0, -90.0, 1.5, -50.0, 2.0])));
        assert_eq!(removed, [1, 3].map(DeviceId).into());
    }

    #[test]
    fn a_rule_that_cannot_spare_one_update_is_named() {
        // Krum with c = 1 can aggregate 5, but not 4.
        let scenario = defended("err", &["aggregation.rule=krum"]);
        let refused = removed_on(&test_set(), &scenario, 1, &named(rows_of_bias(&[1.0; 5]))).unwrap_err();
        assert!(
            matches!(&refused, DefenseError::Rule(RuleError::Condition { rule: "krum", .. })),
            "{refused}"
        );
    }

    #[test]
    fn a_stage_may_judge_by_what_each_model_makes_of_the_examples() {
        // One and a half times one update, rounded down.
        let scenario = scenario(&["defense.kind=spectral", "defense.validation-examples=3"]);
        let updates = named(rows_of_bias(&[1.0, 1.25, 0.75, -3.0, 1.5]));
        assert_eq!(removed(&scenario, &updates), [DeviceId(3)].into());
    }

    proptest! {
        #[test]
        fn garbage_is_removed(
            mut biases in vec(1.0..2.0_f32, 3..9),
            place in any::<proptest::sample::Index>(),
            garbage in -1e37..-100.0_f32,
            kind in prop_oneof![Just("err"), Just("lfr"), Just("union")],
        ) {
            let row = place.index(biases.len());
            biases[row] = garbage;
            let removed = removed(&defended(kind, &[]), &named(rows_of_bias(&biases)));
            prop_assert!(removed.contains(&DeviceId(row as u32)));
            prop_assert!(removed.len() == 1, "both measures agree on it: {removed:?}");
        }

        #[test]
        fn the_order_of_updates_does_not_change_who_is_removed(
            (updates, shuffled) in vec(-3..=3_i8, 3..12).prop_flat_map(|biases| {
                let biases: Vec<f32> = biases.into_iter().map(f32::from).collect();
                let updates = named(rows_of_bias(&biases));
                (Just(updates.clone()), Just(updates).prop_shuffle())
            }),
            kind in prop_oneof![Just("err"), Just("lfr"), Just("union")],
        ) {
            let scenario = defended(kind, &["defense.remove=2", "aggregation.rule=median"]);
            prop_assert_eq!(removed(&scenario, &updates), removed(&scenario, &shuffled));
        }
    }
}
