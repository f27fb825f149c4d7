//! `metrics.csv`: the rounds as a table, for spreadsheets and plotting tools.

use std::fmt::Write as _;

use super::RoundRecord;

const HEADER: &str = "round,test_error,test_loss,train_loss,accepted,selected,absent,refused,removed,bytes_up,bytes_down,seconds\n";

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
             {removed},{bytes_up},{bytes_down},{seconds}"
        );
        csv
    })
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
        assert_eq!(line, "3,0.25,0.5,0.1,7,10,1,2,2,7000,10000,0.5\n");
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
