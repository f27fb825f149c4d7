//! The devices of a run: how they did, and what they told of themselves.

use std::collections::BTreeMap;

use maud::{Markup, html};
use shared::identity::DeviceId;
use shared::wire::Throttling;

use super::html::{Arm, legend_and_plot};
use super::plot::Series;
use super::text;
use crate::record::{DeviceRecord, RecordError, RoundRecord};

/// So many devices are listed.
const LISTED: usize = 200;

/// One device over all rounds of a run. What was never told is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Device {
    rounds: u32,
    train_seconds: f64,
    slowest: f64,
    bytes: u64,
    rss_kib: Option<u32>,
    temperature: Option<f64>,
    throttled: Option<Throttling>,
    clock_mhz: Option<u16>,
    energy_joules: Option<f64>,
}

impl Device {
    fn enter(&mut self, told: &DeviceRecord) {
        self.rounds += 1;
        self.train_seconds += told.train_seconds;
        self.slowest = self.slowest.max(told.train_seconds);
        self.bytes = self.bytes.saturating_add(told.bytes_up);
        self.rss_kib = merge(self.rss_kib, told.rss_kib, u32::max);
        self.temperature = merge(self.temperature, told.temperature, f64::max);
        self.throttled = merge(self.throttled, told.throttled, Throttling::or);
        self.clock_mhz = merge(self.clock_mhz, told.clock_mhz, u16::min);
        self.energy_joules = merge(self.energy_joules, told.energy_joules, |a, b| a + b);
    }

    fn cells(&self) -> [String; 9] {
        [
            self.rounds.to_string(),
            text::short_duration(self.train_seconds / f64::from(self.rounds)),
            text::short_duration(self.slowest),
            known(self.rss_kib, |kib| text::bytes(1024 * u64::from(kib))),
            known(self.temperature, |celsius| format!("{celsius:.1} °C")),
            known(self.throttled, causes),
            known(self.clock_mhz, |megahertz| format!("{megahertz} MHz")),
            known(self.energy_joules, text::energy),
            text::bytes(self.bytes),
        ]
    }
}

fn merge<T>(one: Option<T>, other: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.or(other),
    }
}

fn known<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "unknown".to_owned(), show)
}

fn causes(flags: Throttling) -> String {
    let causes: Vec<_> = flags.ever().collect();
    if causes.is_empty() { "never".to_owned() } else { causes.join(", ") }
}

/// The section of one run; `compared` if there are others beside it.
pub(super) fn section(arm: &Arm, compared: bool) -> Result<Markup, RecordError> {
    let mut devices = BTreeMap::<DeviceId, Device>::new();
    for told in arm.records.iter().flat_map(|record| &record.devices) {
        devices.entry(told.device).or_default().enter(told);
    }
    let title = html! { @if compared { h3 { (arm.label) } } };
    if devices.is_empty() {
        let nothing = "No device told anything of itself: on the bench `software` there are no boards.";
        return Ok(html! { (title) p.note { (nothing) } });
    }
    let plot = spread(arm)?;
    Ok(html! { (title) (plot) (table(&devices)) })
}

fn table(devices: &BTreeMap<DeviceId, Device>) -> Markup {
    let columns = [
        "Rounds",
        "Mean training",
        "Longest",
        "Peak memory",
        "Hottest",
        "Throttled",
        "Slowest clock",
        "Energy",
        "Up",
    ];
    html! {
        div.scroll { table {
            thead { tr { th scope="col" { "Device" } @for column in columns { th scope="col" { (column) } } } }
            tbody { @for (id, device) in devices.iter().take(LISTED) { tr {
                th scope="row" { (id) }
                @for cell in device.cells() { td { (cell) } }
            } } }
        } }
        @if devices.len() > LISTED {
            p.note { "and " (devices.len() - LISTED) " more; rounds.jsonl lists all" }
        }
        p.note {
            "As the devices told with each accepted update. Memory: of the client, resident after a training. Throttled: since \
             the board was started. Energy: of the board, while it trained. Unknown: what a board cannot tell."
        }
    }
}

