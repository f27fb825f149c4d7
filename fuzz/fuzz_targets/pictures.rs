//! Arbitrary bytes as a picture, in PNG or JPEG.

#![no_main]

use formats::{Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    outpost_fuzz::check(Form::Pictures, "pictures/class/1.png", content, &Reading::default());
    let reading = Reading { shape: Some(vec![4, 4]), ..Reading::default() };
    outpost_fuzz::check(Form::Pictures, "pictures/class/1.png", content, &reading);
});
