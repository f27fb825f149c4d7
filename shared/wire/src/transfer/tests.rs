//! The receiving end against honest and hostile senders.

use super::*;
use crate::identity::{DeviceId, Digest, RunId};
use crate::{Blob, Chunk, Kind, Millis, Refusal, TransferId};

const CHUNK: usize = CHUNK_BYTES as usize;
const LIMITS: Limits =
    Limits { max_transfer_bytes: 8 * CHUNK, max_sender_bytes: 8 * CHUNK, max_total_bytes: 12 * CHUNK };
const NOW: Millis = Millis(1000);
const QUIET: Millis = Millis(50);

fn content(bytes: usize) -> Blob {
    (0..bytes).map(|i| (i % 251) as u8).collect::<Vec<_>>().into()
}

fn update(round: u32, device: DeviceId, bytes: usize) -> Outgoing {
    Outgoing::new(RunId(1), round, Kind::Update, Some(device), content(bytes))
}

/// Device 3 and the assembler that it sends to.
struct Link {
    assembler: Assembler,
    device: DeviceId,
}

impl Link {
    fn new() -> Self {
        Link { assembler: Assembler::new(LIMITS), device: DeviceId(3) }
    }

    fn update(&self, round: u32, bytes: usize) -> Outgoing {
        update(round, self.device, bytes)
    }

    fn send(&mut self, now: Millis, chunk: Chunk) -> Result<Progress, TransferError> {
        self.assembler.accept(now, Some(self.device), chunk)
    }

    fn send_at(&mut self, now: u64, transfer: &Outgoing, index: u32) -> Result<Progress, TransferError> {
        self.send(Millis(now), transfer.chunk(index).expect("a chunk of it"))
    }
}

#[test]
fn chunks_in_any_order_give_the_content_once() {
    let mut link = Link::new();
    let update = link.update(1, 2 * CHUNK + 5);
    assert_eq!(link.send_at(0, &update, 2), Ok(Progress::Incomplete));
    assert_eq!(link.send_at(0, &update, 0), Ok(Progress::Incomplete));
    assert_eq!(link.send_at(0, &update, 2), Ok(Progress::AlreadyHeld));
    assert_eq!(link.send_at(0, &update, 1), Ok(Progress::Complete(content(2 * CHUNK + 5))));
    assert_eq!(link.assembler.held_bytes(), 0);
    assert_eq!(link.send_at(0, &update, 1), Ok(Progress::AlreadyHeld), "a late repetition");
    assert_eq!(link.assembler.missing(&update.id()), None);
}

#[test]
fn empty_content_arrives() {
    let mut link = Link::new();
    let empty = link.update(1, 0);
    assert_eq!(link.send_at(0, &empty, 0), Ok(Progress::Complete(content(0))));
}

#[test]
fn what_is_missing_can_be_asked_for_and_answered() {
    let mut link = Link::new();
    let update = link.update(1, 4 * CHUNK);
    assert_eq!(link.assembler.missing(&update.id()), None, "unknown");
    link.send_at(0, &update, 1).unwrap();
    let missing = link.assembler.missing(&update.id()).unwrap();
    assert_eq!(missing.chunks, [0, 2, 3]);
    let last = update.answer(&missing).into_iter().map(|chunk| link.send(NOW, chunk)).last();
    assert_eq!(last, Some(Ok(Progress::Complete(content(4 * CHUNK)))));
}

#[test]
fn a_stalled_transfer_is_reported_once_per_quiet_time() {
    let mut link = Link::new();
    let (one, other) = (link.update(1, 3 * CHUNK), link.update(2, 2 * CHUNK));
    assert_eq!(link.assembler.next_stall(QUIET), None);
    link.send_at(100, &one, 0).unwrap();
    link.send_at(120, &other, 0).unwrap();
    let mut stalled = |now| link.assembler.stalled(Millis(now), QUIET);
    assert_eq!(stalled(149), []);
    assert_eq!(stalled(150).into_iter().map(|missing| missing.chunks).collect::<Vec<_>>(), [[1, 2]]);
    assert_eq!(stalled(169), []);
    assert_eq!(stalled(170).into_iter().map(|missing| missing.id).collect::<Vec<_>>(), [other.id()]);
    assert_eq!(link.assembler.next_stall(QUIET), Some(Millis(200)));

    link.send_at(180, &one, 0).unwrap();
    assert_eq!(link.assembler.next_stall(QUIET), Some(Millis(200)), "a repetition is no progress");
    link.send_at(180, &one, 1).unwrap();
    link.send_at(180, &other, 1).unwrap();
    assert_eq!(link.assembler.next_stall(QUIET), Some(Millis(230)), "a finished transfer is not waited for");
    assert_eq!(link.assembler.stalled(Millis(229), QUIET), []);
}

