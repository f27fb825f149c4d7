//! Arbitrary bytes as a compressed table.

#![no_main]

use formats::{Column, Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let reading = Reading { label: Some(Column::Number(1)), ..Reading::default() };
    outpost_fuzz::check(Form::Text(b','), "t.csv.gz", &[b"\x1f\x8b", content].concat(), &reading);
});
