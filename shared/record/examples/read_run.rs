//! Reads a run directory, finished or not: what it is of, how its error went, and its model.
//!
//! ```sh
//! cargo hil run hil-tests/scenarios/mnist-trimmed-mean.toml --on software --set rounds=50 --out runs/read-me
//! cargo run -p record --example read_run -- runs/read-me
//! ```

#![allow(clippy::print_stdout, reason = "printing is all that it does")]

use std::path::Path;

use record::StoredRun;
use scenario::catalogue::Catalogue;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name the directory of a run")?;
    // Every file is held against its digest; nothing is locked or written.
    let run = StoredRun::open(Path::new(&folder), &Catalogue::standard())?;
    let scenario = run.scenario();
    println!("{}: rule {}, {} devices", scenario.name, scenario.aggregation.rule, scenario.fleet.devices);

    for record in run.records()? {
        let Some(error) = record.test_error else { continue };
        let who = |devices: &[_]| devices.len();
        println!(
            "round {:4}: error {error:.4}, {} updates, {} of them removed, {} absent",
            record.round,
            record.accepted,
            who(&record.removed),
            who(&record.absent)
        );
    }
    let model = run.model()?.parameters;
    println!("{} parameters; the first: {:?}", model.values().len(), &model.values()[..3]);
    Ok(())
}
