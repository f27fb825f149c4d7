//! Event files, which `TensorBoard` reads.
//!
//! An event file is a sequence of records: the length of an event, its checksum, the event, its checksum. Events are those
//! of `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`, hyperparameters those of
//! `tensorboard/plugins/hparams/plugin_data.proto`; the messages below have the fields that are written here.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crc::{CRC_32_ISCSI, Crc};
use prost::Message;
use record::RoundRecord;
use record::metrics::{Metric, ROUNDS, Read, Unit};
use toml::Value;

use super::run::{ExportedRun, plain};
use super::staging::Staging;
use super::{Export, Format, Outcome, Time};

/// The entry of the list of formats.
pub const FORMAT: Format = Format {
    name: "tensorboard",
    about: "An event file for each run, in a folder of the run's name, with its scenario as text and as hyperparameters",
    begin: |_, _| Ok(Box::new(Events { file: None })),
};

/// CRC-32C.
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// `DT_FLOAT` and `DT_STRING` of `tensorflow/core/framework/types.proto`.
const FLOAT: i32 = 1;
const STRING: i32 = 7;
/// `DATA_CLASS_TENSOR` of `summary.proto`.
const TENSOR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<EventSummary>,
}

#[derive(Clone, PartialEq, Message)]
struct EventSummary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<TaggedValue>,
}

#[derive(Clone, PartialEq, Message)]
struct TaggedValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "8")]
    tensor: Option<TensorProto>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<SummaryMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int32, tag = "1")]
    dtype: i32,
    /// Without dimensions, that of one value.
    #[prost(message, optional, tag = "2")]
    tensor_shape: Option<TensorShape>,
    #[prost(float, repeated, tag = "5")]
    float_val: Vec<f32>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    string_val: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShape {}

#[derive(Clone, PartialEq, Message)]
struct SummaryMetadata {
    #[prost(message, optional, tag = "1")]
    plugin_data: Option<PluginData>,
    #[prost(string, tag = "3")]
    summary_description: String,
    #[prost(int32, tag = "4")]
    data_class: i32,
}

