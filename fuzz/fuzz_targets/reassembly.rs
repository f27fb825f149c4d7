//! Any sequence of chunks, questions and withdrawals: the caps hold and content has its digest.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wire::identity::{DeviceId, Digest, RunId};
use wire::{Assembler, Chunk, Kind, Limits, Millis, Progress, TransferId};

const LIMITS: Limits =
    Limits { max_transfer_bytes: 64 << 10, max_sender_bytes: 16 << 10, max_total_bytes: 32 << 10 };
const QUIET: Millis = Millis(100);
/// So few senders and rounds that transfers meet.
const SENDERS: u8 = 4;
const ROUNDS: u8 = 4;

#[derive(Arbitrary, Debug)]
enum Event {
    /// A piece of true content of `kib` KiB in pieces of 1 KiB.
    Honest {
        sender: u8,
        round: u8,
        kib: u8,
        index: u8,
    },
    /// Whatever else a sender may say.
    Hostile {
        sender: u8,
        speaks_for: u8,
        round: u8,
        size: u32,
        count: u32,
        index: u32,
        bytes: u16,
    },
    Wait {
        ms: u16,
    },
    Forget {
        round: u8,
    },
}

fn id(sender: u8, round: u8, content: &[u8]) -> TransferId {
    let device = Some(DeviceId(u32::from(sender % SENDERS)));
    let round = u32::from(round % ROUNDS);
    TransferId { run: RunId(1), round, kind: Kind::Update, device, blake3: Digest::blake3(content) }
}

fn honest(sender: u8, round: u8, kib: u8, index: u8) -> Chunk {
    let count = 1 + u32::from(kib % 8);
    let content = vec![round; 1024 * count as usize];
    let data = vec![round; 1024].into();
    Chunk {
        id: id(sender, round, &content),
        size: 1024 * count,
        count,
        index: u32::from(index) % count,
        data,
    }
}

fn accept(assembler: &mut Assembler, now: Millis, sender: u8, chunk: Chunk) {
    let id = chunk.id;
    match assembler.accept(now, Some(DeviceId(u32::from(sender % SENDERS))), chunk) {
        Ok(Progress::Complete(content)) => {
            assert_eq!(Digest::blake3(&content), id.blake3);
            assert_eq!(assembler.missing(&id), None);
        }
        Ok(Progress::Incomplete) => {
            assert!(assembler.missing(&id).is_some_and(|missing| !missing.chunks.is_empty()));
        }
        Ok(Progress::AlreadyHeld) => {}
        Err(error) => {
            // Both must work for every error, for both go back to the sender.
            let _ = (error.to_string(), error.refusal());
        }
    }
}

fn check(assembler: &Assembler) {
    let shares = (0..SENDERS).map(|sender| assembler.held_bytes_of(Some(DeviceId(u32::from(sender)))));
    assert!(shares.clone().all(|share| share <= LIMITS.max_sender_bytes));
    assert_eq!(shares.sum::<usize>(), assembler.held_bytes());
    assert!(assembler.held_bytes() <= LIMITS.max_total_bytes);
}

fuzz_target!(|events: Vec<Event>| {
    let mut assembler = Assembler::new(LIMITS);
    let mut now = Millis(0);
    for event in events {
        match event {
            Event::Honest { sender, round, kib, index } => {
                accept(&mut assembler, now, sender, honest(sender, round, kib, index));
            }
            Event::Hostile { sender, speaks_for, round, size, count, index, bytes } => {
                let data = vec![0; usize::from(bytes)].into();
                let id = id(speaks_for, round, &[]);
                accept(&mut assembler, now, sender, Chunk { id, size, count, index, data });
            }
            Event::Wait { ms } => {
                now = now + Millis(u64::from(ms));
                let due = assembler.next_stall(QUIET).is_some_and(|at| at <= now);
                assert_eq!(due, !assembler.stalled(now, QUIET).is_empty());
                assert!(assembler.stalled(now, QUIET).is_empty(), "reported twice");
            }
            Event::Forget { round } => assembler.forget_rounds_before(u32::from(round % ROUNDS)),
        }
        check(&assembler);
    }
    assembler.forget_rounds_before(u32::MAX);
    assert_eq!(assembler.held_bytes(), 0);
});
