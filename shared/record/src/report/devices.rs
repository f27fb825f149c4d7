//! The devices of a run: how they did, and what they reported of themselves.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use wire::Throttling;
use wire::identity::DeviceId;

use super::html::{Arm, over_rounds};
use super::page::wide_table;
use super::plot::Series;
use super::text;
use crate::{DeviceRecord, Devices, RecordError, RoundRecord};

/// So many devices are listed.
const LISTED: usize = 200;
/// And of one kind so many are named.
const NAMED: usize = 8;

/// One device over all rounds of a run. What was never told is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Device {
    rounds: u32,
    absent: u32,
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

    /// `value`, if an update of this device was ever accepted.
    fn once_heard<T>(&self, value: T) -> Option<T> {
        (self.rounds > 0).then_some(value)
    }
}

/// What is shown of each device; `None` is what it never told.
struct Column {
    title: &'static str,
    show: fn(&Device) -> Option<String>,
}

const COLUMNS: [Column; 10] = [
    Column { title: "Rounds", show: |device| Some(device.rounds.to_string()) },
    Column { title: "Absent", show: |device| Some(device.absent.to_string()) },
    Column {
        title: "Mean training",
        show: |device| {
            device.once_heard(text::short_duration(device.train_seconds / f64::from(device.rounds)))
        },
    },
    Column { title: "Longest", show: |device| device.once_heard(text::short_duration(device.slowest)) },
    Column { title: "Up", show: |device| device.once_heard(text::bytes(device.bytes)) },
    Column {
        title: "Peak memory",
        show: |device| device.rss_kib.map(|kib| text::bytes(1024 * u64::from(kib))),
    },
    Column { title: "Hottest", show: |device| device.temperature.map(|celsius| format!("{celsius:.1} °C")) },
    Column { title: "Throttled", show: |device| device.throttled.map(causes) },
    Column {
        title: "Slowest clock",
        show: |device| device.clock_mhz.map(|megahertz| format!("{megahertz} MHz")),
    },
    Column { title: "Energy", show: |device| device.energy_joules.map(text::energy) },
];

fn merge<T>(one: Option<T>, other: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(both(one, other)),
        (one, other) => one.or(other),
    }
}

fn causes(flags: Throttling) -> String {
    let causes: Vec<_> = flags.ever().collect();
    if causes.is_empty() { "never".to_owned() } else { causes.join(", ") }
}

/// The section of one run; `compared` if there are others beside it.
pub(super) fn section(arm: &Arm, compared: bool) -> Result<Markup, RecordError> {
    let title = html! { @if compared { h3 { (arm.label) } } };
    if arm.records.iter().all(|record| record.devices.is_empty()) {
        let nothing = "No device told anything of itself: on the bench `software` there are no boards.";
        return Ok(html! { (title) p.note { (nothing) } });
    }
    let mut devices = BTreeMap::<DeviceId, Device>::new();
    for record in &arm.records {
        record.devices.iter().for_each(|told| devices.entry(told.device).or_default().enter(told));
        record.absent.iter().for_each(|device| devices.entry(*device).or_default().absent += 1);
    }
    let plot = spread(arm)?;
    Ok(html! { (title) (plot) (table(&devices, &arm.scenario.attackers())) (hardware(&arm.devices)) })
}