#[derive(Clone, PartialEq, Message)]
struct PluginData {
    #[prost(string, tag = "1")]
    plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct HyperparametersData {
    #[prost(int32, tag = "1")]
    version: i32,
    #[prost(message, optional, tag = "3")]
    session_start_info: Option<SessionStart>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionStart {
    #[prost(map = "string, message", tag = "1")]
    hyperparameters: HashMap<String, StructValue>,
    #[prost(double, tag = "5")]
    start_time_secs: f64,
}

/// `google.protobuf.Value`, of which one field is there.
#[expect(clippy::struct_field_names, reason = "Google's names")]
#[derive(Clone, PartialEq, Message)]
struct StructValue {
    #[prost(double, optional, tag = "2")]
    number_value: Option<f64>,
    #[prost(string, optional, tag = "3")]
    string_value: Option<String>,
    #[prost(bool, optional, tag = "4")]
    bool_value: Option<bool>,
}

/// Writes the event file of the run that is at hand.
struct Events {
    file: Option<EventFile<BufWriter<File>>>,
}

impl Export for Events {
    fn begin(&mut self, run: &ExportedRun, staging: &mut Staging) -> anyhow::Result<()> {
        // TensorBoard looks for names with `tfevents`. By the id, another export of the run finds this one.
        let name = format!("events.out.tfevents.{:010}.{}", run.created().seconds() as u64, run.id());
        for earlier in under_other_names(staging.out(), &run.name, &name) {
            staging.replace(earlier);
        }
        let file = BufWriter::new(staging.file(Path::new(&run.name).join(name))?);
        let mut file = EventFile { file, described: HashSet::new() };
        let time = run.created();
        file.write(&Event {
            wall_time: time.seconds(),
            file_version: Some("brain.Event:2".to_owned()),
            ..Event::default()
        })?;
        file.write_summary(time, 0, vec![scenario(run), hyperparameters(run, time)])?;
        self.file = Some(file);
        Ok(())
    }

    fn round(&mut self, run: &ExportedRun, record: &RoundRecord, time: Time) -> anyhow::Result<()> {
        match &mut self.file {
            Some(file) => Ok(file.round(record, run.classes(), time)?),
            None => Ok(()),
        }
    }

    fn end(&mut self, _: &ExportedRun, _: &Outcome, _: &mut Staging) -> anyhow::Result<()> {
        match self.file.take() {
            Some(mut file) => Ok(file.file.flush()?),
            None => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Files called `file` in the folders of `out` but for `folder`, each as a path in `out`.
fn under_other_names(out: &Path, folder: &str, file: &str) -> Vec<PathBuf> {
    let folders =
        fs::read_dir(out).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.file_name());
    let others = folders.filter(|other| *other != folder).map(|other| Path::new(&other).join(file));
    others.filter(|place| out.join(place).is_file()).collect()
}

struct EventFile<W> {
    file: W,
    /// Tags that are described: that is done once for each.
    described: HashSet<String>,
}

impl<W: Write> EventFile<W> {
    fn write(&mut self, event: &Event) -> io::Result<()> {
        let event = event.encode_to_vec();
        let length = (event.len() as u64).to_le_bytes();
        self.file.write_all(&length)?;
        self.file.write_all(&masked_checksum(&length).to_le_bytes())?;
        self.file.write_all(&event)?;
        self.file.write_all(&masked_checksum(&event).to_le_bytes())
    }

    fn write_summary(&mut self, time: Time, step: u32, value: Vec<TaggedValue>) -> io::Result<()> {
        let (wall_time, summary) = (time.seconds(), Some(EventSummary { value }));
        self.write(&Event { wall_time, step: i64::from(step), file_version: None, summary })
    }

    /// Writes what was measured in a round.
    fn round(&mut self, record: &RoundRecord, classes: usize, time: Time) -> io::Result<()> {
        let mut values = Vec::new();
        for metric in ROUNDS.iter().filter(|metric| metric.name != "round") {
            for (name, value) in metric.columns(classes).into_iter().zip(metric.values(record, classes)) {
                let Some(value) = value.filter(|value| value.is_finite()) else { continue };
                let tag = format!("{}/{name}", group(metric));
                let is_new = self.described.insert(tag.clone());
                let described =
                    || metadata("scalars", Vec::new(), &format!("{} In: {}.", metric.help, metric.unit), 0);
                let metadata = is_new.then(described);
                values.push(TaggedValue { tag, simple_value: Some(value as f32), tensor: None, metadata });
            }
        }
        self.write_summary(time, record.round, values)
    }
}

/// What `TensorBoard` shows together: what is measured in the same unit.
fn group(metric: &Metric) -> &'static str {
    match (&metric.read, metric.unit) {
        (Read::Class(_), _) => "classes",
        (_, Unit::Share) => "shares",
        (_, Unit::Nats) => "losses",
        (_, Unit::Count | Unit::MeanCount) => "counts",
        (_, Unit::Bytes) => "traffic",
        (_, Unit::Kibibytes) => "memory",
        (_, Unit::Seconds | Unit::RoundsPerSecond) => "time",
        (_, Unit::Celsius) => "temperature",
        (_, Unit::Text) => "texts",
    }
}

fn metadata(plugin: &str, content: Vec<u8>, description: &str, data_class: i32) -> SummaryMetadata {
    let plugin_data = Some(PluginData { plugin_name: plugin.to_owned(), content });
    SummaryMetadata { plugin_data, summary_description: description.to_owned(), data_class }
}

/// The scenario as a text.
fn scenario(run: &ExportedRun) -> TaggedValue {
    // As code, of which lines are four characters in.
    let code =
        run.stored.scenario().to_toml().lines().fold(String::new(), |code, line| code + "    " + line + "\n");
    let tensor = TensorProto {
        dtype: STRING,
        tensor_shape: Some(TensorShape {}),
        float_val: Vec::new(),
        string_val: vec![code.into_bytes()],
    };
    TaggedValue {
        tag: "scenario".to_owned(),
        simple_value: None,
        tensor: Some(tensor),
        metadata: Some(metadata("text", Vec::new(), "The scenario with every key written out.", TENSOR)),
    }
}

/// The keys of the scenario as hyperparameters.
fn hyperparameters(run: &ExportedRun, time: Time) -> TaggedValue {
    let value = |value: &Value| {
        let number = value.as_float().or(value.as_integer().map(|value| value as f64));
        match (number, value.as_bool()) {
            (Some(_), _) => StructValue { number_value: number, ..StructValue::default() },
            (_, Some(_)) => StructValue { bool_value: value.as_bool(), ..StructValue::default() },
            _ => StructValue { string_value: Some(plain(value)), ..StructValue::default() },
        }
    };
    let start = SessionStart {
        hyperparameters: run.keys.iter().map(|(key, it)| (key.clone(), value(it))).collect(),
        start_time_secs: time.seconds(),
    };
    let data = HyperparametersData { version: 0, session_start_info: Some(start) };
    let tensor = TensorProto {
        dtype: FLOAT,
        tensor_shape: Some(TensorShape {}),
        float_val: vec![0.0],
        string_val: Vec::new(),
    };
    TaggedValue {
        tag: "_hparams_/session_start_info".to_owned(),
        simple_value: None,
        tensor: Some(tensor),
        metadata: Some(metadata("hparams", data.encode_to_vec(), "", TENSOR)),
    }
}

/// The checksum of `bytes` as event files have it: masked, because what it is of may hold checksums itself.
fn masked_checksum(bytes: &[u8]) -> u32 {
    CHECKSUM.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Time = Time { seconds: 1_800_000_000.5 };

    /// The events of a file, each of which must have the checksums that it should.
    fn read(mut file: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !file.is_empty() {
            let (head, rest) = file.split_at(12);
            let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
            assert_eq!(head[8..], masked_checksum(&head[..8]).to_le_bytes());
            let (event, rest) = rest.split_at(length);
            assert_eq!(rest[..4], masked_checksum(event).to_le_bytes());
            events.push(Event::decode(event).unwrap());
            file = &rest[4..];
        }
        events
    }

    #[test]
    fn the_checksum_is_that_of_the_standard_and_masked_as_tensorflow_does() {
        // RFC 3720, B.4.
        assert_eq!(CHECKSUM.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CHECKSUM.checksum(&[0xff; 32]), 0x62a8_ab43);
        // TensorFlow's own test of the masked form goes back to the plain one.
        let unmasked = masked_checksum(b"foo").wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, CHECKSUM.checksum(b"foo"));
        // What every event file of TensorFlow begins with: the length of its first event, and the checksum of that.
        assert_eq!(masked_checksum(&24u64.to_le_bytes()), 0x224b_7fa3);
    }

    #[test]
    fn a_round_is_one_event_whose_tags_are_described_once() {
        let mut file = EventFile { file: Vec::new(), described: HashSet::new() };
        let record =
            |round, test_error| RoundRecord { round, test_error, accepted: 7, ..RoundRecord::default() };
        file.round(&record(1, Some(0.25)), 2, TIME).unwrap();
        file.round(&record(2, None), 2, TIME).unwrap();
        let events = read(&file.file);
        let values = |event: usize| events[event].summary.clone().unwrap().value;
        let of = |event, tag: &str| values(event).into_iter().find(|value| value.tag == tag);
        assert_eq!((events[0].step, events[0].wall_time), (1, 1_800_000_000.5));
        let error = of(0, "shares/test_error").unwrap();
        assert_eq!(error.simple_value, Some(0.25));
        let described = error.metadata.unwrap();
        assert_eq!(described.plugin_data.unwrap().plugin_name, "scalars");
        assert!(described.summary_description.contains("share, 0 to 1"), "{}", described.summary_description);
        assert_eq!(of(1, "shares/test_error"), None, "not measured");
        assert_eq!(of(1, "counts/accepted").unwrap().simple_value, Some(7.0));
        assert_eq!(of(1, "counts/accepted").unwrap().metadata, None);
    }

    #[test]
    fn an_event_is_encoded_as_protobuf_prescribes() {
        let value = TaggedValue { tag: "a".into(), simple_value: Some(1.0), ..TaggedValue::default() };
        let event = Event {
            wall_time: 1.0,
            step: 2,
            file_version: None,
            summary: Some(EventSummary { value: vec![value] }),
        };
        let expected = [
            &[0x09][..],
            &1f64.to_le_bytes(),
            &[0x10, 2, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15],
            &1f32.to_le_bytes(),
        ];
        assert_eq!(event.encode_to_vec(), expected.concat());
    }
}