#[test]
fn content_without_its_digest_is_dropped_and_may_come_again() {
    let mut link = Link::new();
    let update = link.update(1, 2 * CHUNK);
    let honest = update.chunk(0).unwrap();
    let mut bytes = honest.data.to_vec();
    bytes[7] ^= 1;
    link.send(NOW, Chunk { data: bytes.into(), ..honest }).unwrap();
    let error = link.send_at(0, &update, 1).unwrap_err();
    assert_eq!(error, TransferError::Corrupt { id: update.id() });
    assert_eq!(error.refusal(), Refusal::Corrupt);
    assert_eq!(link.assembler.held_bytes(), 0);
    link.send_at(0, &update, 0).unwrap();
    assert_eq!(link.send_at(0, &update, 1), Ok(Progress::Complete(content(2 * CHUNK))));
}

#[test]
fn a_chunk_that_contradicts_itself_leaves_no_trace() {
    let mut link = Link::new();
    let honest = link.update(1, 2 * CHUNK).chunk(0).unwrap();
    let id = honest.id;
    let half = CHUNK as u32;
    let mut refused = |chunk| link.send(NOW, chunk).unwrap_err();

    let oversized = Chunk { size: u32::MAX, ..honest.clone() };
    assert_eq!(refused(oversized).refusal(), Refusal::Oversized);
    for count in [0, 1 + 2 * half / MIN_CHUNK_BYTES, u32::MAX] {
        let error = refused(Chunk { count, ..honest.clone() });
        assert_eq!(error, TransferError::Count { id, size: 2 * half, count });
    }
    for index in [2, u32::MAX] {
        let error = refused(Chunk { index, ..honest.clone() });
        assert_eq!(error, TransferError::Index { id, index, count: 2 });
    }
    let error = refused(Chunk { data: honest.data.slice(0..CHUNK - 1), ..honest });
    assert_eq!(error, TransferError::Length { id, index: 0, actual: CHUNK - 1, expected: CHUNK });
    assert_eq!(error.refusal(), Refusal::Malformed);
    assert_eq!(link.assembler.missing(&id), None);
    assert_eq!(link.assembler.held_bytes(), 0);
}

#[test]
fn a_chunk_that_contradicts_an_earlier_one_does_not_disturb_it() {
    let mut link = Link::new();
    let update = link.update(1, 4 * CHUNK);
    link.send_at(0, &update, 0).unwrap();
    let other = Chunk { id: update.id(), ..link.update(1, 2 * CHUNK).chunk(1).unwrap() };
    let error = link.send(NOW, other).unwrap_err();
    assert_eq!(error, TransferError::Conflict { id: update.id(), size: 2 * CHUNK_BYTES, count: 2 });
    let stolen = link.assembler.accept(NOW, Some(DeviceId(4)), update.chunk(1).unwrap()).unwrap_err();
    assert_eq!(stolen, TransferError::OtherSender { id: update.id() });
    assert_eq!(stolen.refusal(), Refusal::Impostor);
    assert_eq!(link.assembler.missing(&update.id()).unwrap().chunks, [1, 2, 3]);
}

#[test]
fn a_sender_fills_its_share_and_no_more() {
    let mut link = Link::new();
    for round in 1..=8 {
        link.send_at(0, &update(round, link.device, 2 * CHUNK), 0).unwrap();
    }
    let ninth = link.update(9, 2 * CHUNK);
    let max = LIMITS.max_sender_bytes;
    assert_eq!(link.send_at(0, &ninth, 0), Err(TransferError::SenderFull { id: ninth.id(), max }));
    assert_eq!(link.assembler.held_bytes_of(Some(link.device)), max);

    let honest = update(1, DeviceId(4), 2 * CHUNK);
    for (index, expected) in [(0, Progress::Incomplete), (1, Progress::Complete(content(2 * CHUNK)))] {
        let chunk = honest.chunk(index).unwrap();
        assert_eq!(link.assembler.accept(NOW, Some(DeviceId(4)), chunk), Ok(expected));
    }
    link.assembler.forget_rounds_before(9);
    assert_eq!(link.send_at(0, &ninth, 0), Ok(Progress::Incomplete));
}

