//! The messages, as they stand in `outpost.cddl`.
//!
//! | message | from | topic | retained |
//! |---|---|---|---|
//! | [`Announcement`] | aggregator | `round` | yes |
//! | [`Chunk`] of a model | aggregator | `model`, or the inbox of the device that asked | no |
//! | [`Chunk`] of an update | device | its `update` | no |
//! | [`Receipt`], [`Missing`] | aggregator | the device's `inbox` | no |
//! | [`Missing`] | device | its `ask` | no |
//! | [`Status`] | device (and its last will) | its `status` | yes |
//! | [`Chunk`], [`Missing`], [`Receipt`] among colluders | designated attackers | `collusion/{device}` | no |

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::blob::Blob;
use super::codec::encode_with_room;
use super::float32_array::Float32Array;
use super::hardware::Hardware;
use super::short_text;
use super::telemetry::Telemetry;
use crate::identity::{DeviceId, Digest, RunId};

/// The version of these messages; a peer that speaks another is refused by name.
pub const PROTOCOL_VERSION: u32 = 4;

/// Whatever travels as one MQTT payload; `D` are the bytes of a [`Chunk`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message<D = Blob> {
    /// Where the run stands.
    Announcement(Announcement),
    /// That a device is here, or gone.
    Status(Status),
    /// A piece of a transfer.
    Chunk(Chunk<D>),
    /// Which pieces the receiver of a transfer still lacks.
    Missing(Missing),
    /// That a transfer arrived, and what became of it.
    Receipt(Receipt),
}

impl<D> Message<D> {
    /// The same message, with the bytes of a [`Chunk`] as `change` gives them.
    pub(super) fn map_data<E>(self, change: impl FnOnce(D) -> E) -> Message<E> {
        match self {
            Message::Announcement(announcement) => Message::Announcement(announcement),
            Message::Status(status) => Message::Status(status),
            Message::Chunk(Chunk { id, size, count, index, data }) => {
                Message::Chunk(Chunk { id, size, count, index, data: change(data) })
            }
            Message::Missing(missing) => Message::Missing(missing),
            Message::Receipt(receipt) => Message::Receipt(receipt),
        }
    }
}

/// Where the run stands: the aggregator's latest word to everyone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub protocol: u32,
    /// The run it speaks of.
    pub run: RunId,
    /// Grows with every start of the aggregator within a run: what an earlier start said is stale.
    pub term: u64,
    /// Digest of the resolved scenario: a device that holds another scenario must not take part.
    pub scenario: Digest,
    /// The stage the run is in.
    pub stage: RunStage,
}

/// The stage a run is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStage {
    /// The roll is called: every device answers with its [`Status`].
    Gathering(RollCall),
    /// A round is under way.
    Round(RoundCall),
    /// The run is over; devices may leave.
    Finished,
}

/// A roll call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollCall {
    /// Counts the calls of this aggregator process, from 1.
    pub call: u32,
}

/// The call for updates that opens a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundCall {
    /// The round, from 1.
    pub round: u32,
    /// The devices that take part, in ascending order. In a simulation all devices hold one and the same list.
    #[serde(serialize_with = "write_list", deserialize_with = "read_list")]
    pub selected: Arc<[DeviceId]>,
    /// The global model to start from.
    pub model: Content,
    /// How long updates are waited for, in milliseconds from this announcement.
    pub deadline_ms: u32,
}

fn write_list<S: Serializer>(list: &Arc<[DeviceId]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter())
}

fn read_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[DeviceId]>, D::Error> {
    Vec::deserialize(deserializer).map(Arc::from)
}

/// What a transfer carries, named by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// BLAKE3 of the content.
    pub blake3: Digest,
    /// Length in bytes.
    pub size: u32,
}

impl Content {
    /// The name of `content`.
    ///
    /// # Panics
    /// If `content` is longer than `u32::MAX` bytes; transfers are capped far below.
    pub fn of(content: &Blob) -> Self {
        Content { blake3: content.blake3(), size: u32::try_from(content.len()).expect("capped below 4 GiB") }
    }
}

/// What kind of parameters a transfer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The global model.
    Model,
    /// What a device sends for aggregation.
    Update,
    /// What a compromised device would honestly have sent, for its accomplices.
    BeforeAttack,
    /// What a compromised device is to send instead.
    Crafted,
}

/// Which transfer: idempotent key of everything that is said about it. On the wire `device` is `dev`, because it stands
/// in the header of every [`Chunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferId {
    /// The run.
    pub run: RunId,
    /// The round.
    pub round: u32,
    /// What kind of parameters.
    pub kind: Kind,
    /// Whose parameters; `None` for the global model.
    #[serde(rename = "dev")]
    pub device: Option<DeviceId>,
    /// BLAKE3 of the whole content.
    pub blake3: Digest,
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Model => "model",
            Kind::Update => "update",
            Kind::BeforeAttack => "before-attack model",
            Kind::Crafted => "crafted model",
        };
        match self.device {
            Some(device) => write!(f, "{kind} of {device} in round {}", self.round),
            None => write!(f, "{kind} of round {}", self.round),
        }
    }
}

