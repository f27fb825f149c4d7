//! Arbitrary bytes as a table in Parquet.

#![no_main]

use formats::{Column, Missing, Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let reading = Reading { label: Some(Column::Number(-1)), missing: Missing::Mean, ..Reading::default() };
    outpost_fuzz::check(Form::Parquet, "t.parquet", content, &reading);
});
