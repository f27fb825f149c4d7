//! Numbers as people read them.

use time::UtcDateTime;

/// A byte count in binary units: `12.3 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 and above would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration: `0.84 s`, `12.5 s`, `3 min 20 s`, `2 h 05 min`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "–".to_owned();
    }
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 99.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        return format!("{} min {:02} s", whole / 60, whole % 60);
    }
    format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
}

/// A duration that was measured in whole microseconds and may be as short as one: `412 µs`, `1.25 ms`, `1250 ms`, `12.5 s`.
pub(super) fn short_duration(seconds: f64) -> String {
    match seconds {
        ..0.000_999_5 => format!("{:.0} µs", 1e6 * seconds),
        ..9.9995 => format!("{} ms", three_digits(1e3 * seconds)),
        _ => duration(seconds),
    }
}

/// An energy that was measured in whole microjoules: `412 µJ`, `1.25 mJ`, `2.75 J`.
pub(super) fn energy(joules: f64) -> String {
    match joules {
        ..0.000_999_5 => format!("{:.0} µJ", 1e6 * joules),
        ..0.9995 => format!("{} mJ", three_digits(1e3 * joules)),
        _ => format!("{} J", three_digits(joules)),
    }
}

/// A number with the first three digits that matter: `1.25`, `12.5`, `125`, `1250`.
fn three_digits(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// An error rate, 0 to 1, or a dash.
pub(super) fn rate(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

/// A date and time in UTC: `2026-11-23 07:33`; of what no calendar reaches, the seconds since 1970.
pub(super) fn date(unix: u64) -> String {
    let date = i64::try_from(unix).ok().and_then(|unix| UtcDateTime::from_unix_timestamp(unix).ok());
    date.map_or_else(
        || format!("{unix} s"),
        |date| format!("{} {:02}:{:02}", date.date(), date.hour(), date.minute()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_three_to_five_digits() {
        let shown = [0, 1023, 1024, 1_048_575, 1_048_576, 123_456_789, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.0 MiB", "117.7 MiB", "16.0 EiB"]);
    }

    #[test]
    fn durations_change_unit_where_digits_stop_to_matter() {
        let shown = [0.0, 9.994, 9.996, 99.96, 200.0, 3599.6, 7500.0, f64::NAN].map(duration);
        let expected =
            ["0.00 s", "9.99 s", "10.0 s", "1 min 40 s", "3 min 20 s", "1 h 00 min", "2 h 05 min", "–"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn short_durations_have_three_digits() {
        let shown =
            [0.0, 0.000_412, 0.000_999_7, 0.012_34, 1.25, 9.9996, 200.0, f64::NAN].map(short_duration);
        let expected = ["0 µs", "412 µs", "1.00 ms", "12.3 ms", "1250 ms", "10.0 s", "3 min 20 s", "–"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn energies_have_three_digits() {
        let shown = [0.0, 0.000_412, 0.000_999_7, 0.25, 0.9997, 2.75, 99.96, 1250.0].map(energy);
        assert_eq!(shown, ["0 µJ", "412 µJ", "1.00 mJ", "250 mJ", "1.00 J", "2.75 J", "100 J", "1250 J"]);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let shown = [0, 951_782_400, 1_735_689_599, u64::MAX].map(date);
        let beyond = "18446744073709551615 s";
        assert_eq!(shown, ["1970-01-01 00:00", "2000-02-29 00:00", "2024-12-31 23:59", beyond]);
    }
}
