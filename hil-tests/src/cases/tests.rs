//! Cases, fleets and verdicts.

use std::fs;

use record::{RoundRecord, Summary};
use scenario::Scenario;
use wire::Refusal;
use wire::identity::DeviceId;

use super::*;

const CASE: &str = r#"
name = "case"
about = "It holds."
matrix = "full"
[scenario]
name = "case"
dataset = "breast-cancer"
model = "logistic-regression"
rounds = 2
[scenario.fleet]
compromised = 1
[needs]
devices = 3
"#;

fn load(more: &str) -> Result<Case, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.toml");
    fs::write(&path, format!("{CASE}{more}")).unwrap();
    Case::load(&path).map_err(|error| error.to_string())
}

/// Three devices: `device-001` has another kind, and power that can be switched.
fn fleet() -> Inventory {
    let device = |id: u32, more: &str| format!("[[device]]\nid = \"{}\"\n{more}\n", DeviceId(id));
    let board = "kind = \"ssh\"\nboard = \"pi-5\"\naddress = \"pi\"\npower = \"hub {action}\"\ncapabilities = [\"roof\"]";
    let devices = device(0, "kind = \"native\"") + &device(1, board) + &device(2, "kind = \"native\"");
    let text = format!("name = \"fleet\"\n[broker]\nurl = \"mqtt://127.0.0.1:1883\"\n{devices}");
    Inventory::parse("fleet.toml", &text).unwrap()
}

fn struck(more: &str) -> Result<Vec<Option<DeviceId>>, String> {
    let steps = fit(&load(more).unwrap(), &fleet()).map_err(|unfit| unfit.to_string())?;
    Ok(steps.into_iter().map(|step| step.device).collect())
}

