//! The bytes of the wire, held against `outpost.cddl` and read by a second decoder.

use std::fmt::Debug;

use ciborium::Value;
use ciborium::value::Value::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{
    Announcement, Chunk, CodecError, Content, Float32Array, Hardware, Kind, MAX_MESSAGE_BYTES, Message,
    Missing, ModelContent, PROTOCOL_VERSION, Receipt, Refusal, RollCall, RoundCall, RunStage, Status,
    Telemetry, Throttling, TransferId, UpdateContent, decode, encode, short_text,
};

const SCHEMA: &str = include_str!("../src/outpost.cddl");

/// One line for every example: its name and its bytes in hexadecimal.
const GOLDEN: &str = include_str!("golden.txt");

const RUN: RunId = RunId(0x0123_4567_89ab_cdef);
const DIGEST: Digest = Digest([0xab; 32]);

fn announcement(stage: RunStage) -> Message {
    Message::Announcement(Announcement {
        protocol: PROTOCOL_VERSION,
        run: RUN,
        term: 3,
        scenario: DIGEST,
        stage,
    })
}

fn transfer(kind: Kind, device: Option<DeviceId>) -> TransferId {
    TransferId { run: RUN, round: 2, kind, device, blake3: DIGEST }
}

fn telemetry() -> Telemetry {
    Telemetry {
        rss_kib: Some(6400),
        temperature: Some(-35),
        throttled: Some(Throttling(0x5_0005)),
        clock: Some(1500),
        energy: Some(2_750_000_000_000),
    }
}

fn messages() -> Vec<(&'static str, Message)> {
    let model = transfer(Kind::Model, None);
    let update = transfer(Kind::Update, Some(DeviceId(7)));
    let crafted = transfer(Kind::Crafted, Some(DeviceId(7)));
    let round = RoundCall {
        round: 2,
        selected: [DeviceId(0), DeviceId(7), DeviceId(1000)].into(),
        model: Content { blake3: DIGEST, size: 1_064_283 },
        deadline_ms: 30_000,
    };
    let status = Status {
        protocol: PROTOCOL_VERSION,
        device: DeviceId(7),
        boot: u64::MAX,
        up_ms: 5000,
        online: true,
        scenario: DIGEST,
        shard: DIGEST,
        examples: 600,
        version: "0.1.0".to_owned(),
        delivered: None,
        telemetry: Telemetry::default(),
        error: None,
        error_time: None,
        run: None,
        time: None,
        hardware: Box::default(),
    };
    let told = Status {
        delivered: Some(19),
        telemetry: telemetry(),
        error: Some("round 18: update refused: late".into()),
        error_time: Some(1_800_000_000),
        run: Some(RUN),
        time: Some(1_800_000_060),
        hardware: Box::new(Hardware {
            model: Some("Raspberry Pi 4 Model B Rev 1.4".into()),
            architecture: Some("aarch64".into()),
            kernel: Some("6.12.25+rpt-rpi-v8".into()),
            client: Some(DIGEST),
            release: Some("20260102-101500-1a2b3c4d".into()),
        }),
        ..status.clone()
    };
    let data = b"piece".to_vec().into();
    vec![
        ("announcement-gathering", announcement(RunStage::Gathering(RollCall { call: 1 }))),
        ("announcement-round", announcement(RunStage::Round(round))),
        ("announcement-finished", announcement(RunStage::Finished)),
        ("status", Message::Status(status)),
        ("status-told", Message::Status(told)),
        ("chunk", Message::Chunk(Chunk { id: update, size: 5, count: 1, index: 0, data })),
        ("missing", Message::Missing(Missing { id: model, chunks: vec![0, 16] })),
        ("missing-all", Message::Missing(Missing { id: model, chunks: vec![] })),
        ("receipt-accepted", Message::Receipt(Receipt { id: update, refused: None })),
        ("receipt-refused", Message::Receipt(Receipt { id: crafted, refused: Some(Refusal::WrongShape) })),
    ]
}

fn model_content() -> ModelContent {
    ModelContent { parameters: Float32Array([1.0, -2.5].into()) }
}

fn update_content(loss: f32, telemetry: Telemetry) -> UpdateContent {
    UpdateContent { parameters: Float32Array([1.0, -2.5].into()), loss, train_us: 1500, telemetry }
}

