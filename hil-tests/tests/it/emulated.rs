//! The bench with clients for ARM under QEMU: the same results as elsewhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hil_tests::fleet::toolchain::{Program, Target, built};
use link::skipped;

use crate::lab::{ATTACK, Lab};
use crate::process::{Outcome, Process, datasets, hil, run, summary};

pub(crate) const AARCH64: &str = "aarch64-unknown-linux-musl";
pub(crate) const ARMV7: &str = "armv7-unknown-linux-gnueabihf";
/// Settings under which an emulated device is never late, even where many programs share a core.
pub(crate) const PATIENT: [&str; 2] = ["timing.gather-seconds=600", "timing.round-seconds=600"];

/// How long a run of emulated devices may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// The client for `triple`, as `hil build` leaves it, and the emulator with its arguments; `None`, having said so,
/// where one of the two is missing.
pub(crate) fn client(triple: &str) -> Option<(PathBuf, Vec<OsString>)> {
    let target = Target::find(triple).unwrap();
    let found = built(target, Program::EdgeClient).and_then(|client| Ok((client, target.emulator()?)));
    found.map_err(|missing| skipped(triple, missing)).ok()
}

/// Whether clients of both word sizes can be emulated; having said so where not.
fn both() -> bool {
    client(AARCH64).is_some() && client(ARMV7).is_some()
}

/// The scenario in which the mean breaks and the trimmed mean holds.
fn attack_scenario() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/emulated-attack.toml")
}

fn run_slow(command: Command) -> Outcome {
    Process::start(command).outcome_within(PATIENCE).succeeded()
}

/// Test error and model digest of the attack scenario with `settings`.
fn attacked(bench: &[&str], out: &Path, settings: &[&str]) -> (f64, String) {
    let mut command = hil!["run", attack_scenario(), "--out", out, "--datasets", datasets()];
    command.args(bench).args(settings.iter().flat_map(|setting| ["--set", setting]));
    run_slow(command);
    let summary = summary(out);
    (summary.final_test_error.unwrap(), summary.model_sha256)
}

/// `hil agree` on the small scenario of [`Lab`].
fn agree(lab: &Lab, more: &[&str]) -> Command {
    let out = lab.path("agreement");
    let mut command = hil!["agree", lab.scenario_path(), "--datasets", datasets(), "--out", out];
    command.args(more);
    command
}

/// The paper's question, asked on ARM; and the answer is the same to the last bit, for logistic regression, rules and
/// attacks are written so.
#[test]
fn on_emulated_arm_the_attack_breaks_the_mean_and_the_trimmed_mean_holds() {
    if !both() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let arms: [&[&str]; 3] =
        [&["aggregation.rule=mean", "attack.kind=none"], &["aggregation.rule=mean"], &[]];
    let mut errors = Vec::new();
    for (place, settings) in arms.iter().enumerate() {
        let out = |bench: &str| folder.path().join(format!("{bench}-{place}"));
        let (error, model) = attacked(&["--on", "emulated"], &out("emulated"), settings);
        assert_eq!(model, attacked(&["--on", "software"], &out("software"), settings).1, "{settings:?}");
        errors.push(error);
    }
    let [calm, broken, held] = errors[..] else { panic!("three arms") };
    assert!(broken > calm + 0.2, "the attack does nothing to the mean: {calm} and {broken}");
    assert!(held < calm + 0.1, "the trimmed mean does not hold: {calm} and {held}");
}

#[test]
fn emulated_and_native_devices_in_one_fleet_end_in_the_model_of_software() {
    if !both() {
        return;
    }
    let lab = Lab::new(&["rounds=5", ATTACK[0], PATIENT[0], PATIENT[1]]);
    run_slow(lab.hil("emulated", "mixed", &["--arch", "native,armv7,aarch64"]));
    let mixed = summary(&lab.path("mixed"));
    assert_eq!((mixed.model_sha256, mixed.bench.as_str()), (lab.undisturbed(), "emulated"));
}

#[test]
fn agree_shows_the_drift_on_each_processor() {
    if !both() {
        return;
    }
    let lab = Lab::new(&["rounds=3", PATIENT[0], PATIENT[1]]);
    let Outcome { stdout, .. } = run_slow(agree(&lab, &[]));
    for bench in ["emulated aarch64", "emulated armv7"] {
        let line = stdout.lines().find(|line| line.starts_with(bench)).unwrap_or_else(|| panic!("{stdout}"));
        assert!(line.contains("0.0000") && line.contains("all"), "{stdout}");
    }
}

#[test]
fn agree_holds_benches_of_this_machine_against_each_other() {
    let lab = Lab::new(&["rounds=5"]);
    let Outcome { stdout, .. } = run(agree(&lab, &["--on", "software,processes"])).succeeded();
    let line =
        stdout.lines().find(|line| line.starts_with("processes")).unwrap_or_else(|| panic!("{stdout}"));
    assert!(line.contains("0.0000") && line.contains("all"), "{stdout}");
    run(agree(&lab, &["--on", "software"])).complains(2, &["--on"]);
}