#[test]
fn all_senders_together_stay_below_the_total() {
    let mut assembler = Assembler::new(LIMITS);
    let mut send = |device| {
        let chunk = update(1, device, 2 * CHUNK).chunk(0).unwrap();
        assembler.accept(NOW, Some(device), chunk)
    };
    for device in 0..12 {
        assert_eq!(send(DeviceId(device)), Ok(Progress::Incomplete));
    }
    assert!(matches!(send(DeviceId(12)), Err(TransferError::Full { .. })));
    assert_eq!(assembler.held_bytes(), LIMITS.max_total_bytes);
}

#[test]
fn finished_transfers_make_room_and_unfinished_ones_do_not() {
    let limit = MAX_TRANSFERS_PER_SENDER as u32;
    let mut link = Link::new();
    for round in 0..=limit {
        let tiny = link.update(round, 1);
        assert_eq!(link.send_at(u64::from(round), &tiny, 0), Ok(Progress::Complete(content(1))));
    }
    assert_eq!(link.send_at(99, &update(1, link.device, 1), 0), Ok(Progress::AlreadyHeld));
    assert_eq!(
        link.send_at(99, &update(0, link.device, 1), 0),
        Ok(Progress::Complete(content(1))),
        "forgotten"
    );

    // In pieces of 1 KiB, so that the number of transfers is what counts.
    let started = |round| {
        let id = update(round, DeviceId(3), 2048).id();
        Chunk { id, size: 2048, count: 2, index: 0, data: content(1024) }
    };
    for round in 1000..1000 + limit {
        assert_eq!(link.send(NOW, started(round)), Ok(Progress::Incomplete));
    }
    let error = link.send(NOW, started(2000)).unwrap_err();
    assert!(matches!(error, TransferError::TooMany { max: MAX_TRANSFERS_PER_SENDER, .. }), "{error}");
}

#[test]
fn a_forgotten_transfer_starts_anew() {
    let mut link = Link::new();
    let (one, other) = (link.update(1, 2 * CHUNK), link.update(2, 2 * CHUNK));
    link.send_at(0, &one, 0).unwrap();
    link.send_at(0, &other, 0).unwrap();
    link.assembler.forget_rounds_before(2);
    assert_eq!(link.assembler.missing(&one.id()), None);
    assert!(link.assembler.missing(&other.id()).is_some());
    link.assembler.forget(&other.id());
    assert_eq!(link.assembler.held_bytes(), 0);
    assert_eq!(link.send_at(0, &other, 1), Ok(Progress::Incomplete));
}

#[test]
fn a_question_never_outgrows_a_message() {
    let pieces = 2 * MAX_ASKED;
    let size = pieces * MIN_CHUNK_BYTES as usize;
    let limits = Limits { max_transfer_bytes: size, max_sender_bytes: size, max_total_bytes: size };
    let mut assembler = Assembler::new(limits);
    let id = TransferId {
        run: RunId(1),
        round: 1,
        kind: Kind::Model,
        device: None,
        blake3: Digest::blake3(b"never completed"),
    };
    let data = content(MIN_CHUNK_BYTES as usize);
    let chunk = Chunk { id, size: size as u32, count: pieces as u32, index: 0, data };
    assembler.accept(NOW, None, chunk).unwrap();
    let missing = assembler.missing(&id).unwrap();
    assert_eq!(missing.chunks, (1..=MAX_ASKED as u32).collect::<Vec<_>>());
}

#[test]
fn an_error_says_which_transfer_it_is_about() {
    let id = Link::new().update(4, 1).id();
    let text = TransferError::Index { id, index: 9, count: 2 }.to_string();
    assert_eq!(text, "update of device-003 in round 4: piece 9 of 2; pieces count from 0");
}
