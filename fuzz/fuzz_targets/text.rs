//! Arbitrary tables of separated values, read in any style.

#![no_main]

use arbitrary::Arbitrary;
use formats::{Column, Form, Missing, Reading};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Table<'a> {
    label: i8,
    ignored: Option<i8>,
    missing: u8,
    header: Option<bool>,
    delimiter: Option<char>,
    decimal: Option<char>,
    shape: Option<[u8; 2]>,
    content: &'a [u8],
}

fuzz_target!(|table: Table| {
    let reading = Reading {
        label: Some(Column::Number(table.label.into())),
        ignore: table.ignored.into_iter().map(|number| Column::Number(number.into())).collect(),
        missing: [Missing::Error, Missing::Drop, Missing::Mean][usize::from(table.missing % 3)],
        header: table.header,
        delimiter: table.delimiter,
        decimal: table.decimal,
        shape: table.shape.map(|shape| shape.map(usize::from).to_vec()),
        ..Reading::default()
    };
    outpost_fuzz::check(Form::Text(b','), "t.csv", table.content, &reading);
});
