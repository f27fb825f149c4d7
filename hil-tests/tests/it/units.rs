//! The units of `firmware-configs/systemd`, before systemd's own eyes.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::process::{Outcome, run};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../firmware-configs/systemd");
const UNITS: [(&str, &str); 2] =
    [("outpost-edge-client.service", "edge-client"), ("outpost-aggregator.service", "aggregator-node")];
/// Most exposure that systemd may see, in tenths of its scale of 0 (none) to 10.
const EXPOSURE: &str = "20";

/// `None`, having said so, where systemd is not installed.
fn analyze(arguments: &[&str], unit: &Path) -> Option<Outcome> {
    if !link::has("systemd-analyze") {
        return None;
    }
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit);
    Some(run(command))
}

#[test]
fn systemd_has_nothing_to_complain_of_in_the_units() {
    for (unit, program) in UNITS {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(Path::new(FOLDER).join(unit)).unwrap();
        // It looks whether the program is there.
        let installed = format!("/opt/outpost/current/{program}");
        assert!(text.contains(&format!("ExecStart={installed}")), "{unit} starts another program");
        let copy = folder.path().join(unit);
        fs::write(&copy, text.replace(&format!("ExecStart={installed}"), "ExecStart=/bin/true")).unwrap();
        let Some(outcome) = analyze(&["verify", "--man=no"], &copy) else { return };
        let outcome = outcome.succeeded();
        assert_eq!(outcome.stderr, "", "{unit}");
    }
}

#[test]
fn the_units_are_hardened() {
    for (unit, _) in UNITS {
        let arguments = ["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE];
        let Some(outcome) = analyze(&arguments, &Path::new(FOLDER).join(unit)) else { return };
        assert_eq!(outcome.code, Some(0), "{unit}: {}{}", outcome.stdout, outcome.stderr);
    }
}