fn golden(name: &str) -> Vec<u8> {
    let line = GOLDEN.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let digits = line.unwrap_or_default().as_bytes().as_chunks::<2>().0.iter();
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode_message(bytes: &[u8]) -> Result<Message, CodecError> {
    Message::decode(&bytes.to_vec().into())
}

fn decode_content<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(bytes, MAX_MESSAGE_BYTES)
}

/// Whether the rule `rule` of the schema describes `bytes`.
fn described_by(rule: &str, bytes: &[u8]) -> Result<(), String> {
    let schema = format!("root = {rule}\n{SCHEMA}");
    cddl::validate_cbor_from_slice(&schema, bytes, None).map_err(|error| error.to_string())
}

fn assert_golden<T: PartialEq + Debug>(
    name: &str,
    rule: &str,
    value: &T,
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
) {
    let hexadecimal: String = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from_digit(digit.into(), 16).unwrap())
        .collect();
    assert_eq!(bytes, golden(name), "the bytes are now\n{name} {hexadecimal}");
    assert_eq!(decode(bytes).as_ref(), Ok(value), "{name}");
    assert_eq!(described_by(rule, bytes), Ok(()), "{name}");
}

#[test]
fn every_message_has_its_golden_bytes_and_the_schema_describes_them() {
    for (name, message) in messages() {
        assert_golden(name, "message", &message, &message.encode().unwrap(), decode_message);
    }
}

#[test]
fn every_content_has_its_golden_bytes_and_the_schema_describes_them() {
    let model = model_content();
    assert_golden("model-content", "model-content", &model, &model.encode(), decode_content);
    let unknown = Telemetry::default();
    for (name, loss, telemetry) in [
        ("update-content", 0.1, unknown),
        ("update-content-short-loss", 0.5, unknown),
        ("update-content-told", 0.5, telemetry()),
    ] {
        let update = update_content(loss, telemetry);
        assert_golden(name, "update-content", &update, &update.encode(), decode_content);
    }
}

#[test]
fn every_refusal_and_kind_is_in_the_schema() {
    use Refusal::*;
    for refusal in [
        Late, Duplicate, Unknown, Malformed, Impostor, WrongShape, WrongRound, WrongRun, NonFinite,
        Oversized, Corrupt,
    ] {
        assert_eq!(described_by("refusal", &encode(&refusal).unwrap()), Ok(()), "{refusal:?}");
    }
    for kind in [Kind::Model, Kind::Update, Kind::BeforeAttack, Kind::Crafted] {
        assert_eq!(described_by("kind", &encode(&kind).unwrap()), Ok(()), "{kind:?}");
    }
}

fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn second_decoder(bytes: &[u8]) -> Value {
    ciborium::from_reader(bytes).unwrap()
}

fn second_encoder<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn id(kind: &str, device: Value) -> Value {
    map([
        ("run", RUN.0.into()),
        ("round", 2.into()),
        ("kind", kind.into()),
        ("dev", device),
        ("blake3", Bytes(vec![0xab; 32])),
    ])
}

#[test]
fn a_second_decoder_reads_the_same_announcements() {
    let round = map([
        ("round", 2.into()),
        ("selected", Value::Array(vec![0.into(), 7.into(), 1000.into()])),
        ("model", map([("blake3", Bytes(vec![0xab; 32])), ("size", 1_064_283.into())])),
        ("deadline_ms", 30_000.into()),
    ]);
    for (name, stage) in [
        ("announcement-gathering", map([("gathering", map([("call", 1.into())]))])),
        ("announcement-round", map([("round", round)])),
        ("announcement-finished", "finished".into()),
    ] {
        let announcement = map([
            ("protocol", 4.into()),
            ("run", RUN.0.into()),
            ("term", 3.into()),
            ("scenario", Bytes(vec![0xab; 32])),
            ("stage", stage),
        ]);
        assert_eq!(second_decoder(&golden(name)), map([("announcement", announcement)]), "{name}");
    }
}

