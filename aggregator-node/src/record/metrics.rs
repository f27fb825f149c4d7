//! `metrics.csv`: the rounds as a table, for spreadsheets and plotting tools.

use std::fmt::Write as _;

use shared::attack_record::{AttackRecord, Models};

use super::{DeviceRecord, RoundRecord};

const HEADER: &str = "round,test_error,test_loss,train_loss,accepted,selected,absent,refused,removed,bytes_up,bytes_down,seconds,slowest_train_seconds,max_rss_kib,max_temperature,throttled,crafted_from,crafted_of,fell_back,silent\n";

/// One header line and one line a round. A value that was not measured, or is not finite, is an empty cell.
///
/// Every cell is a number, so nothing needs quoting.
pub fn to_csv(records: &[RoundRecord]) -> String {
    records.iter().fold(HEADER.to_owned(), |mut csv, record| {
        let RoundRecord { round, accepted, selected, bytes_up, bytes_down, seconds, .. } = record;
        let test_error = cell(record.test_error);
        let test_loss = cell(record.test_loss);
        // Not through f64, which would show the digits that f32 does not have.
        let train_loss = record.train_loss.filter(|loss| loss.is_finite());
        let train_loss = train_loss.map(|loss| loss.to_string()).unwrap_or_default();
        let (absent, refused, removed) = (record.absent.len(), record.refusals(), record.removed.len());
        // Writing to a string cannot fail.
        let _ = writeln!(
            csv,
            "{round},{test_error},{test_loss},{train_loss},{accepted},{selected},{absent},{refused},\
             {removed},{bytes_up},{bytes_down},{seconds},{},{}",
            device_cells(&record.devices),
            attack_cells(record.attack.as_ref())
        );
        csv
    })
}

/// The slowest, the largest, the hottest, and the number of those that are throttled now.
fn device_cells(devices: &[DeviceRecord]) -> String {
    let largest =
        |value: fn(&DeviceRecord) -> Option<f64>| cell(devices.iter().filter_map(value).reduce(f64::max));
    let slowest = largest(|device| Some(device.train_seconds));
    let memory = largest(|device| device.rss_kib.map(f64::from));
    let temperature = largest(|device| device.temperature);
    let flags = || devices.iter().filter_map(|device| device.throttled);
    let throttled = flags().next().map(|_| flags().filter(|flags| flags.now().next().is_some()).count());
    let throttled = throttled.map(|count| count.to_string()).unwrap_or_default();
    format!("{slowest},{memory},{temperature},{throttled}")
}

/// From how few models it was crafted at least once, of how many, and how many fell back or sent nothing.
fn attack_cells(attack: Option<&AttackRecord>) -> String {
    let Some(AttackRecord { meant, crafted, fell_back, silent }) = attack else { return ",,,".to_owned() };
    let all = |models: Models| models.colluders + models.benign;
    let from = crafted.iter().map(|crafted| all(crafted.from)).min().unwrap_or(0);
    format!("{from},{},{},{}", all(*meant), fell_back.len(), silent.len())
}

fn cell(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::examples;

    #[test]
    fn a_round_is_a_line_in_the_order_of_the_header() {
        let csv = to_csv(&[examples::record(3)]);
        let line = csv.strip_prefix(HEADER).unwrap();
        assert_eq!(line, "3,0.25,0.5,0.1,7,10,1,2,2,7000,10000,0.5,1.25,6400,85.3,1,1,2,1,0\n");
    }

    #[test]
    fn what_no_device_told_is_an_empty_cell() {
        let mut record = examples::record(1);
        record.devices.remove(0);
        assert!(to_csv(&[record.clone()]).ends_with(",0.5,0.25,,,,1,2,1,0\n"));
        record.devices.clear();
        record.attack = None;
        assert!(to_csv(&[record]).ends_with(",0.5,,,,,,,,\n"));
    }

    #[test]
    fn what_was_not_measured_or_is_not_finite_is_an_empty_cell() {
        let mut record = examples::record(1);
        record.test_error = None;
        record.test_loss = Some(f64::NAN);
        record.train_loss = Some(f32::INFINITY);
        assert!(to_csv(&[record]).contains("\n1,,,,7,"));
    }
}