/// What the devices said that they are: a row for each kind.
fn hardware(devices: &Devices) -> Markup {
    let unknown = || "unknown".to_owned();
    let text = |text: &Option<Box<str>>| text.as_deref().map_or_else(unknown, ToOwned::to_owned);
    let mut kinds = BTreeMap::<[String; 4], Vec<&str>>::new();
    for (name, entry) in &devices.0 {
        for told in &entry.told {
            let client =
                told.client_sha256.as_deref().and_then(|digest| digest.get(..8)).unwrap_or("unknown");
            let client = format!("{} {client}", told.version);
            let kind = [text(&told.model), text(&told.architecture), text(&told.kernel), client];
            kinds.entry(kind).or_default().push(name);
        }
    }
    let left_out: Vec<&str> = devices.left_out().collect();
    html! {
        @if !kinds.is_empty() {
            div.scroll { table {
                thead { tr { @for title in ["Board", "Processor", "Kernel", "Client", "Devices"] { th scope="col" { (title) } } } }
                tbody { @for (kind, names) in &kinds { tr {
                    th scope="row" { (kind[0]) }
                    @for cell in &kind[1..] { td { (cell) } }
                    td { (names.len()) ": " (some(names)) }
                } } }
            } }
            p.note { "As the devices say; devices.json has whole digests, and from which round on. Client: version and SHA-256." }
        }
        @if !left_out.is_empty() { p.note { "Left out: " (some(&left_out)) "." } }
    }
}

/// The first few of `names`.
fn some(names: &[&str]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED { format!("{first}, ...") } else { first }
}

fn table(devices: &BTreeMap<DeviceId, Device>, attackers: &BTreeSet<DeviceId>) -> Markup {
    let is_told = |column: &&Column| devices.values().any(|device| (column.show)(device).is_some());
    let (columns, silent): (Vec<_>, Vec<_>) = COLUMNS.iter().partition(is_told);
    let silent: Vec<_> = silent.into_iter().map(|column| column.title).collect();
    let table = html! {
        thead { tr { th scope="col" { "Device" } @for column in &columns { th scope="col" { (column.title) } } } }
        tbody { @for (id, device) in devices.iter().take(LISTED) { tr {
            th scope="row" { (id) @if attackers.contains(id) { " " span.tag { "compromised" } } }
            @for column in &columns { td { (cell(column, device)) } }
        } } }
    };
    html! {
        (wide_table("Devices", &table))
        @if devices.len() > LISTED {
            p.note { "and " (devices.len() - LISTED) " more; rounds.jsonl lists all" }
        }
        p.note {
            "As the devices told with each accepted update; absent counts those that did not come in time. Memory: of the \
             client, resident after a training."
            @if columns.iter().any(|column| column.title == "Throttled") { " Throttled: since the board was started." }
            @if columns.iter().any(|column| column.title == "Energy") { " Energy: of the board, while it trained." }
            @if !silent.is_empty() { " No board could tell: " (silent.join(", ").to_lowercase()) "." }
        }
    }
}

/// What a device did not tell although others did is unknown; of one that was never heard there is nothing to know.
fn cell(column: &Column, device: &Device) -> String {
    (column.show)(device).unwrap_or_else(|| if device.rounds > 0 { "unknown" } else { "–" }.to_owned())
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
    let mut series = labels.map(|label| Series { label: label.to_owned(), points: Vec::new() });
    for record in &arm.records {
        let Some(spread) = highest_median_lowest(record, value) else { continue };
        for (series, value) in series.iter_mut().zip(spread) {
            series.points.push((record.round, value));
        }
    }
    let plot = over_rounds(&format!("{what} of {}", arm.label), series.into())?;
    Ok(html! { p.note { (what) " over rounds." } (plot) })
}

fn highest_median_lowest(record: &RoundRecord, value: fn(&DeviceRecord) -> Option<f64>) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = record.devices.iter().filter_map(value).collect();
    values.sort_by(f64::total_cmp);
    Some([*values.last()?, values[values.len() / 2], *values.first()?])
}

#[cfg(test)]
mod tests {
    use scenario::Scenario;
    use wire::Telemetry;

    use super::*;
    use crate::{examples, render};

    fn page(devices: &[DeviceRecord]) -> String {
        let record = |round| RoundRecord { devices: devices.to_vec(), ..examples::record(round) };
        render("t", &[examples::arm("a", (1..4).map(record).collect())]).unwrap()
    }

