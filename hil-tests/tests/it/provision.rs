//! `hil provision`, again and again: what is renewed, what is removed, and what a real Mosquitto makes of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hil_tests::faults::Mosquitto;
use hil_tests::fleet::provision::Manifest;
use link::{BrokerAddress, Link, LinkEvent, LinkOptions, TlsFiles};

use crate::deploy::{PUBLIC_KEY, broker_configuration};
use crate::lab::{Lab, NATIVE, inventory};
use crate::mosquitto;
use crate::process::{Outcome, Process, block_on, hil, run, summary, undisturbed, write_program};
use crate::secured::equip;
use crate::sshd::Sshd;

/// A fleet of native devices, of which the inventory lists the first `devices`.
struct Fleet {
    lab: Lab,
    broker: String,
    kept: tempfile::TempDir,
}

impl Fleet {
    fn new(broker: &str) -> Self {
        let lab = Lab::new(&["fleet.devices=3", "fleet.compromised=0"]);
        Fleet { lab, broker: broker.to_owned(), kept: tempfile::tempdir().unwrap() }
    }

    /// With a Mosquitto that has what was provisioned for it; `None`, having said so, where that is not installed.
    fn secured() -> Option<(Self, Mosquitto)> {
        let mut fleet = Fleet::new("");
        let mosquitto = mosquitto::start_with(tempfile::tempdir().unwrap(), |port| {
            fleet.broker = format!("mqtts://127.0.0.1:{port}");
            fleet.provision(3, &[]).succeeded();
            broker_configuration(&fleet.path(""))
        })?;
        Some((fleet, mosquitto))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.lab.path("fleet").join(name)
    }

    fn inventory(&self, devices: u32) -> PathBuf {
        let devices = (0..devices).map(|_| NATIVE.to_owned());
        let text = inventory("few", &format!("url = \"{}\"", self.broker), devices);
        let path = self.lab.path("few.toml");
        fs::write(&path, text).unwrap();
        path
    }

    fn provision(&self, devices: u32, more: &[&str]) -> Outcome {
        run(self.lab.provision(&self.inventory(devices), &self.path(""), more))
    }

    fn manifest(&self) -> Manifest {
        serde_json::from_slice(&fs::read(self.path("provision.json")).unwrap()).unwrap()
    }

