//! The experiment of the README's first command: does the attack work, and does the robust rule hold?

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use record::{Arm, StoredRun, Summary, render, write_atomically};
use scenario::catalogue::Catalogue;

use crate::benches::{Bench, Task};
use crate::data::FleetData;

/// What the arms have in common.
const SCENARIO: &str = include_str!("demo.toml");

/// Label, folder and settings of each arm.
const ARMS: [(&str, &str, &[&str]); 3] = [
    ("mean, no attack", "mean-no-attack", &["aggregation.rule=mean", "attack.kind=none"]),
    ("mean, attacked", "mean-attacked", &["aggregation.rule=mean"]),
    ("trimmed mean, attacked", "trimmed-mean-attacked", &["aggregation.rule=trimmed-mean"]),
];

/// What came of the demo.
pub struct Outcome {
    /// Label and summary of each arm.
    pub arms: Vec<(String, Summary)>,
    /// The report that compares them.
    pub report: PathBuf,
}

/// Runs the three arms on `bench` below `out`, each with `settings` on top. `None` if `stop` was set before the end;
/// the next call with the same `out` goes on from there.
///
/// # Errors
/// If data is missing or an arm cannot run.
pub fn run(
    catalogue: &Catalogue,
    bench: &dyn Bench,
    out: &Path,
    datasets: &Path,
    settings: &[String],
    stop: &AtomicBool,
) -> anyhow::Result<Option<Outcome>> {
    let mut summaries = Vec::new();
    let mut data: Option<FleetData> = None;
    for (label, folder, changes) in ARMS {
        let mut all: Vec<String> = changes.iter().map(ToString::to_string).collect();
        all.push(format!("name={folder}"));
        all.extend(settings.iter().cloned());
        let scenario = Arc::new(catalogue.parse("demo.toml", SCENARIO, &all)?);
        let data = match &data {
            Some(data) => data.clone(),
            None => data.insert(FleetData::load(&scenario, datasets)?).clone(),
        };
        let task = Task { scenario, data, datasets: datasets.to_owned(), out: out.join(folder) };
        match bench.run_in_sight(label, &task, stop)? {
            Some(summary) => summaries.push((label.to_owned(), summary)),
            None => return Ok(None),
        }
    }
    let arms: Vec<Arm> = ARMS
        .iter()
        .map(|(label, folder, _)| StoredRun::open(&out.join(folder), catalogue)?.arm(label))
        .collect::<Result<_, _>>()?;
    let report = out.join("report.html");
    write_atomically(
        &report,
        render("Does the attack work, and does the robust rule hold?", &arms)?.as_bytes(),
    )?;
    let report = report.canonicalize().with_context(|| report.display().to_string())?;
    Ok(Some(Outcome { arms: summaries, report }))
}