    #[test]
    fn a_device_is_a_row_over_all_rounds() {
        let page = page(&[examples::hot_device()]);
        let row = "<th scope=\"row\">device-001</th><td>3</td><td>0</td><td>1250 ms</td><td>1250 ms</td><td>2.9 KiB</td>\
                   <td>6.2 MiB</td><td>85.3 °C</td><td>under-voltage, throttled</td><td>1500 MHz</td><td>8.25 J</td>";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("Temperature in °C of a over rounds: hottest device; median; coolest"));
        assert!(!page.contains("No board could tell"));
    }

    #[test]
    fn what_the_devices_are_is_a_row_for_each_kind() {
        let mut arm = examples::arm(
            "a",
            vec![RoundRecord { devices: vec![examples::hot_device()], ..examples::record(1) }],
        );
        for device in 0..10 {
            let model = if device == 3 { "<script>" } else { "Raspberry Pi 5 Model B" };
            let hardware = wire::Hardware {
                model: Some(model.into()),
                architecture: Some("aarch64".into()),
                client: Some(wire::identity::Digest([0xab; 32])),
                ..wire::Hardware::default()
            };
            arm.devices.describe(DeviceId(device), 1, "0.1.0", &hardware);
        }
        arm.devices.leave_out(&[DeviceId(11)]);
        let page = render("t", &[arm]).unwrap();
        let row = "<th scope=\"row\">Raspberry Pi 5 Model B</th><td>aarch64</td><td>unknown</td><td>0.1.0 abababab</td>\
                   <td>9: device-000, device-001, device-002, device-004,";
        assert!(
            page.contains(row) && page.contains("&lt;script&gt;") && !page.contains("<script>"),
            "{page}"
        );
        assert!(page.contains("Left out: device-011."), "{page}");
    }

    #[test]
    fn what_a_device_did_not_tell_although_others_did_is_unknown() {
        let silent = DeviceRecord::new(DeviceId(6), 900, 250, &Telemetry::default());
        let page = page(&[examples::hot_device(), silent]);
        let unknown = "<td>unknown</td>".repeat(5);
        assert!(page.contains(&format!("<td>250 µs</td><td>2.6 KiB</td>{unknown}")), "{page}");
    }

    #[test]
    fn what_no_device_told_is_said_once() {
        let telemetry = Telemetry { rss_kib: Some(6400), ..Telemetry::default() };
        let page = page(&[DeviceRecord::new(DeviceId(6), 900, 250_000, &telemetry)]);
        assert!(page.contains("<td>250 ms</td><td>2.6 KiB</td><td>6.2 MiB</td></tr>"), "{page}");
        assert!(page.contains("No board could tell: hottest, throttled, slowest clock, energy."), "{page}");
        let devices = page.split(">Devices</h2>").nth(1).unwrap();
        assert!(!devices.contains("unknown") && devices.contains("Training time in ms of a"));
    }

    #[test]
    fn who_is_absent_is_counted_and_may_never_have_been_heard() {
        // device-004 in all three rounds.
        let page = page(&[examples::hot_device()]);
        let nothing = "<td>–</td>".repeat(8);
        let row = format!("<th scope=\"row\">device-004</th><td>0</td><td>3</td>{nothing}");
        assert!(page.contains(&row), "{page}");
    }

    #[test]
    fn who_is_compromised_is_marked() {
        let text = "name = \"a\"\ndataset = \"mnist\"\nmodel = \"logistic-regression\"\nrounds = 1\n\
                    [fleet]\ndevices = 10\ncompromised = 3\n[attack]\nkind = \"label-flip\"\n";
        let scenario = Scenario::parse("scenario.toml", text, &[]).unwrap();
        let told = |id| DeviceRecord::new(DeviceId(id), 1, 1, &Telemetry::default());
        let record = RoundRecord { devices: (0..10).map(told).collect(), ..examples::record(1) };
        let arm = Arm { scenario: scenario.clone(), ..examples::arm("a", vec![record]) };
        let page = render("t", &[arm]).unwrap();
        assert_eq!(page.matches("compromised</span>").count(), 3);
        for attacker in scenario.attackers() {
            assert!(page.contains(&format!("{attacker} <span class=\"tag\">compromised")), "{page}");
        }
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