/// A piece of a transfer. Each piece says all that is needed to start reassembly, so any may come first.
///
/// Content of `size` bytes travels in `count` pieces of `size.div_ceil(count)` bytes, the last one shorter.
/// Three fields have short names on the wire (`len`, `of`, `at`): this header is the only one sent often
/// enough for its length to count, and with them all that is sent beside a model of 266 060 parameters stays below
/// 0.2% of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk<D = Blob> {
    /// The transfer it belongs to.
    pub id: TransferId,
    /// Length of the whole content in bytes.
    #[serde(rename = "len")]
    pub size: u32,
    /// Number of pieces.
    #[serde(rename = "of")]
    pub count: u32,
    /// Which piece, from 0.
    #[serde(rename = "at")]
    pub index: u32,
    /// The bytes.
    pub data: D,
}

/// Which pieces of a transfer the receiver still lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// The transfer.
    pub id: TransferId,
    /// The missing indices in ascending order; empty means all of them.
    pub chunks: Vec<u32>,
}

/// The application's acknowledgement: only now may the sender forget the transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The transfer.
    pub id: TransferId,
    /// Why it was refused; `None` if it was accepted.
    pub refused: Option<Refusal>,
}

/// Why an update, or a message on its way to become one, was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Arrived after its round was closed.
    Late,
    /// A different second update of the same device in the same round.
    Duplicate,
    /// From a device that is not of the fleet, or was not selected.
    Unknown,
    /// Not a message of this protocol, or content that does not decode.
    Malformed,
    /// Speaks for another device than the topic it came on.
    Impostor,
    /// The number of parameters differs from the model's.
    WrongShape,
    /// For a round that has not been called.
    WrongRound,
    /// Of another run or another scenario.
    WrongRun,
    /// Holds a NaN or an infinity.
    NonFinite,
    /// Larger than any update of this model can be.
    Oversized,
    /// Its bytes do not have the announced digest.
    Corrupt,
    /// From a device that trains on another shard than it should.
    WrongShard,
}

impl fmt::Display for Refusal {
    /// As it is spelled on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// That a device is here, or gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// [`PROTOCOL_VERSION`] of the sender.
    pub protocol: u32,
    /// The device.
    pub device: DeviceId,
    /// Drawn anew by each process, so that a last will of an earlier one is told apart.
    pub boot: u64,
    /// For how long that process has been up, in milliseconds. Of two processes of one device, the elder stays.
    pub up_ms: u64,
    /// False in the last will and on leaving.
    pub online: bool,
    /// Digest of the resolved scenario the device holds.
    pub scenario: Digest,
    /// Digest of its shard, by which a device is found out that trains on something else.
    pub shard: Digest,
    /// Number of examples in its shard.
    pub examples: u32,
    /// Version of the software.
    #[serde(deserialize_with = "short_text::required")]
    pub version: String,
    /// The last round whose update the aggregator has acknowledged as accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u32>,
    /// What the board told last; its energy is that of the last training.
    #[serde(default, skip_serializing_if = "Telemetry::is_unknown")]
    pub telemetry: Telemetry,
    /// What went wrong last, in at most 160 printable characters ([`short_text`](fn@super::short_text)).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "short_text::optional")]
    pub error: Option<Box<str>>,
    /// When that was, in seconds since 1970 by the device's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_time: Option<u64>,
    /// The run that it takes part in, or took part in last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// When this was said, in seconds since 1970 by the device's clock; a last will was said when its connection began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Hardware::is_unknown")]
    pub hardware: Box<Hardware>,
}

/// Content of a [`Kind::Model`], [`Kind::BeforeAttack`] or [`Kind::Crafted`] transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelContent {
    /// The parameters, in the order of the model's layout.
    pub parameters: Float32Array,
}

/// Content of a [`Kind::Update`] transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateContent {
    /// The local model after training (not the difference from the global one).
    pub parameters: Float32Array,
    /// Mean training loss of the local steps.
    pub loss: f32,
    /// Wall-clock time of training in microseconds: a step of a small model takes a few hundred.
    pub train_us: u64,
    /// What the board told when it had trained.
    #[serde(default, skip_serializing_if = "Telemetry::is_unknown")]
    pub telemetry: Telemetry,
}

impl ModelContent {
    /// The content as it is cut into chunks.
    ///
    /// # Panics
    /// Never: contents always encode.
    pub fn encode(&self) -> Blob {
        encode_content(self, &self.parameters)
    }
}

impl UpdateContent {
    /// The content as it is cut into chunks.
    ///
    /// # Panics
    /// Never: contents always encode.
    pub fn encode(&self) -> Blob {
        encode_content(self, &self.parameters)
    }
}

fn encode_content<T: Serialize>(content: &T, parameters: &Float32Array) -> Blob {
    let room = content_limit(parameters.0.len());
    encode_with_room(content, room).expect("contents of the protocol encode").into()
}

/// Largest encoded [`ModelContent`] or [`UpdateContent`] of a model of `dimension` parameters, in bytes: the
/// floats, and room for everything around them.
pub fn content_limit(dimension: usize) -> usize {
    4 * dimension + 256
}
