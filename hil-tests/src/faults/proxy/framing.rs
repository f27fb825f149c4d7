//! Finding the large messages in a stream of MQTT packets.

use std::sync::atomic::{AtomicU32, Ordering};

/// Type of a publication, in the upper half of a packet's first byte.
const PUBLISH: u8 = 3;
/// Chunks of models and updates are larger than this; statuses, questions and receipts are not.
const LARGE: usize = 1024;

/// Where in a stream of packets (MQTT 3.1.1, section 2.2) the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Framing {
    part: Part,
}

#[derive(Debug, Default)]
enum Part {
    #[default]
    Type,
    Length {
        kind: u8,
        length: usize,
        shift: u32,
    },
    Body {
        kind: u8,
        length: usize,
        at: usize,
    },
}

impl Framing {
    /// Lets `bytes` pass, and flips a bit in as many large publications as `damage` says, which is counted down. The
    /// bit is far behind topic and header, where the content is.
    pub(super) fn pass(&mut self, bytes: &mut [u8], damage: &AtomicU32) {
        for byte in bytes {
            self.part = match self.part {
                Part::Type => Part::Length { kind: *byte >> 4, length: 0, shift: 0 },
                Part::Length { kind, length, shift } => {
                    let length = length | (usize::from(*byte & 0x7f) << shift);
                    match (*byte & 0x80, length) {
                        (0, 0) => Part::Type,
                        (0, _) => Part::Body { kind, length, at: 0 },
                        // More than four would not be MQTT; the peers will say so.
                        _ => Part::Length { kind, length, shift: (shift + 7).min(21) },
                    }
                }
                Part::Body { kind, length, at } => {
                    if kind == PUBLISH && length > LARGE && at == length / 4 * 3 && count_down(damage) {
                        *byte ^= 0x10;
                    }
                    if at + 1 == length { Part::Type } else { Part::Body { kind, length, at: at + 1 } }
                }
            };
        }
    }
}

fn count_down(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, length: usize) -> Vec<u8> {
        let mut packet = vec![kind << 4];
        let mut left = length;
        loop {
            let more = if left > 0x7f { 0x80 } else { 0 };
            packet.push((left & 0x7f) as u8 | more);
            left >>= 7;
            if left == 0 {
                break;
            }
        }
        packet.extend(std::iter::repeat_n(0xAA, length));
        packet
    }

    #[test]
    fn large_publications_are_damaged_however_the_stream_is_cut() {
        let stream =
            [packet(3, 100), packet(4, 2), packet(3, 70_000), packet(12, 0), packet(3, 2_000)].concat();
        for pieces in [1, 3, 1_000, stream.len()] {
            for (damage, expected) in [(0, 0), (1, 1), (5, 2)] {
                let mut passed = stream.clone();
                let (mut framing, left) = (Framing::default(), AtomicU32::new(damage));
                passed.chunks_mut(pieces).for_each(|piece| framing.pass(piece, &left));
                let changed: Vec<usize> = (0..stream.len()).filter(|&at| passed[at] != stream[at]).collect();
                assert_eq!(changed.len(), expected, "{pieces} {damage}");
                assert!(changed.iter().all(|&at| stream[at] == 0xAA), "a header was hit");
                assert_eq!(left.into_inner() as usize, damage as usize - expected);
            }
        }
    }
}
