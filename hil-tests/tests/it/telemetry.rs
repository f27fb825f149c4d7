//! What real clients tell of themselves.

use crate::lab::{Lab, records};
use crate::process::{program, run};

#[test]
fn clients_tell_their_memory_and_their_bytes_with_every_update() {
    let lab = Lab::new(&[]);
    run(lab.hil("processes", "run", &[])).succeeded();
    let records = records(&lab.path("run"));
    assert_eq!(records.len() as u32, lab.scenario.rounds);
    // Little-endian f32, of which each must have come in every round.
    let spec = lab.scenario.dataset.spec();
    let model = learning::models::build(&*lab.scenario.model, &spec.shape, spec.classes).unwrap();
    let smallest = 4 * model.layout().dimension() as u64;
    for record in &records {
        let devices: Vec<u32> = record.devices.iter().map(|told| told.device.0).collect();
        assert_eq!(devices, (0..lab.scenario.fleet.devices).collect::<Vec<_>>(), "round {}", record.round);
        for told in &record.devices {
            let memory = told.rss_kib.expect("Linux tells a process its memory");
            assert!((1 << 10..1 << 20).contains(&memory), "{memory} KiB");
            assert!(told.bytes_up > smallest, "{told:?}");
            assert!(told.train_seconds >= 0.0 && told.train_seconds < 600.0, "{told:?}");
        }
        let of_devices: u64 = record.devices.iter().map(|told| told.bytes_up).sum();
        assert!(of_devices <= record.bytes_up, "round {}", record.round);
    }
    let read = |file: &str| std::fs::read_to_string(lab.path("run").join(file)).unwrap();
    let devices: serde_json::Value = serde_json::from_str(&read("devices.json")).unwrap();
    assert_eq!(devices.as_object().unwrap().len() as u32, lab.scenario.fleet.devices);
    let client = std::fs::read(program("edge-client").get_program()).unwrap();
    for (name, device) in devices.as_object().unwrap() {
        let told = &device["told"][0];
        assert_eq!(told["client_sha256"], wire::identity::Digest::of(&client).to_string(), "{name}");
        assert_eq!(
            (&told["from_round"], &told["version"]),
            (&1.into(), &env!("CARGO_PKG_VERSION").into()),
            "{name}"
        );
        assert!(told["kernel"].is_string() && told["architecture"].is_string(), "{name}: {told}");
    }
    assert!(read("report.html").contains(">Kernel<"));
    assert!(read("report.html").contains("Peak memory"));
    assert!(read("metrics.csv").starts_with("round,") && read("metrics.csv").contains(",max_rss_kib,"));
}

#[test]
fn in_software_there_is_nothing_to_tell() {
    let lab = Lab::new(&[]);
    run(lab.hil("software", "run", &[])).succeeded();
    assert!(records(&lab.path("run")).iter().all(|record| record.devices.is_empty()));
    let report = std::fs::read_to_string(lab.path("run").join("report.html")).unwrap();
    assert!(report.contains("No device told anything"), "no sentence in its place");
}
