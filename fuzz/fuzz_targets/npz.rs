//! Arbitrary bytes as an archive of numpy's arrays.

#![no_main]

use formats::{Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let reading = Reading::default();
    outpost_fuzz::check(Form::Npz, "t.npz", content, &reading);
});
