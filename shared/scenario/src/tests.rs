//! Rules give what `docs/conformance/rules` says that they are to give.

use std::sync::Arc;

use robust::{
    Byzantine, Context, Executor as _, Geometry, InContext, Processors, Round, Rule as _, State, Updates,
};
use serde::Deserialize;

use crate::catalogue::Catalogue;
use crate::registry::Entry;
use crate::testing::{Case, assert_conforms};

#[derive(Deserialize)]
struct OneRound {
    global: Vec<f32>,
    devices: Vec<u32>,
    models: Vec<Vec<f32>>,
    examples: Option<Vec<f64>>,
    root: Option<Vec<f32>>,
    expected: Vec<f64>,
}

/// Whoever is in which group is drawn: tested where the rule is.
const DRAWN: &str = "median-of-means";

/// The user's own has no definition.
const WITHOUT_VECTORS: &str = "program";

#[test]
fn every_rule_gives_what_its_definition_does() {
    let catalogue = Catalogue::standard();
    let known = catalogue.rules.entries().map(Entry::name).filter(|name| *name != WITHOUT_VECTORS);
    assert_conforms("rules", known, |name, case| if name == DRAWN { None } else { off(name, case) });
}

/// By how much a case is missed, if it is.
fn off(name: &str, case: &Case<OneRound>) -> Option<String> {
    let rules = Catalogue::standard().rules;
    let rule = rules.choose(name, case.settings.clone(), &|rule| rule.resolve(case.byzantine)).unwrap();
    let mut state = State::default();
    for (number, round) in (1..).zip(&case.rounds) {
        let rows: Vec<&[f32]> = round.models.iter().map(Vec::as_slice).collect();
        let updates =
            Updates::new(&rows, round.examples.as_deref()).unwrap().from_origin(&round.global).unwrap();
        let from = |root: &Vec<f32>| -> Arc<[f32]> {
            root.iter().zip(&round.global).map(|(value, origin)| value - origin).collect()
        };
        let (root, kept) = (round.root.as_ref().map(from), state.clone());
        let context = Context {
            state: Some(&kept),
            devices: &round.devices,
            seed: 1,
            round: number,
            root: root.as_ref(),
        };
        let rule = InContext { rule: &*rule, context };
        let byzantine = Byzantine::of(case.byzantine);
        let aggregate = match Processors.aggregate(&rule, &updates, byzantine) {
            Ok(aggregate) => aggregate.values,
            Err(error) => return Some(error.to_string()),
        };
        let geometry = Geometry::of(&updates);
        rule.remember(&Round::new(&geometry, byzantine), &aggregate, &mut state).unwrap();
        let bound = precision(round);
        let differences = aggregate.iter().zip(&round.expected).map(|(a, b)| (f64::from(*a) - b).abs());
        let largest = differences.fold(0.0, f64::max);
        if largest > bound {
            return Some(format!("round {number} is off by {largest:e}, more than {bound:e}"));
        }
    }
    None
}

/// A millionth of the largest value of the model, and a hundred-thousandth of that of most updates: whoever is far away takes no
/// digits from the others.
fn precision(round: &OneRound) -> f64 {
    let largest =
        |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, |most, value| most.max(value.abs()));
    let update = |model: &Vec<f32>| {
        largest(&mut model.iter().zip(&round.global).map(|(value, origin)| value - origin))
    };
    let mut updates: Vec<f32> = round.models.iter().map(update).collect();
    updates.sort_by(f32::total_cmp);
    let most = updates[updates.len() / 2];
    1e-6 * f64::from(largest(&mut round.global.iter().copied()))
        + 1e-5 * f64::from(most)
        + 1e-9
        + round.expected.iter().fold(0.0, |most, value| value.abs().max(most)) * 1e-6
}
