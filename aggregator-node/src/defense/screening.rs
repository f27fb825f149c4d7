//! A defense at work in a run.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::index::sample;
use shared::data::{Batch, Dataset};
use shared::identity::DeviceId;
use shared::models::Model;
use shared::random::{Purpose, stream};
use shared::rules::{Rule, Updates};
use shared::scenario::Scenario;

use super::{DefenseError, LeaveOneOut, Removals};
use crate::evaluator::{BATCH, Evaluator, Examples};

/// A scenario's defense, with the validation examples drawn for its run.
pub struct Screening {
    removals: Removals,
    validation: Evaluator,
    /// Where a round finds the memory of the last one's.
    aggregates: Mutex<Vec<Vec<f32>>>,
}

impl Screening {
    /// The defense of `scenario`; `None` if it has none, or one that removes no update. Its examples are
    /// [`validation_examples`].
    ///
    /// # Errors
    /// As [`validation_examples`].
    pub fn new(
        scenario: &Scenario,
        model: &Arc<dyn Model>,
        test: &Dataset,
    ) -> Result<Option<Self>, DefenseError> {
        let Some(removals) = Removals::of(scenario) else { return Ok(None) };
        let examples = Examples::Drawn(validation_examples(scenario, test)?);
        let validation = Evaluator::new(model.clone(), examples);
        Ok(Some(Screening { removals, validation, aggregates: Mutex::default() }))
    }

    /// The rows of `updates` to remove before `rule` aggregates the rest, `fewer` than the scenario's; `devices` names the
    /// sender of each row.
    ///
    /// # Errors
    /// As [`LeaveOneOut::of`].
    pub fn harmful(
        &self,
        round: u32,
        devices: &[DeviceId],
        updates: &Updates<'_>,
        rule: &dyn Rule,
        fewer: u32,
    ) -> Result<BTreeSet<usize>, DefenseError> {
        let tie_breakers = self.removals.tie_breakers(round, devices);
        let aggregates = || self.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = mem::take(&mut *aggregates());
        let evidence = LeaveOneOut::of(updates, rule, &self.validation, tie_breakers, &mut memory)?;
        *aggregates() = memory;
        Ok(self.removals.harmful(&evidence, fewer))
    }
}

