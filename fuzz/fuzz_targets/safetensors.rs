//! Arbitrary bytes as tensors, whose channels come first.

#![no_main]

use formats::{Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let reading = Reading { channels_first: true, ..Reading::default() };
    outpost_fuzz::check(Form::SafeTensors, "t.safetensors", content, &reading);
});
