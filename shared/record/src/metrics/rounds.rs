//! The metrics of a round.

use learning::evaluation::ClassErrors;
use scenario::attack_record::AttackRecord;
use scenario::attacks::Models;

use super::{Metric, Plot, Read, Unit};
use crate::{DeviceRecord, RoundRecord};

/// The metrics of a round, in the order of the columns of `metrics.csv`. A new one goes to the end: tools count columns.
pub const ROUNDS: &[Metric] = &[
    Metric {
        name: "round",
        unit: Unit::Count,
        help: "The round, from 1 on.",
        read: Read::Round(|record| Some(f64::from(record.round))),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "test_error",
        unit: Unit::Share,
        help: "Share of test examples that the global model gets wrong.",
        read: Read::Round(|record| record.test_error),
        plot: Plot::Alone("Testing error"),
    },
    Metric {
        name: "test_loss",
        unit: Unit::Nats,
        help: "Mean cross-entropy of the global model on the test examples.",
        read: Read::Round(|record| record.test_loss),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "train_loss",
        unit: Unit::Nats,
        help: "Mean cross-entropy that the devices report.",
        read: Read::Round(|record| record.train_loss.and_then(with_its_own_digits)),
        plot: Plot::Alone("Training loss"),
    },
    Metric {
        name: "accepted",
        unit: Unit::Count,
        help: "Updates that were accepted.",
        read: Read::Round(|record| Some(f64::from(record.accepted))),
        plot: Plot::Updates,
    },
    Metric {
        name: "selected",
        unit: Unit::Count,
        help: "Devices that were asked for an update.",
        read: Read::Round(|record| Some(f64::from(record.selected))),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "absent",
        unit: Unit::Count,
        help: "Selected devices that sent no acceptable update in time.",
        read: Read::Round(|record| Some(record.absent.len() as f64)),
        plot: Plot::Updates,
    },
    Metric {
        name: "refused",
        unit: Unit::Count,
        help: "Updates that were refused.",
        read: Read::Round(|record| Some(record.refusals() as f64)),
        plot: Plot::Updates,
    },
    Metric {
        name: "removed",
        unit: Unit::Count,
        help: "Accepted updates that the defense kept from the rule.",
        read: Read::Round(|record| Some(record.removed.len() as f64)),
        plot: Plot::Updates,
    },
    Metric {
        name: "bytes_up",
        unit: Unit::Bytes,
        help: "From the devices to the aggregator.",
        read: Read::Round(|record| Some(record.bytes_up as f64)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "bytes_down",
        unit: Unit::Bytes,
        help: "From the aggregator to the devices.",
        read: Read::Round(|record| Some(record.bytes_down as f64)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "seconds",
        unit: Unit::Seconds,
        help: "Wall time of the round.",
        read: Read::Round(|record| Some(record.seconds)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "slowest_train_seconds",
        unit: Unit::Seconds,
        help: "Training time of the slowest device.",
        read: Read::Round(|record| largest(record, |device| Some(device.train_seconds))),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "max_rss_kib",
        unit: Unit::Kibibytes,
        help: "Memory of the largest client.",
        read: Read::Round(|record| largest(record, |device| device.rss_kib.map(f64::from))),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "max_temperature",
        unit: Unit::Celsius,
        help: "Temperature of the hottest device.",
        read: Read::Round(|record| largest(record, |device| device.temperature)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "throttled",
        unit: Unit::Count,
        help: "Devices that are throttled now; none where no device can tell.",
        read: Read::Round(throttled),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "crafted_from",
        unit: Unit::Count,
        help: "The fewest models that the attack was crafted from.",
        read: Read::Round(|record| attack(record, crafted_from)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "crafted_of",
        unit: Unit::Count,
        help: "Models that the scenario means the attack to be crafted from.",
        read: Read::Round(|record| attack(record, |attack| all(attack.meant))),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "fell_back",
        unit: Unit::Count,
        help: "Compromised devices that sent an honest update in place of a crafted one.",
        read: Read::Round(|record| attack(record, |attack| attack.fell_back.len() as u32)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "silent",
        unit: Unit::Count,
        help: "Compromised devices that sent nothing.",
        read: Read::Round(|record| attack(record, |attack| attack.silent.len() as u32)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "worst_class_error",
        unit: Unit::Share,
        help: "Error of the class that the global model gets wrong most often.",
        read: Read::Round(worst_class_error),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "used",
        unit: Unit::Count,
        help: "Updates that have a part in the aggregate.",
        read: Read::Round(|record| Some(record.used_updates() as f64)),
        plot: Plot::Nowhere,
    },
    Metric {
        name: "class_error",
        unit: Unit::Share,
        help: "Share of the test examples of that class that the global model gets wrong; a column for each class, up to 100.",
        read: Read::Class(ClassErrors::rate),
        plot: Plot::Nowhere,
    },
];

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
