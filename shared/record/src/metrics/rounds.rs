//! The metrics of a round.

use learning::evaluation::ClassErrors;
use scenario::attack_record::AttackRecord;
use scenario::attacks::Models;

use super::{Metric, Plot, Read, Unit};
use crate::{DeviceRecord, RoundRecord};

/// The metrics of a round, in the order of the columns of `metrics.csv`. A new one goes to the end: tools count columns.
pub const ROUNDS: &[Metric] = &[
    round("round", Unit::Count, "The round, from 1 on.", |record| Some(f64::from(record.round))),
    round("test_error", Unit::Share, "Share of test examples that the global model gets wrong.", |record| {
        record.test_error
    })
    .shown(Plot::Alone("Testing error")),
    round(
        "test_loss",
        Unit::Nats,
        "Mean cross-entropy of the global model on the test examples.",
        |record| record.test_loss,
    ),
    round("train_loss", Unit::Nats, "Mean cross-entropy that the devices report.", |record| {
        record.train_loss.and_then(with_its_own_digits)
    })
    .shown(Plot::Alone("Training loss")),
    round("accepted", Unit::Count, "Updates that were accepted.", |record| Some(f64::from(record.accepted)))
        .shown(Plot::Updates),
    round("selected", Unit::Count, "Devices that were asked for an update.", |record| {
        Some(f64::from(record.selected))
    }),
    round("absent", Unit::Count, "Selected devices that sent no acceptable update in time.", |record| {
        Some(record.absent.len() as f64)
    })
    .shown(Plot::Updates),
    round("refused", Unit::Count, "Updates that were refused.", |record| Some(record.refusals() as f64))
        .shown(Plot::Updates),
    round("removed", Unit::Count, "Accepted updates that the defense kept from the rule.", |record| {
        Some(record.removed.len() as f64)
    })
    .shown(Plot::Updates),
    round("bytes_up", Unit::Bytes, "From the devices to the aggregator.", |record| {
        Some(record.bytes_up as f64)
    }),
    round("bytes_down", Unit::Bytes, "From the aggregator to the devices.", |record| {
        Some(record.bytes_down as f64)
    }),
    round("seconds", Unit::Seconds, "Wall time of the round.", |record| Some(record.seconds)),
    round("slowest_train_seconds", Unit::Seconds, "Training time of the slowest device.", |record| {
        largest(record, |device| Some(device.train_seconds))
    }),
    round("max_rss_kib", Unit::Kibibytes, "Memory of the largest client.", |record| {
        largest(record, |device| device.rss_kib.map(f64::from))
    }),
    round("max_temperature", Unit::Celsius, "Temperature of the hottest device.", |record| {
        largest(record, |device| device.temperature)
    }),
    round(
        "throttled",
        Unit::Count,
        "Devices that are throttled now; none where no device can tell.",
        throttled,
    ),
    round("crafted_from", Unit::Count, "The fewest models that the attack was crafted from.", |record| {
        attack(record, crafted_from)
    }),
    round(
        "crafted_of",
        Unit::Count,
        "Models that the scenario means the attack to be crafted from.",
        |record| attack(record, |attack| all(attack.meant)),
    ),
    round(
        "fell_back",
        Unit::Count,
        "Compromised devices that sent an honest update in place of a crafted one.",
        |record| attack(record, |attack| attack.fell_back.len() as u32),
    ),
    round("silent", Unit::Count, "Compromised devices that sent nothing.", |record| {
        attack(record, |attack| attack.silent.len() as u32)
    }),
    round(
        "worst_class_error",
        Unit::Share,
        "Error of the class that the global model gets wrong most often.",
        worst_class_error,
    ),
    round("used", Unit::Count, "Updates that have a part in the aggregate.", |record| {
        Some(record.used_updates() as f64)
    }),
    Metric {
        name: "class_error",
        unit: Unit::Share,
        help: "Share of the test examples of that class that the global model gets wrong; a column for each class, up to 100.",
        read: Read::Class(ClassErrors::rate),
        plot: Plot::Nowhere,
    },
    round(
        "attack_success",
        Unit::Share,
        "Share of the examples of an attack with a target that get the label which it wants for them.",
        |record| record.attack_success,
    )
    .shown(Plot::AloneIfAny("Attack success rate")),
];

/// One number a round, in `metrics.csv` only.
const fn round(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    read: fn(&RoundRecord) -> Option<f64>,
) -> Metric {
    Metric { name, unit, help, read: Read::Round(read), plot: Plot::Nowhere }
}

impl Metric {
    /// The same, plotted there.
    const fn shown(self, plot: Plot) -> Self {
        Metric { plot, ..self }
    }
}

/// Error of the class that the global model gets wrong most often.
pub(super) fn worst_class_error(record: &RoundRecord) -> Option<f64> {
    record.classes.iter().filter_map(|class| class.rate()).reduce(f64::max)
}

/// The number with the digits that `value` is printed with: converted, it would have some that were never measured.
fn with_its_own_digits(value: f32) -> Option<f64> {
    value.to_string().parse().ok()
}

/// The largest `value` of the devices that know theirs.
fn largest(record: &RoundRecord, value: fn(&DeviceRecord) -> Option<f64>) -> Option<f64> {
    record.devices.iter().filter_map(value).reduce(f64::max)
}

fn throttled(record: &RoundRecord) -> Option<f64> {
    let mut flags = record.devices.iter().filter_map(|device| device.throttled).peekable();
    flags.peek()?;
    Some(flags.filter(|flags| flags.now().next().is_some()).count() as f64)
}

fn attack(record: &RoundRecord, count: fn(&AttackRecord) -> u32) -> Option<f64> {
    record.attack.as_ref().map(|attack| f64::from(count(attack)))
}

fn crafted_from(attack: &AttackRecord) -> u32 {
    attack.crafted.iter().map(|crafted| all(crafted.from)).min().unwrap_or(0)
}

fn all(models: Models) -> u32 {
    models.colluders + models.benign
}