#[test]
fn what_is_wrong_with_a_case_is_named() {
    for (more, part) in [
        ("color = \"red\"\n", "case.toml:14: unknown field `color`"),
        ("[[step]]\nat-round = 1\nfault = \"kil\"\n", "kil"),
        ("[expect]\nrefused.lost = [1, 1]\n", "lost"),
        ("[expect]\ntelemetry = [\"humidity\"]\n", "humidity"),
    ] {
        let error = load(more).unwrap_err();
        assert!(error.contains("case.toml:") && error.contains(part), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    fs::write(&path, CASE).unwrap();
    assert!(
        Case::load(&path).unwrap_err().to_string().contains("name: `case` is not what the file is called")
    );
    let missing = CASE.replace("rounds = 2\n", "");
    fs::write(folder.path().join("case.toml"), missing).unwrap();
    assert!(Case::load_all(folder.path(), Matrix::Full).unwrap_err().to_string().contains("rounds"));
}

#[test]
fn the_first_device_that_can_be_struck_is() {
    let step = |fault: &str| format!("[[step]]\nat-round = 1\nfault = \"{fault}\"\n");
    assert_eq!(struck(&step("kill")).unwrap(), [Some(DeviceId(0))]);
    assert_eq!(struck(&step("power-cycle")).unwrap(), [Some(DeviceId(1))]);
    assert_eq!(struck(&step("aggregator-restart")).unwrap(), [None]);
    let named = format!("{}device = \"device-002\"\n", step("kill"));
    assert_eq!(struck(&named).unwrap(), [Some(DeviceId(2))]);
}

#[test]
fn what_a_fleet_lacks_is_named() {
    let step = |fault: &str| format!("[[step]]\nat-round = 1\nfault = \"{fault}\"\n");
    for (more, lack) in [
        ("capabilities = [\"roof\"]\n".to_owned() + &step("twin"), "needs a device with `roof`, `start`"),
        (
            "sensors = [\"energy\"]\nkinds = [\"native\"]\n".to_owned(),
            "needs a device with kind [native], sensor energy",
        ),
        (step("cut") + "device = \"device-001\"\n", "needs device-001 with `link`"),
        (step("cut") + "device = \"device-007\"\n", "needs a device that this fleet has not"),
        (step("broker-restart") + "persistent = true\n", "needs a broker that this machine may end"),
    ] {
        assert_eq!(struck(&more).unwrap_err(), lack);
    }
    assert_eq!(struck("sensors = [\"energy\"]\n").unwrap(), []);
    assert_eq!(
        struck(&("capabilities = [\"roof\"]\n".to_owned() + &step("kill"))).unwrap(),
        [Some(DeviceId(1))]
    );
    let mut reached = fleet();
    reached.broker.listen = Some(([0, 0, 0, 0], 1883).into());
    let cut = load(&(step("cut") + "device = \"device-001\"\n")).unwrap();
    assert_eq!(fit(&cut, &reached).unwrap()[0].device, Some(DeviceId(1)), "through the bench");
    let mut small = fleet();
    small.devices.pop();
    let error = fit(&load("").unwrap(), &small).unwrap_err();
    assert_eq!(error.to_string(), "needs 3 devices, and fleet has 2");
    let mut gap = fleet();
    gap.devices[0].id = DeviceId(7);
    let error = fit(&load("").unwrap(), &gap).unwrap_err();
    assert_eq!(error.to_string(), "needs devices named device-000 to device-002 without a gap");
}

/// The verdict on two rounds of three devices, of which `device-001` was struck, with `late` updates refused and the
/// model `digest`; `absent` in the second round.
fn verdict(more: &str, absent: &[u32], late: u64, digest: &str) -> Result<String, String> {
    verdict_on(true, more, absent, late, digest)
}

/// The same, for devices of this architecture or others.
fn verdict_on(
    to_the_bit: bool,
    more: &str,
    absent: &[u32],
    late: u64,
    digest: &str,
) -> Result<String, String> {
    let case =
        load(&format!("[[step]]\nat-round = 1\nfault = \"kill\"\ndevice = \"device-001\"\n{more}")).unwrap();
    let scenario: Scenario = case.scenario(3).unwrap();
    let record = |round, absent: &[u32]| {
        let (accepted, absent) = (3 - absent.len() as u32, absent.iter().copied().map(DeviceId).collect());
        RoundRecord { round, selected: 3, accepted, absent, ..RoundRecord::default() }
    };
    let summary = |digest: &str, late: u64| Summary {
        final_test_error: Some(0.25),
        model_sha256: digest.to_owned(),
        refused: (late > 0).then_some((Refusal::Late, late)).into_iter().collect(),
        ..Summary::default()
    };
    let records = [record(1, &[]), record(2, absent)];
    let undisturbed = case.expect.same_model.then(|| summary("aa", 0));
    let undisturbed = undisturbed.as_ref().map(|summary| Reference { summary, to_the_bit });
    judge(&case.expect, &fleet(), &scenario, &case.steps, &summary(digest, late), &records, undisturbed)
        .map_err(|error| error.to_string())
}

#[test]
fn what_comes_as_expected_holds() {
    let told = verdict("", &[], 0, "aa").unwrap();
    assert!(
        told.contains("0 missed") && told.contains("the model of software") && told.contains("0.2500"),
        "{told}"
    );
    let loose = "[expect]\nsame-model = false\nmissed = [1, 2]\nrefused.late = [0, 1]\nerror-at-most = 0.3\n";
    assert!(verdict(loose, &[1], 1, "bb").unwrap().contains("1 missed, refused {\"late\": 1}"));
}

#[test]
fn another_architecture_may_end_in_other_bits() {
    let told = verdict_on(false, "", &[], 0, "bb").unwrap();
    assert!(told.contains("the test error of software"), "{told}");
}

#[test]
fn what_comes_otherwise_is_named() {
    for (more, absent, late, digest, part) in [
        ("", &[][..], 0, "bb", "the model is bb, undisturbed it is aa"),
        ("", &[1], 0, "aa", "1 updates missed, not [0, 0]"),
        ("[expect]\nmissed = [0, 9]\n", &[2], 0, "aa", "round 2: nothing struck device-002, absent"),
        ("", &[], 1, "aa", "1 refused as Late, not [0, 0]"),
        ("[expect]\nrefused.corrupt = [1, 1]\n", &[], 0, "aa", "0 refused as Corrupt, not [1, 1]"),
        ("[expect]\nerror-at-most = 0.2\n", &[], 0, "aa", "the testing error is 0.25, not at most 0.2"),
        ("[expect]\ntelemetry = [\"rss\"]\n", &[], 0, "aa", "round 2: 0 of 3 devices told anything"),
    ] {
        let error = verdict(more, absent, late, digest).unwrap_err();
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
}
