//! Aggregates eight updates, three of them hostile, by each rule.
//!
//! ```sh
//! cargo run -p robust --example aggregate
//! ```

#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use robust::{Byzantine, Executor, Krum, Mean, Median, Processors, Rule, RuleError, TrimmedMean, Updates};

fn main() -> Result<(), RuleError> {
    let honest = [[1.0, -2.0], [1.2, -1.9], [0.9, -2.1], [1.1, -2.0], [1.0, -2.2]];
    let hostile = [[-50.0, 90.0]; 3];
    let rows: Vec<&[f32]> = honest.iter().chain(&hostile).map(|row| &row[..]).collect();
    let updates = Updates::new(&rows, None)?;

    let rules: [(&str, &dyn Rule); 4] = [
        ("mean", &Mean::default()),
        ("median", &Median {}),
        ("trimmed mean", &TrimmedMean::default()),
        ("Krum", &Krum::default()),
    ];
    for (name, rule) in rules {
        // A rule whose condition does not hold refuses: Krum withstands 2 of 8, and the trimmed mean 3.
        for assumed in [3, 2] {
            match Processors.aggregate(rule, &updates, Byzantine::of(assumed)) {
                Ok(aggregate) => {
                    println!(
                        "{name}, {assumed} assumed: {:?} of rows {:?}",
                        aggregate.values, aggregate.used
                    );
                }
                Err(refusal) => println!("{name}, {assumed} assumed: {refusal}"),
            }
        }
    }
    Ok(())
}