#[test]
fn a_second_decoder_reads_the_same_status() {
    let status = vec![
        ("protocol", 4.into()),
        ("device", 7.into()),
        ("boot", u64::MAX.into()),
        ("up_ms", 5000.into()),
        ("online", true.into()),
        ("scenario", Bytes(vec![0xab; 32])),
        ("shard", Bytes(vec![0xab; 32])),
        ("examples", 600.into()),
        ("version", "0.1.0".into()),
    ];
    let mut told = status.clone();
    told.extend([
        ("delivered", 19.into()),
        ("telemetry", told_telemetry()),
        ("error", "round 18: update refused: late".into()),
        ("error_time", 1_800_000_000.into()),
        ("run", RUN.0.into()),
        ("time", 1_800_000_060.into()),
        ("hardware", told_hardware()),
    ]);
    for (name, fields) in [("status", status), ("status-told", told)] {
        assert_eq!(second_decoder(&golden(name)), map([("status", map(fields))]), "{name}");
    }
}

fn told_hardware() -> Value {
    map([
        ("model", "Raspberry Pi 4 Model B Rev 1.4".into()),
        ("arch", "aarch64".into()),
        ("kernel", "6.12.25+rpt-rpi-v8".into()),
        ("client", Bytes(vec![0xab; 32])),
        ("release", "20260102-101500-1a2b3c4d".into()),
    ])
}

fn told_telemetry() -> Value {
    map([
        ("rss", 6400.into()),
        ("temp", (-35).into()),
        ("throttled", 0x5_0005.into()),
        ("mhz", 1500.into()),
        ("uj", 2_750_000_000_000_u64.into()),
    ])
}

#[test]
fn a_second_decoder_reads_the_same_words_about_transfers() {
    let chunk = map([
        ("id", id("update", 7.into())),
        ("len", 5.into()),
        ("of", 1.into()),
        ("at", 0.into()),
        ("data", Bytes(b"piece".to_vec())),
    ]);
    assert_eq!(second_decoder(&golden("chunk")), map([("chunk", chunk)]));
    for (name, chunks) in [("missing", vec![0.into(), 16.into()]), ("missing-all", vec![])] {
        let missing = map([("id", id("model", Value::Null)), ("chunks", Value::Array(chunks))]);
        assert_eq!(second_decoder(&golden(name)), map([("missing", missing)]));
    }
    for (name, kind, refused) in
        [("receipt-accepted", "update", Value::Null), ("receipt-refused", "crafted", "wrong-shape".into())]
    {
        let receipt = map([("id", id(kind, 7.into())), ("refused", refused)]);
        assert_eq!(second_decoder(&golden(name)), map([("receipt", receipt)]));
    }
}

#[test]
fn a_second_decoder_reads_the_same_contents() {
    let little_endian = [1.0_f32, -2.5].into_iter().flat_map(f32::to_le_bytes).collect();
    let parameters = Value::Tag(85, Box::new(Bytes(little_endian)));
    assert_eq!(second_decoder(&golden("model-content")), map([("parameters", parameters.clone())]));
    for (name, loss, telemetry) in [
        ("update-content", 0.1_f32, None),
        ("update-content-short-loss", 0.5, None),
        ("update-content-told", 0.5, Some(told_telemetry())),
    ] {
        let loss = f64::from(loss).into();
        let fields = [("parameters", parameters.clone()), ("loss", loss), ("train_us", 1500.into())];
        let told = telemetry.map(|telemetry| ("telemetry", telemetry));
        assert_eq!(second_decoder(&golden(name)), map(fields.into_iter().chain(told)), "{name}");
    }
}

#[test]
fn what_a_second_encoder_writes_is_read() {
    for (name, message) in messages() {
        assert_eq!(decode_message(&second_encoder(&message)), Ok(message), "{name}");
    }
}

