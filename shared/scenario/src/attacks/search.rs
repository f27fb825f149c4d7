//! How far a crafted model has to lie to move the rule under attack most.
//!
//! The attacker tries the rule out, as in the optimisation of Shejwalkar and Houmansadr (2021, section IV-A):
//! it looks for the factor γ of what it crafts that takes the aggregate farthest from the mean of the honest
//! updates it knows.

use candle_core::{DType, Tensor};
use robust::{Byzantine, Combination, Geometry, Mixing, Plan, Round, RuleError};

use super::statistics::{finite, mean};
use super::{AttackError, Knowledge, View};

/// The best factor is bracketed among the unit times 2^-8, 2^-7, ... 2^10.
const SMALLEST: i32 = -8;
const LARGEST: i32 = 10;
/// How many factors are tried then between the neighbours of the best one.
const NARROWING: usize = 13;

/// The factor whose crafted model takes the aggregate of the rule under attack farthest from the mean of the
/// honest models that an attacker with this `knowledge` knows, of 32 that are tried, from `unit` / 256 to
/// 1,024 `unit`. `None` if the rule refuses to aggregate what it is tried on.
///
/// The rule is tried on the model, `[1, d]`, that `crafted` makes of a factor, once for each compromised
/// device, and on what benign devices sent. Under partial knowledge the models of the compromised devices
/// stand for those of the benign ones, in turn, so that the rule aggregates as many as in the round.
///
/// What is crafted has to lie on a line: it is the model of factor 0 and a multiple of one direction. So it is
/// a combination of both ends of that line, the updates are measured once, and a rule that needs their inner
/// products alone is tried without a pass over the coordinates.
///
/// # Errors
/// If candle or the GPU fails.
pub(super) fn farthest_factor(
    view: &View<'_>,
    knowledge: Knowledge,
    unit: f64,
    crafted: impl Fn(f64) -> candle_core::Result<Tensor>,
) -> Result<Option<f64>, AttackError> {
    let colluders = view.colluders.len();
    let honest = match knowledge {
        Knowledge::Full => view.rows(view.benign)?,
        Knowledge::Partial => {
            let benign = view.selected.saturating_sub(colluders).max(1);
            view.rows(&view.colluders.iter().copied().cycle().take(benign).collect::<Vec<_>>())?
        }
    };
    let unmoved = mean(view.models, &knowledge.rows(view))?;
    let byzantine = Byzantine::of(view.byzantine);
    let benign = honest.dim(0)?;
    let end = unit * 2_f64.powi(LARGEST);
    let ends = [crafted(0.0)?, crafted(end)?, finite(&unmoved)?];
    let known = Tensor::cat(&[&[&honest][..], &ends.each_ref()].concat(), 0)?;
    let geometry = Geometry::new(benign + ends.len(), None, view.executor.measure(view.updates(&known)));
    let row = |row| Combination::row(row, benign + ends.len());
    let moved = |factor: f64| -> Result<f64, AttackError> {
        let mut on_the_line = row(benign);
        (on_the_line.weights[benign], on_the_line.weights[benign + 1]) = (1.0 - factor / end, factor / end);
        let mixtures: Vec<_> = vec![on_the_line; colluders].into_iter().chain((0..benign).map(row)).collect();
        let rule = Mixing { rule: view.rule, mixtures: &mixtures, examples: None };
        if let Plan::Combination(mut way) = Plan::of(&rule, &geometry, byzantine)?
            && way.others.is_empty()
        {
            way.weights[benign + 2] -= 1.0;
            return Ok(Round::new(&geometry, byzantine).gram(&[])?.squared_norm(&way.weights));
        }
        let crafted = crafted(factor)?.repeat((colluders, 1))?;
        let aggregate = view.aggregate(&Tensor::cat(&[&crafted, &honest], 0)?)?;
        let way = (aggregate.to_dtype(DType::F64)?.unsqueeze(0)? - &unmoved)?;
        Ok(way.sqr()?.sum_all()?.to_scalar()?)
    };
    match maximise(unit, moved) {
        Ok(factor) => Ok(factor),
        Err(AttackError::Rule(error)) if !matches!(error, RuleError::Backend(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The factor of largest `value` of those that are tried, and of equals in the bracket the smallest; `None`
/// if no value is finite.
///
/// It comes near the best of all factors where `value` rises up to one factor and falls beyond it, or drops
/// there, as where a rule begins to see through what is crafted. Of several peaks it finds the one that is
/// highest in the bracket.
fn maximise<E>(unit: f64, mut value: impl FnMut(f64) -> Result<f64, E>) -> Result<Option<f64>, E> {
    let is_better = |value: f64, best: f64| value.is_finite() && value > best;
    let factor = |power: i32| unit * 2_f64.powi(power);
    let (mut best_power, mut largest) = (None, f64::NEG_INFINITY);
    for power in SMALLEST..=LARGEST {
        let height = value(factor(power))?;
        if is_better(height, largest) {
            (best_power, largest) = (Some(power), height);
        }
    }
    let Some(power) = best_power else { return Ok(None) };
    let mut best = factor(power);
    let mut low = if power > SMALLEST { factor(power - 1) } else { 0.0 };
    let mut high = if power < LARGEST { factor(power + 1) } else { best };
    for _ in 0..NARROWING {
        let is_above = high - best > best - low;
        let between = f64::midpoint(best, if is_above { high } else { low });
        let height = value(between)?;
        if is_better(height, largest) {
            *(if is_above { &mut low } else { &mut high }) = best;
            (best, largest) = (between, height);
        } else {
            *(if is_above { &mut high } else { &mut low }) = between;
        }
    }
    Ok(Some(best))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn maximum(unit: f64, value: impl Fn(f64) -> f64) -> Option<f64> {
        maximise::<Infallible>(unit, |factor| Ok(value(factor))).unwrap()
    }

    #[test]
    fn so_many_factors_are_tried_as_the_documentation_says() {
        let mut tried = Vec::new();
        let best = maximise::<Infallible>(2.0, |factor| {
            tried.push(factor);
            Ok(factor)
        });
        assert_eq!((tried.len(), best.unwrap()), (32, Some(2048.0)));
        assert_eq!((tried[0], tried[18]), (2.0 / 256.0, 2048.0));
    }

    #[test]
    fn of_equals_the_smallest_factor_is_taken() {
        assert_eq!(maximum(1.0, |_| 3.0), Some(1.0 / 256.0));
    }

    #[test]
    fn what_is_no_number_is_not_better_than_what_is_one() {
        assert_eq!(maximum(1.0, |_| f64::NAN), None);
        assert_eq!(maximum(1.0, |_| f64::INFINITY), None);
        let best = maximum(1.0, |factor| if factor > 4.5 { f64::NAN } else { factor }).unwrap();
        assert!(best > 4.4 && best <= 4.5, "{best}");
    }

    #[test]
    fn an_error_ends_the_search() {
        let mut tried = 0;
        let refused = maximise(1.0, |_| {
            tried += 1;
            if tried == 3 { Err("no") } else { Ok(1.0) }
        });
        assert_eq!((refused, tried), (Err("no"), 3));
    }

    proptest! {
        #[test]
        fn the_top_of_a_hill_and_the_edge_of_a_cliff_are_found(
            units in 0.01..1000.0_f64,
            unit in 0.01..100.0_f64,
        ) {
            let top = units * unit;
            let hill = maximum(unit, |factor| -(factor / top).ln().abs()).unwrap();
            prop_assert!((hill / top - 1.0).abs() < 0.03, "{hill}, not {top}");
            let cliff = maximum(unit, |factor| if factor <= top { factor } else { 0.0 }).unwrap();
            prop_assert!(cliff <= top && cliff > 0.97 * top, "{cliff}, not {top}");
        }
    }
}