/// The validation examples of the scenario's defense: drawn from `test` uniformly, without replacement, once for all
/// rounds.
///
/// # Errors
/// [`DefenseError::TooFewExamples`] if `test` has fewer than it asks for.
pub fn validation_examples(scenario: &Scenario, test: &Dataset) -> Result<Vec<Batch>, DefenseError> {
    let (wanted, available) = (scenario.defense.validation_examples as usize, test.len());
    if wanted > available {
        return Err(DefenseError::TooFewExamples { wanted, available });
    }
    let mut random = stream(scenario.seed, Purpose::Validation, None, 0);
    let drawn: Vec<u32> = sample(&mut random, available, wanted).iter().map(|index| index as u32).collect();
    Ok(drawn.chunks(BATCH).map(|indices| test.batch(indices)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::examples::{model, rows_of_bias, test_set};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use shared::rules::{Mean, Median};

    fn scenario(settings: &[&str]) -> Scenario {
        let text = "name = \"test\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [defense]\nvalidation-examples = 3\nremove = 1\n";
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        Scenario::parse("s.toml", text, &settings).unwrap()
    }

    fn screening(settings: &[&str]) -> Screening {
        Screening::new(&scenario(settings), &model(), &test_set()).unwrap().unwrap()
    }

    fn removed(
        screening: &Screening,
        updates: &[(DeviceId, Vec<f32>)],
        rule: &dyn Rule,
    ) -> BTreeSet<DeviceId> {
        let rows: Vec<&[f32]> = updates.iter().map(|(_, row)| row.as_slice()).collect();
        let devices: Vec<DeviceId> = updates.iter().map(|&(device, _)| device).collect();
        let rows = screening.harmful(1, &devices, &Updates::new(&rows, None).unwrap(), rule, 0).unwrap();
        rows.into_iter().map(|row| devices[row]).collect()
    }

    fn named(rows: Vec<Vec<f32>>) -> Vec<(DeviceId, Vec<f32>)> {
        (0..).map(DeviceId).zip(rows).collect()
    }

    #[test]
    fn without_a_defense_or_anything_to_remove_nothing_is_screened() {
        for settings in [["defense.kind=none"], ["defense.remove=0"]] {
            assert!(Screening::new(&scenario(&settings), &model(), &test_set()).unwrap().is_none());
        }
    }

    #[test]
    fn the_examples_are_a_seeded_draw_without_replacement() {
        let pixels = shared::data::Features::Bytes((0..=199).collect());
        let test = Dataset::new(vec![1], 2, pixels, vec![0; 200]).unwrap();
        let drawn = |settings: &[&str]| {
            let settings = [settings, &["defense.kind=err", "defense.validation-examples=100"]].concat();
            let batches = validation_examples(&scenario(&settings), &test).unwrap();
            batches[0].features.to_floats().iter().map(|f| f.to_bits()).collect::<BTreeSet<_>>()
        };
        assert_eq!(drawn(&[]).len(), 100);
        assert_eq!(drawn(&[]), drawn(&[]));
        assert_ne!(drawn(&[]), drawn(&["seed=2"]));
    }

    #[test]
    fn more_examples_than_there_are_are_refused() {
        let scenario = scenario(&["defense.kind=lfr", "defense.validation-examples=4"]);
        let refused = Screening::new(&scenario, &model(), &test_set()).err().unwrap().to_string();
        assert!(refused.contains("validation-examples = 4") && refused.contains("has 3"), "{refused}");
    }

    #[test]
    fn an_update_that_makes_the_aggregate_not_finite_is_removed() {
        // The weight of the first class: times the feature 4 its logits overflow.
        let features = shared::data::Features::Floats(vec![4.0; 3]);
        let test = Dataset::new(vec![1], 2, features, vec![0, 1, 1]).unwrap();
        let settings = ["defense.kind=lfr"];
        let screening = Screening::new(&scenario(&settings), &model(), &test).unwrap().unwrap();
        for garbage in 0..3 {
            let mut rows = rows_of_bias(&[0.5, -0.5, 0.25]);
            rows[garbage][0] = f32::MAX;
            assert_eq!(removed(&screening, &named(rows), &Mean), [DeviceId(garbage as u32)].into());
        }
    }

    #[test]
    fn ties_can_be_made_to_hit_the_compromised_or_the_benign_first() {
        let devices: Vec<DeviceId> = (0..10).map(DeviceId).collect();
        let rows = rows_of_bias(&[1.0; 10]);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let updates = Updates::new(&rows, None).unwrap();
        for (ties, compromised) in [("compromised", 4), ("benign", 0)] {
            let fleet = ["fleet.devices=10", "fleet.compromised=4", "attack.kind=label-flip"];
            let settings = [&fleet[..], &["defense.kind=err", "defense.remove=4"]].concat();
            let scenario = scenario(&[&settings[..], &[&format!("defense.ties={ties}")]].concat());
            let screening = Screening::new(&scenario, &model(), &test_set()).unwrap().unwrap();
            let hit = screening.harmful(1, &devices, &updates, &Mean, 0).unwrap();
            let attackers = scenario.attackers();
            let hit: Vec<bool> = hit.into_iter().map(|row| attackers.contains(&devices[row])).collect();
            assert_eq!((hit.len(), hit.iter().filter(|is| **is).count()), (4, compromised), "{ties}");
        }
    }

    #[test]
    fn over_the_rounds_ties_hit_every_device() {
        let screening = screening(&["defense.kind=err"]);
        let rows = rows_of_bias(&[1.0; 5]);
        let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let devices: Vec<DeviceId> = (0..5).map(DeviceId).collect();
        let updates = Updates::new(&rows, None).unwrap();
        let hit = |round| screening.harmful(round, &devices, &updates, &Mean, 0).unwrap();
        assert_eq!((1..=50).flat_map(hit).collect::<BTreeSet<_>>().len(), 5);
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
            let screening = screening(&[&format!("defense.kind={kind}")]);
            let removed = removed(&screening, &named(rows_of_bias(&biases)), &Mean);
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
            let screening = screening(&[&format!("defense.kind={kind}"), "defense.remove=2"]);
            prop_assert_eq!(removed(&screening, &updates, &Median), removed(&screening, &shuffled, &Median));
        }
    }
}
