//! Who trains on what.

use learning::data::ShardEntry;
use record::UnfitDevice;

use super::*;

fn entry(device: u32) -> ShardEntry {
    ShardEntry { device: DeviceId(device), examples: 10 + device, blake3: shard(device) }
}

fn entries(devices: std::ops::Range<u32>) -> BTreeMap<DeviceId, ShardEntry> {
    devices.map(|device| (DeviceId(device), entry(device))).collect()
}

/// A run that goes on after `finished` rounds, with devices of which so much is known.
fn knowing(
    finished: u32,
    trained_on: BTreeMap<DeviceId, ShardEntry>,
    listed: Option<BTreeMap<DeviceId, ShardEntry>>,
) -> Script {
    let scenario = Arc::new(Scenario::parse("scripted.toml", SCENARIO, &[]).unwrap());
    let start = Start {
        run: RUN,
        term: 1,
        finished,
        global: vec![0.0; SMALL].into(),
        remembered: Arc::default(),
        trained_on,
        listed,
    };
    Script::started(scenario, start)
}

/// The round after device 0 came with `status` and the others as they should.
fn round_with(mut script: Script, change: impl FnOnce(Status) -> Status) -> RoundRecord {
    let status = change(script.status(0));
    script.says(status);
    script.arrives(1);
    script.arrives(2);
    script.wait_until(60_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(1), DeviceId(2)]);
    script.close()
}

#[test]
fn a_device_that_trains_on_another_shard_than_the_listed_one_is_refused_by_name() {
    let another = |status: Status| Status { shard: Digest::of(b"another"), ..status };
    let more = |status: Status| Status { examples: 400, ..status };
    for change in [another as fn(Status) -> Status, more] {
        let record = round_with(knowing(0, BTreeMap::new(), Some(entries(0..3))), change);
        assert_eq!(record.refused, [(Refusal::WrongShard, 1)].into());
        assert_eq!(record.refused_devices[0].device, Some(DeviceId(0)));
    }
}

#[test]
fn a_device_that_comes_back_with_another_shard_is_refused_by_name() {
    let another = |status: Status| Status { shard: Digest::of(b"another"), ..status };
    let record = round_with(knowing(1, entries(0..3), None), another);
    assert_eq!(record.refused, [(Refusal::WrongShard, 1)].into());
}

/// A status of a device whose data do not fit.
fn unfit(status: Status, why: &str) -> Status {
    Status { examples: 0, shard: Digest([0; 32]), error: Some(why.into()), ..status }
}

#[test]
fn a_device_whose_data_do_not_fit_takes_no_part_and_is_recorded_with_what_it_says() {
    let mut script = Script::new(SMALL, &[]);
    let status = script.status(1);
    script.says(unfit(status.clone(), "its class \"b\" is none of the scenario's, a"));
    script.arrives(0);
    script.says(unfit(status, "its class \"b\" is none of the scenario's, a"));
    script.arrives(2);
    script.wait_until(60_000);
    assert_eq!(script.called().unwrap().selected[..], [DeviceId(0), DeviceId(2)]);
    let record = script.close();
    assert_eq!(record.refused, [(Refusal::WrongShard, 2)].into());
    let [UnfitDevice { device, why }] = &record.unfit[..] else { panic!("{:?}", record.unfit) };
    assert_eq!((*device, &**why), (DeviceId(1), "its class \"b\" is none of the scenario's, a"));
}

#[test]
fn a_device_whose_data_fit_at_last_takes_part() {
    let mut script = Script::new(SMALL, &["rounds=4"]);
    let status = script.status(1);
    script.says(unfit(status.clone(), "no shard"));
    script.arrives(0);
    script.arrives(2);
    script.wait_until(60_000);
    assert_eq!(script.called().unwrap().selected.len(), 2);
    script.says(Status { boot: 99, ..status });
    script.delivers(&small(0, 1));
    script.delivers(&small(2, 1));
    script.computes(Ok(vec![1.0; SMALL]));
    assert_eq!(script.record().unwrap().unfit.len(), 1);
    assert_eq!(script.called().unwrap().selected.len(), 3);
}

#[test]
fn too_few_devices_are_told_with_whose_data_do_not_fit() {
    let mut script = Script::new(SMALL, &["aggregation.rule=trimmed-mean", "aggregation.trim=1"]);
    script.arrives(0);
    for (device, why) in [(2, "no shard"), (1, "no example")] {
        let status = script.status(device);
        script.says(unfit(status, why));
    }
    script.wait_until(60_000);
    let Some(Err(failure)) = script.ending() else { panic!("{:?}", script.ending()) };
    let said = failure.to_string();
    assert!(
        said.contains("the data of device-001, and of 1 more do not fit: no example; start more"),
        "{said}"
    );
}

#[test]
fn what_each_device_trained_on_is_recorded_once() {
    let mut script = Script::opened(SMALL, &[]);
    script.delivers(&small(0, 1));
    script.delivers(&small(2, 1));
    assert_eq!(script.close().shards, [entry(0), entry(2)]);
    for device in 0..3 {
        script.delivers(&small(device, 2));
    }
    script.computes(Ok(vec![1.0; SMALL]));
    assert_eq!(script.record().unwrap().shards, [entry(1)]);
}

#[test]
fn a_shard_that_is_not_listed_is_believed_until_a_round_holds_it() {
    let mut script = Script::opened(SMALL, &[]);
    let other = Status { shard: Digest::of(b"another"), boot: 99, ..script.status(0) };
    script.says(other.clone());
    script.delivers(&small(0, 1));
    let mut record = script.close();
    assert_eq!(record.shards.remove(0).blake3, other.shard);
    script.arrives(0);
    script.wait_until(script.now.0 + 60_000);
    assert_eq!(script.close().refused, [(Refusal::WrongShard, 1)].into());
}