    /// As if the certificates of `names` ended on `day`.
    fn pretend_to_expire(&self, names: &[&str], day: &str) {
        let mut manifest = self.manifest();
        for name in names {
            day.clone_into(&mut manifest.certificates.get_mut(*name).unwrap().expires);
        }
        fs::write(self.path("provision.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    fn pem_files(&self) -> BTreeMap<&'static str, String> {
        [
            "ca/ca",
            "broker/broker",
            "operator/operator",
            "devices/device-000/device",
            "devices/device-001/device",
        ]
        .map(|name| (name, fs::read_to_string(self.path(&format!("{name}.pem"))).unwrap()))
        .into()
    }

    /// What `name` (as in `devices/device-001/device`) was given, kept under `label` for later.
    fn keep(&self, label: &str, name: &str) -> TlsFiles {
        let folder = self.kept.path().join(label);
        fs::create_dir_all(&folder).unwrap();
        let (parent, own) = name.rsplit_once('/').unwrap();
        let file = |name: &str| {
            fs::copy(self.path(parent).join(name), folder.join(name)).unwrap();
            Some(folder.join(name))
        };
        TlsFiles { ca: file("ca.pem"), cert: file(&format!("{own}.pem")), key: file(&format!("{own}.key")) }
    }

    /// Whether the broker and the owner of `files` take each other.
    fn connects(&self, files: &TlsFiles) -> bool {
        let broker: BrokerAddress = self.broker.parse().unwrap();
        let tls = files.load(&broker).unwrap();
        let (client_id, patience) = ("someone".to_owned(), Duration::from_secs(2));
        block_on(async {
            let mut link = Link::open(LinkOptions { tls, ..LinkOptions::new(broker, client_id, patience) });
            loop {
                match link.next().await {
                    Some(LinkEvent::Connected) => {
                        link.close(Duration::from_secs(5)).await;
                        return true;
                    }
                    Some(LinkEvent::Closed(_)) | None => return false,
                    Some(_) => {}
                }
            }
        })
    }
}

#[test]
fn settings_with_which_a_card_cannot_come_up_are_refused_and_nothing_is_written() {
    let fleet = Fleet::new("mqtts://192.168.1.10");
    let file = |name: &str, text: &str| {
        fs::write(fleet.lab.path(name), text).unwrap();
        fleet.lab.path(name).display().to_string()
    };
    let key = file("me.pub", PUBLIC_KEY);
    let good = file("good", "long enough\n");
    let wifi = |ssid: &str, file: &str, country: &str| {
        let words =
            ["--ssh-key", &key, "--wifi", ssid, "--wifi-passphrase-file", file, "--wifi-country", country];
        fleet.provision(3, &words)
    };
    let long = "s".repeat(33);
    wifi("lab", &file("short", "abcde\n"), "DE")
        .complains(2, &["hil: --wifi-passphrase-file ", "short: ", "8 to 63"]);
    wifi("lab", &file("two", "long enough\nor not\n"), "DE").complains(2, &["more than one line"]);
    wifi("lab", &good, "UK").complains(2, &["--wifi-country `UK`", "GB"]);
    wifi(&long, &good, "DE").complains(2, &["--wifi `sss", "32 bytes"]);
    let torn = file("torn.pub", "ssh-ed25519 AAAAC3Nza me\n");
    fleet.provision(3, &["--ssh-key", &torn]).complains(2, &["--ssh-key ", "torn.pub: line 1"]);
    assert!(!fleet.path("").exists());

    let written = wifi("lab", &good, "DE").succeeded();
    let card = fleet.path("devices/device-000/cloud-init");
    written.prints(&[&format!("cp {}/* ", card.display())]);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(card.join("network-config")), 0o600);
    assert_eq!(mode(fleet.path("devices/device-000/shard.safetensors")), 0o600);
}

#[test]
fn certificates_that_end_soon_are_renewed_and_the_others_stay() {
    let fleet = Fleet::new("mqtts://192.168.1.10");
    fleet.provision(3, &[]).succeeded();
    let before = fleet.pem_files();
    let again = fleet.provision(3, &[]).succeeded();
    again.prints(&["certificates 7, 0 of them new; the first, of "]);
    again.prints(&["in 730 days"]);

    fleet.pretend_to_expire(&["device-001", "operator"], "2020-01-01");
    let renewed = fleet.provision(3, &[]).succeeded();
    renewed.prints(&["certificates 7, 2 of them new"]);
    let after = fleet.pem_files();
    let changed: Vec<_> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(changed, [&"devices/device-001/device", &"operator/operator"]);
    renewed.prints(&["in 730 days"]);

    let all = fleet.provision(3, &["--renew-within", "1000"]).succeeded();
    assert!(
        all.stdout.contains("certificates 7, 6 of them new"),
        "the authority's lasts longer: {}",
        all.stdout
    );
    let after = fleet.pem_files();
    fleet.pretend_to_expire(&["authority"], "2020-01-01");
    fleet.provision(3, &[]).succeeded();
    let renewed = fleet.pem_files();
    let changed: Vec<_> = after.keys().filter(|name| after[*name] != renewed[*name]).collect();
    assert_eq!(changed, [&"ca/ca"], "what it has issued stays valid");
}

#[test]
fn a_certificate_that_is_over_is_an_error_before_anything_is_done() {
    let fleet = Fleet::new("mqtts://192.168.1.10");
    fleet.provision(3, &[]).succeeded();
    fleet.pretend_to_expire(&["operator"], "2020-01-01");
    run(hil!["fleet", "status", fleet.inventory(3), fleet.path("")])
        .complains(1, &["the certificate of operator expired on 2020-01-01", "`hil provision`", "deploy"]);

    fleet.provision(3, &[]).succeeded();
    fleet.pretend_to_expire(&["device-000", "device-002"], "2020-01-01");
    let text = fs::read_to_string(fleet.inventory(1)).unwrap();
    let over_ssh = fleet.lab.path("ssh.toml");
    fs::write(&over_ssh, text.replace("\"native\"", "\"ssh\"\naddress = \"127.0.0.1\"")).unwrap();
    run(hil!["deploy", &over_ssh, fleet.path("")])
        .complains(1, &["the certificate of device-000 expired on 2020-01-01", "`hil provision`"]);
}

#[test]
fn a_device_that_was_taken_from_the_inventory_is_trusted_no_more() {
    let Some((fleet, mut mosquitto)) = Fleet::secured() else { return };
    let client = |files: &TlsFiles, device: u32| {
        Process::start(equip(fleet.lab.client_without_broker(device), &fleet.broker, files))
    };
    let files = fleet.keep("removed", "devices/device-002/device");
    client(&files, 2).wait_for_words("connected to");

    fleet.provision(2, &[]).succeeded().prints(&["removed      device-002: "]);
    assert!(!fleet.path("devices/device-002").exists());
    assert!(!fleet.manifest().certificates.contains_key("device-002"));
    mosquitto.stop().unwrap();
    mosquitto.start_again().unwrap();
    client(&files, 2).wait_for_words("passes it on to nobody");
    let mut member = client(&fleet.keep("member", "devices/device-001/device"), 1);
    member.wait_for_words("connected to");
    // Longer than the other one needed to notice.
    std::thread::sleep(Duration::from_secs(3));
    assert!(!member.stderr().contains("passes it on to nobody"), "{}", member.stderr());
}

#[test]
fn no_device_is_shut_out_while_one_authority_follows_another() {
    let Some((fleet, mut mosquitto)) = Fleet::secured() else { return };
    let (device, other) = ("devices/device-000/device", "devices/device-001/device");
    let first = fleet.keep("first", device);
    let keys = fleet.keep("keys", other).key.map(|key| fs::read(key).unwrap());
    assert!(fleet.connects(&first));
    let mut step = |fleet: &Fleet, flag: &str| {
        let outcome = fleet.provision(3, &[flag]).succeeded();
        mosquitto.stop().unwrap();
        mosquitto.start_again().unwrap();
        outcome
    };

    step(&fleet, "--new-authority").prints(&["two authorities are trusted"]);
    let second = fleet.keep("second", device);
    assert_eq!(fleet.keep("keys", other).key.map(|key| fs::read(key).unwrap()), keys, "keys stay");
    assert!(fleet.connects(&first), "a device that was not deployed to yet");
    assert!(fleet.connects(&second), "a device that was");
    let twice = fleet.provision(3, &["--new-authority"]);
    assert!(twice.code == Some(1) && twice.stderr.contains("--end-transition"), "{}", twice.stderr);
    fleet.provision(3, &[]).succeeded().prints(&["8, 0 of them new", "two authorities"]);

    let ended = step(&fleet, "--end-transition");
    assert!(!ended.stdout.contains("two authorities are trusted"), "{}", ended.stdout);
    let third = fleet.keep("third", device);
    assert!(!fleet.connects(&first), "of the earlier authority");
    assert!(fleet.connects(&second) && fleet.connects(&third));
    let none = fleet.provision(3, &["--end-transition"]);
    assert!(none.code == Some(1) && none.stderr.contains("--new-authority"), "{}", none.stderr);
}

/// The commands that are printed after `Next:`.
fn next_steps(stdout: &str) -> Vec<String> {
    stdout.split_once("\nNext:\n").unwrap().1.lines().map(|line| line.trim().to_owned()).collect()
}

/// As a shell runs it in `folder`, with the programs in its folder `bin` first.
fn typed(folder: &Path, line: &str) -> Outcome {
    let mut shell = undisturbed("sh");
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    shell.args(["-c", line]).current_dir(folder).env("PATH", path);
    run(shell)
}

#[test]
fn the_next_steps_of_a_fleet_whose_broker_the_bench_brings_work_as_they_stand() {
    let mut fleet = Fleet::new("mqtt://127.0.0.1:1883\"\nlisten = \"127.0.0.1:0");
    // The inventory lacks one.
    fleet.lab = Lab::new(&["rounds=2", "fleet.devices=4", "fleet.compromised=0"]);
    let (inventory, odd) = (fleet.inventory(3), fleet.lab.path("the fleet's $HOME"));
    let steps = next_steps(&run(fleet.lab.provision(&inventory, &odd, &[])).succeeded().stdout);
    assert_eq!(steps.len(), 1, "{steps:?}");
    typed(&fleet.lab.path(""), &steps[0]).succeeded().prints(&["end-to-end"]);
}

/// In the place of `sudo`: what is to be installed is there, and nothing is done.
const SUDO: &str = "#!/bin/sh\nfor word in \"$@\"; do\n\
                    case $word in *fleet/broker/*) test -f \"$word\" || { echo \"no $word\" >&2; exit 1; } ;; esac\ndone\n\
                    case $1 in install | systemctl) ;; *) exit 1 ;; esac\n";

#[test]
fn the_next_steps_of_a_fleet_over_ssh_work_as_they_stand() {
    let Some(sshd) = Sshd::start() else { return };
    let lab = Lab::new(&["rounds=2", "fleet.devices=1", "fleet.compromised=0", "aggregation.rule=mean"]);
    let bin = lab.path("bin");
    fs::create_dir(&bin).unwrap();
    let ssh = format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", sshd.config("ssh_config"));
    for (name, text) in [("ssh", ssh.as_str()), ("sudo", SUDO)] {
        write_program(&bin.join(name), text);
    }
    let mut steps = Vec::new();
    let mosquitto = mosquitto::start_with(tempfile::tempdir().unwrap(), |port| {
        let device = sshd.device(&lab.path("board"));
        let text = inventory("one", &format!("url = \"mqtts://127.0.0.1:{port}\""), [device]);
        fs::write(lab.path("one.toml"), text).unwrap();
        let provision = lab.provision(&lab.path("one.toml"), &lab.path("fleet"), &[]);
        steps = next_steps(&run(provision).succeeded().stdout);
        broker_configuration(&lab.path("fleet"))
    });
    let Some(_mosquitto) = mosquitto else { return };
    assert_eq!(steps.len(), 6 + 3, "{steps:?}");
    for step in &steps {
        let outcome = typed(&lab.path(""), step);
        assert_eq!(outcome.code, Some(0), "{step}\n{}{}", outcome.stdout, outcome.stderr);
    }
    let runs: Vec<_> = fs::read_dir(lab.path("runs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(summary(&runs[0]).rounds, 2);
}

#[test]
fn mosquitto_takes_what_its_drop_in_says() {
    let limits = include_str!("../../../firmware-configs/mosquitto/limits.conf");
    assert!(limits.contains("\n[Service]\nLimitNOFILE=65536\n"), "{limits}");
    // A unit with the same section, since systemd looks at units only.
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("mosquitto.service");
    fs::write(&unit, format!("{limits}ExecStart=/bin/true\n")).unwrap();
    if !link::has("systemd-analyze") {
        return;
    }
    let output = undisturbed("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
