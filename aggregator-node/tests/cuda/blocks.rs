//! Matrices that a small memory does not hold: blocks of columns. A real GPU holds them as a whole.

use std::sync::Arc;

use aggregator_node::backend::Engine;
use shared::rules::{Rule, RuleName, RuleParameters, Updates, build};

use super::gpu;
use super::matrices::attacked;
use super::rules::assert_same;

#[test]
fn blocks_of_columns_give_the_same() {
    let rows = attacked(9, 20_001);
    let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let updates = Updates::new(&rows, None).unwrap();
    let parameters = RuleParameters { byzantine: 1, trim: 2, theta: None, gamma: None };
    for name in [RuleName::Mean, RuleName::Median, RuleName::TrimmedMean, RuleName::Krum, RuleName::Bulyan] {
        assert_same(name, parameters, &updates);
    }
}

#[test]
fn rows_that_are_there_and_blocks_of_others_give_the_same() {
    let Some(gpu) = gpu() else { return };
    let rows: Vec<Arc<[f32]>> = attacked(9, 20_001).into_iter().map(Into::into).collect();
    let parameters = RuleParameters { byzantine: 2, ..RuleParameters::default() };
    for name in [RuleName::Median, RuleName::Krum] {
        let there = gpu.rule(name, &parameters);
        rows.iter().for_each(|row| there.take(1, row));
        let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let updates = Updates::new(&rows, None).unwrap();
        assert_eq!(there.aggregate(&updates), build(name, &parameters).aggregate(&updates));
    }
}
