//! Arbitrary bytes as an array in IDX, which is features and labels at once.

#![no_main]

use formats::{Form, Reading};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    for channels_first in [false, true] {
        let reading = Reading { labels: Some("t.idx".to_owned()), channels_first, ..Reading::default() };
        outpost_fuzz::check(Form::Idx, "t.idx", content, &reading);
    }
});