/// Temperature over rounds, or training time where no device knows its temperature.
fn spread(arm: &Arm) -> Result<Markup, RecordError> {
    let warm = arm.records.iter().flat_map(|record| &record.devices).any(|told| told.temperature.is_some());
    let (what, labels, value): (_, _, fn(&DeviceRecord) -> Option<f64>) = if warm {
        ("Temperature in °C", ["hottest device", "median", "coolest"], |told| told.temperature)
    } else {
        ("Training time in ms", ["slowest device", "median", "fastest"], |told| {
            Some(1000.0 * told.train_seconds)
        })
    };
    let mut series = [0, 1, 2].map(|stroke| Series { stroke, points: Vec::new() });
    for record in &arm.records {
        let Some(spread) = highest_median_lowest(record, value) else { continue };
        for (series, value) in series.iter_mut().zip(spread) {
            series.points.push((record.round, value));
        }
    }
    let plot = legend_and_plot(&format!("{what} of {}", arm.label), &labels, &series)?;
    Ok(html! { p.note { (what) " over rounds." } (plot) })
}

fn highest_median_lowest(record: &RoundRecord, value: fn(&DeviceRecord) -> Option<f64>) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = record.devices.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    Some([*values.last()?, values[values.len() / 2], *values.first()?])
}

#[cfg(test)]
mod tests {
    use shared::wire::Telemetry;

    use super::*;
    use crate::record::{examples, render};

    fn page(devices: &[DeviceRecord]) -> String {
        let record = |round| RoundRecord { devices: devices.to_vec(), ..examples::record(round) };
        render("t", &[examples::arm("a", (1..4).map(record).collect())]).unwrap()
    }

    #[test]
    fn a_device_is_a_row_over_all_rounds() {
        let page = page(&[examples::hot_device()]);
        let row = "<th scope=\"row\">device-001</th><td>3</td><td>1250 ms</td><td>1250 ms</td><td>6.2 MiB</td>\
                   <td>85.3 °C</td><td>under-voltage, throttled</td><td>1500 MHz</td><td>8.25 J</td><td>2.9 KiB</td>";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("Temperature in °C of a over rounds: hottest device; median; coolest"));
    }

    #[test]
    fn what_a_device_did_not_tell_is_unknown() {
        let page = page(&[DeviceRecord::new(DeviceId(6), 900, 250_000, &Telemetry::default())]);
        let unknown = "<td>unknown</td>".repeat(5);
        assert!(page.contains(&format!("<td>250 ms</td>{unknown}<td>2.6 KiB</td>")), "{page}");
        assert!(page.contains("Training time in ms of a"));
    }

    #[test]
    fn without_a_word_of_any_device_a_sentence_says_so() {
        let page = page(&[]);
        assert!(page.contains("No device told anything") && !page.contains("unknown</td><td>unknown"));
    }

    #[test]
    fn the_worst_and_the_sum_of_all_rounds_are_kept() {
        let mut device = Device::default();
        let told = |temperature, throttled, clock, energy| {
            let throttled = Some(Throttling(throttled));
            let telemetry = Telemetry { temperature, throttled, clock, energy, ..Telemetry::default() };
            DeviceRecord::new(DeviceId(0), 10, 500_000, &telemetry)
        };
        device.enter(&told(Some(853), 1, Some(600), None));
        device.enter(&told(Some(700), 0x8_0000, Some(1500), Some(1_000_000)));
        device.enter(&told(None, 0, None, Some(500_000)));
        assert_eq!((device.rounds, device.temperature, device.clock_mhz), (3, Some(85.3), Some(600)));
        assert_eq!((device.energy_joules, device.rss_kib, device.bytes), (Some(1.5), None, 30));
        assert_eq!(causes(device.throttled.unwrap()), "under-voltage, soft temperature limit");
        assert_eq!(causes(Throttling(0)), "never");
    }

    #[test]
    fn what_a_hostile_device_claims_makes_a_page() {
        let telemetry = Telemetry {
            rss_kib: Some(u32::MAX),
            temperature: Some(i16::MIN),
            throttled: Some(Throttling(u32::MAX)),
            clock: Some(u16::MAX),
            energy: Some(u64::MAX),
        };
        let hostile = DeviceRecord::new(DeviceId(u32::MAX), u64::MAX / 4, u64::MAX, &telemetry);
        assert!(page(&[hostile, examples::hot_device()]).contains("4.0 TiB"));
    }
}
