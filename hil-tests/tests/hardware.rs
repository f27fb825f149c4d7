//! The hardware tests: the cases of `hil-tests/cases`, on the fleet of an inventory. Off unless one is named:
//!
//! ```sh
//! OUTPOST_FLEET=firmware-configs/fleets/loopback-native.toml cargo test -p hil-tests --test hardware
//! ```
//!
//! `OUTPOST_MATRIX=full` runs all cases instead of the quick ones, `OUTPOST_JUNIT=FILE` writes a report that CI servers
//! read. One case runs at a time, since all of them use the whole fleet. `hil-tests/README.md` has the rest.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test is no child's parent for long, and says what it found"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs};

use hil_tests::benches::processes::Binaries;
use hil_tests::cases::{self, Case, Matrix, Rig, Unfit};
use hil_tests::fleet::inventory::Inventory;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// What came of one case.
struct Result {
    name: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Passed(String),
    Ignored(String),
    Failed(String),
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let Some(fleet) = env::var_os("OUTPOST_FLEET").filter(|file| !file.is_empty()) else {
        // Not among what `--list` prints, which other programs read.
        eprintln!("the hardware tests are off: OUTPOST_FLEET=FILE names a fleet to run them on");
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    };
    match run(&arguments, Path::new(&fleet)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hardware: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments, fleet: &Path) -> anyhow::Result<ExitCode> {
    let fleet = Arc::new(Inventory::load(&from_here_or_the_root(fleet))?);
    let matrix = match env::var("OUTPOST_MATRIX").as_deref() {
        Err(_) | Ok("" | "quick") => Matrix::Quick,
        Ok("full") => Matrix::Full,
        Ok(other) => anyhow::bail!("OUTPOST_MATRIX: `{other}` is no matrix; give quick or full"),
    };
    let programs = Path::new(env!("CARGO_BIN_EXE_hil")).parent().unwrap_or(Path::new("."));
    let rig = Arc::new(Rig { binaries: Binaries::within(programs)?, ssh_options: ssh_options() });
    let results = Arc::new(Mutex::new(Vec::new()));
    let trial = |case: Case| {
        let (fleet, rig, results) = (fleet.clone(), rig.clone(), results.clone());
        Trial::ignorable_test(case.name.clone(), move || {
            let start = Instant::now();
            let outcome = outcome(&case, &fleet, &rig);
            let completion = match &outcome {
                Outcome::Passed(_) => Ok(Completion::Completed),
                Outcome::Ignored(reason) => Ok(Completion::ignored_with(reason)),
                Outcome::Failed(what) => Err(Failed::from(what)),
            };
            let result = Result { name: case.name.clone(), took: start.elapsed(), outcome };
            results.lock().expect("nobody panics with it").push(result);
            completion
        })
    };
    let folder = root().join("hil-tests/cases");
    let trials = Case::load_all(&folder, matrix)?.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    if let Some(file) = env::var_os("OUTPOST_JUNIT").filter(|file| !file.is_empty()) {
        let results = results.lock().expect("nobody panics with it");
        write_report(&fleet, &results, Path::new(&file))?;
    }
    Ok(conclusion.exit_code())
}

/// Runs a case in a folder of its own, which stays if the case fails.
fn outcome(case: &Case, fleet: &Inventory, rig: &Rig) -> Outcome {
    let folder = match tempfile::Builder::new().prefix(&format!("outpost-{}-", case.name)).tempdir() {
        Ok(folder) => folder,
        Err(error) => return Outcome::Failed(format!("no temporary folder: {error}")),
    };
    match cases::run(case, fleet, rig, &root().join("datasets"), folder.path()) {
        Ok(told) => Outcome::Passed(told),
        Err(error) => match error.downcast_ref::<Unfit>() {
            Some(unfit) => Outcome::Ignored(unfit.to_string()),
            None => Outcome::Failed(format!("{error:#}\nThe run is in {}", folder.keep().display())),
        },
    }
}

fn write_report(fleet: &Inventory, results: &[Result], file: &Path) -> anyhow::Result<()> {
    let mut suite = TestSuite::new(&*fleet.name);
    for Result { name, took, outcome } in results {
        let status = match outcome {
            Outcome::Passed(_) => TestCaseStatus::success(),
            Outcome::Ignored(reason) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(&**reason);
                status
            }
            Outcome::Failed(what) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(&**what);
                status
            }
        };
        let mut case = TestCase::new(&**name, status);
        case.set_classname("hardware").set_time(*took);
        if let Outcome::Passed(told) = outcome {
            case.set_system_out(&**told);
        }
        suite.add_test_case(case);
    }
    let mut report = Report::new("outpost");
    report.add_test_suite(suite);
    fs::write(file, report.to_string()?)?;
    Ok(())
}

/// What `OUTPOST_SSH_OPTIONS` hands to ssh, word by word.
fn ssh_options() -> Vec<OsString> {
    let options = env::var("OUTPOST_SSH_OPTIONS").unwrap_or_default();
    options.split_whitespace().map(OsString::from).collect()
}

/// `cargo test` runs in the package's folder, and users give paths from where they stand.
fn from_here_or_the_root(path: &Path) -> PathBuf {
    if path.exists() { path.to_owned() } else { root().join(path) }
}

/// The folder of the repository.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}
