//! Whether the result of a case is what was expected.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use record::{RoundRecord, Summary};
use scenario::Scenario;
use wire::Refusal;
use wire::identity::DeviceId;

use super::{Expect, telemetry};
use crate::experiments::agreement::{TOLERANCE, distance};
use crate::faults::Step;
use crate::fleet::inventory::Inventory;

/// The undisturbed run, in software on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// What came of it.
    pub summary: &'a Summary,
    /// Whether the devices are of this machine's architecture, so that their model must be the same to the last bit.
    pub to_the_bit: bool,
}

/// Holds a finished run on `fleet` against what was expected, and says in one line what came of it. `undisturbed` is the
/// same in software, if the model is to be compared.
///
/// # Errors
/// All that is otherwise than expected.
pub fn judge(
    expect: &Expect,
    fleet: &Inventory,
    scenario: &Scenario,
    steps: &[Step],
    summary: &Summary,
    records: &[RoundRecord],
    undisturbed: Option<Reference<'_>>,
) -> anyhow::Result<String> {
    let mut complaints = Vec::new();
    let mut demand = |holds: bool, what: String| complaints.extend((!holds).then_some(what));
    let rounds: Vec<u32> = records.iter().map(|record| record.round).collect();
    demand(rounds.iter().copied().eq(1..=scenario.rounds), format!("recorded were the rounds {rounds:?}"));

    let struck: BTreeSet<DeviceId> = steps.iter().filter_map(|step| step.device).collect();
    for record in records {
        let RoundRecord { round, selected, accepted, absent, .. } = record;
        let known = *accepted as usize + absent.len() == *selected as usize;
        demand(known, format!("round {round}: of {selected} updates {accepted} came, {absent:?} did not"));
        let others: Vec<String> =
            absent.iter().filter(|device| !struck.contains(device)).map(ToString::to_string).collect();
        demand(others.is_empty(), format!("round {round}: nothing struck {}, absent", others.join(", ")));
    }
    let missed: u32 = records.iter().map(|record| scenario.selected() - record.accepted).sum();
    demand(within(missed.into(), expect.missed), format!("{missed} updates missed, not {:?}", expect.missed));
    let reasons: BTreeSet<Refusal> = summary.refused.keys().chain(expect.refused.keys()).copied().collect();
    for reason in reasons {
        let count = summary.refused.get(&reason).copied().unwrap_or(0);
        let range = expect.refused.get(&reason).copied().unwrap_or_default();
        demand(within(count, range), format!("{count} refused as {reason:?}, not {range:?}"));
    }
    match undisturbed {
        Some(Reference { summary: undisturbed, to_the_bit: true }) => {
            let (model, undisturbed) = (&summary.model_sha256, &undisturbed.model_sha256);
            demand(model == undisturbed, format!("the model is {model}, undisturbed it is {undisturbed}"));
        }
        Some(Reference { summary: undisturbed, to_the_bit: false }) => {
            let near = distance(summary, undisturbed) <= TOLERANCE;
            let (error, undisturbed) = (summary.final_test_error, undisturbed.final_test_error);
            demand(near, format!("the testing error is {error:?}, undisturbed it is {undisturbed:?}"));
        }
        None => {}
    }
    if let (Some(most), Some(error)) = (expect.error_at_most, summary.final_test_error) {
        demand(error <= most, format!("the testing error is {error}, not at most {most}"));
    }
    complaints.extend(telemetry::complaints(&expect.telemetry, fleet, records));
    ensure!(complaints.is_empty(), "{}", complaints.join("; "));
    Ok(told(summary, missed, undisturbed))
}

fn within(count: u64, [least, most]: [u32; 2]) -> bool {
    (u64::from(least)..=u64::from(most)).contains(&count)
}

fn told(summary: &Summary, missed: u32, undisturbed: Option<Reference<'_>>) -> String {
    let Summary { rounds, devices, seconds, refused, .. } = summary;
    let refused: BTreeMap<String, u64> =
        refused.iter().map(|(reason, count)| (format!("{reason:?}").to_lowercase(), *count)).collect();
    let model = match undisturbed {
        Some(undisturbed) if undisturbed.summary.model_sha256 == summary.model_sha256 => {
            "the model of software"
        }
        Some(_) => "the test error of software",
        None => "a model of its own",
    };
    let error = summary.final_test_error.map_or_else(String::new, |error| format!(", test error {error:.4}"));
    format!(
        "{devices} devices, {rounds} rounds in {seconds:.1} s: {missed} missed, refused {refused:?}, {model}{error}"
    )
}
