//! Writes a rule: the mean of the half of the updates that lie closest together.
//!
//! ```sh
//! cargo run -p robust --example write_a_rule
//! ```

#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use robust::{Byzantine, Executor, Plan, Processors, Round, Rule, RuleError, Updates};

/// The mean of those updates whose nearest half of the others is least far away.
#[derive(Debug)]
struct ClosestHalf;

impl Rule for ClosestHalf {
    // What the aggregate is, by how far the updates are apart: their values stay where they are, on a GPU perhaps.
    fn plan(&self, round: &Round<'_>) -> Result<Plan, RuleError> {
        let (devices, half) = (round.devices(), round.devices().div_ceil(2));
        let score = |row| Ok((round.sum_to_nearest(row, half - 1)?, row));
        let mut scores = (0..devices).map(score).collect::<Result<Vec<_>, RuleError>>()?;
        scores.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut weights = vec![0.0; devices];
        scores.iter().take(half).for_each(|(_, row)| weights[*row] = 1.0);
        Ok(Plan::Mean { weights: Some(weights) })
    }
}

fn main() -> Result<(), RuleError> {
    let rows: [&[f32]; 5] = [&[1.0, 1.0], &[9.0, -9.0], &[1.1, 0.9], &[0.9, 1.1], &[8.0, -8.0]];
    let updates = Updates::new(&rows, None)?;
    let aggregate = Processors.aggregate(&ClosestHalf, &updates, Byzantine::of(2))?;
    println!("{:?}, from rows {:?}", aggregate.values, aggregate.used);

    // What a defense asks for comes with it: the aggregates without each of the updates.
    let mut without = Vec::new();
    Processors.leave_one_out(&ClosestHalf, &updates, Byzantine::of(2), &mut without)?;
    for (row, aggregate) in without.iter().enumerate() {
        println!("without row {row}: {aggregate:?}");
    }
    Ok(())
}
