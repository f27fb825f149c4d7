//! Arbitrary bytes as an array of numpy, which is features and labels at once.

#![no_main]

use formats::{Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    for channels_first in [false, true] {
        let reading = Reading { labels: Some("t.npy".to_owned()), channels_first, ..Reading::default() };
        outpost_fuzz::check(Form::Npy, "t.npy", content, &reading);
    }
});