/// The example `name` after a change to the fields of its message.
fn changed(name: &str, change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Vec<u8> {
    let mut message = second_decoder(&golden(name));
    let fields = &mut message.as_map_mut().unwrap()[0].1;
    change(fields.as_map_mut().unwrap());
    second_encoder(&message)
}

#[test]
fn schema_and_decoder_refuse_the_same_wrong_messages() {
    let unchanged = changed("status", |_| ());
    assert_eq!(described_by("message", &unchanged), Ok(()));
    assert!(decode_message(&unchanged).is_ok());

    let set = |name, key: &str, value: Value| {
        changed(name, |fields| fields.iter_mut().find(|(k, _)| *k == key.into()).unwrap().1 = value)
    };
    for (what, bytes) in [
        ("a missing field", changed("status", |fields| drop(fields.pop()))),
        ("an unknown field", changed("status", |fields| fields.push(("extra".into(), 1.into())))),
        ("text for a number", set("status", "examples", "600".into())),
        ("a negative number", set("status", "examples", (-1).into())),
        ("2^32 for a u32", set("chunk", "len", (1_u64 << 32).into())),
        ("2^40 for a u32", set("chunk", "len", (1_u64 << 40).into())),
        ("2^64 - 1 for a u32", set("chunk", "of", u64::MAX.into())),
        ("a short digest", set("status", "scenario", Bytes(vec![0xab; 31]))),
        ("a long digest", set("status", "scenario", Bytes(vec![0xab; 33]))),
        ("an unknown refusal", set("receipt-refused", "refused", "boredom".into())),
        ("an unknown stage", set("announcement-finished", "stage", "paused".into())),
        ("a fraction for an index", set("missing", "chunks", Value::Array(vec![0.5.into()]))),
        ("telemetry that is no map", set("status-told", "telemetry", 7.into())),
        ("unknown telemetry", set("status-told", "telemetry", map([("fan", 1.into())]))),
        ("a fraction of a degree", set("status-told", "telemetry", map([("temp", 48.5.into())]))),
        ("a temperature beyond 16 bits", set("status-told", "telemetry", map([("temp", 32_768.into())]))),
        ("negative energy", set("status-told", "telemetry", map([("uj", (-1).into())]))),
        ("a number for an error", set("status-told", "error", 7.into())),
        ("a time before 1970", set("status-told", "time", (-1).into())),
        ("hardware that is no map", set("status-told", "hardware", "Pi".into())),
        ("unknown hardware", set("status-told", "hardware", map([("gpu", "H200".into())]))),
        ("a short digest of a client", set("status-told", "hardware", map([("client", Bytes(vec![1]))]))),
        ("an unknown message", second_encoder(&map([("gossip", map([]))]))),
    ] {
        assert!(described_by("message", &bytes).is_err(), "the schema allows {what}");
        assert!(decode_message(&bytes).is_err(), "the decoder takes {what}");
    }
}

#[test]
fn what_is_unknown_may_be_absent_or_null() {
    for telemetry in [map([]), map([("rss", Value::Null), ("temp", Value::Null), ("uj", Value::Null)])] {
        let bytes = changed("status-told", |fields| {
            fields.truncate(9);
            fields.extend(
                [("delivered", Value::Null), ("telemetry", telemetry), ("error", Value::Null)]
                    .map(|(key, value)| (key.into(), value)),
            );
        });
        assert_eq!(described_by("message", &bytes), Ok(()));
        let status = messages().into_iter().find_map(|(name, message)| (name == "status").then_some(message));
        assert_eq!(decode_message(&bytes).ok(), status);
    }
}

#[test]
fn hostile_text_in_a_status_arrives_short_and_printable() {
    let hostile = "\u{1b}[2J\u{202e}".repeat(500);
    let bytes = changed("status-told", |fields| {
        for (key, value) in fields.iter_mut().filter(|(k, _)| *k == "error".into() || *k == "version".into())
        {
            assert!(key.is_text());
            *value = hostile.as_str().into();
        }
        fields.last_mut().unwrap().1 =
            map(["model", "arch", "kernel", "release"].map(|key| (key, hostile.as_str().into())));
    });
    let Ok(Message::Status(status)) = decode_message(&bytes) else { panic!("not a status") };
    let short = short_text(&hostile);
    let Hardware { model, architecture, kernel, client, release } = *status.hardware;
    assert!(
        [model, architecture, kernel, release].iter().all(|text| text.as_deref() == Some(short.as_str()))
    );
    assert_eq!(client, None);
    assert_eq!((status.version.as_str(), status.error.as_deref()), (short.as_str(), Some(short.as_str())));
}

#[test]
fn schema_and_decoder_refuse_parameters_without_their_tag() {
    for parameters in [Bytes(vec![0; 8]), Value::Tag(81, Box::new(Bytes(vec![0; 8]))), Value::Array(vec![])] {
        let bytes = second_encoder(&map([("parameters", parameters.clone())]));
        assert!(described_by("model-content", &bytes).is_err(), "{parameters:?}");
        assert!(decode_content::<ModelContent>(&bytes).is_err(), "{parameters:?}");
    }
}
