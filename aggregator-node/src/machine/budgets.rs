//! What a device may send, and how often it is answered: checked before a message is decoded.
//!
//! A device has an account. A message costs its bytes and [`MESSAGE`]. Every second adds something to the account, and every
//! round that is called adds several times what an honest device may have to send in it. So no honest device ever runs out,
//! whether a round takes a millisecond or an hour, and a flood costs the aggregator no more than a few honest devices do. A
//! device that runs out is muted: the aggregator leaves its topics (`listening.rs`), and drops unread and counts what arrives
//! from it all the same, until it has been quiet for a while; each time that it floods again, for twice as long.

use std::collections::BTreeSet;
use std::mem;

use record::MutedDevice;
use tracing::{info, warn};
use wire::identity::DeviceId;
use wire::{CHUNK_BYTES, MAX_MESSAGE_BYTES, Millis, TransferId, content_limit};

/// What a message costs beside its bytes: about as many as take the time that is spent on an empty one.
const MESSAGE: i64 = 1024;

/// Header of a chunk in bytes, rounded up.
const HEADER: usize = 256;

/// Updates, each in full, that a device may send for every round that is called: one, another that replaces it, and each
/// of them once more where the link or the broker repeats it.
const UPDATES_A_ROUND: i64 = 4;
/// Other messages for every round: status, questions, and their repetitions.
const MESSAGES_A_ROUND: i64 = 8;
/// Messages a second, beside one update: what a device says by itself.
const MESSAGES_A_SECOND: i64 = 8;
/// Rounds' worth that an account holds at most: what has piled up somewhere and comes at once.
const ROUNDS_HELD: i64 = 4;
/// How long a device is muted that floods for the first time.
const MUTED_FOR: Millis = Millis(10_000);
/// How often that is doubled at most.
const DOUBLINGS: u32 = 6;

/// How long the answer to a transfer stands: until then the same transfer is not answered again.
const ANSWER_PAUSE: Millis = Millis(1_000);
/// Answers to one device within that time, beside the first verdict on each update.
const ANSWERS: usize = 8;

/// The accounts of all devices, and of all strangers together.
#[derive(Debug)]
pub(super) struct Budgets {
    tariff: Tariff,
    /// Rounds called so far.
    rounds: u64,
    /// By number of the device; the last is that of the strangers.
    accounts: Vec<Account>,
    /// Whose messages are dropped now, and whose were since the last record.
    muted: BTreeSet<usize>,
    offenders: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Tariff {
    held: i64,
    a_round: i64,
    a_second: i64,
}

#[derive(Clone, Debug)]
struct Account {
    balance: i64,
    /// When it was brought up to date, and the round that had been called last then.
    at: Millis,
    round: u64,
    /// How often it was muted, and until when it was last.
    mutings: u32,
    muted_until: Millis,
    /// Messages and bytes dropped unread since the last record.
    dropped: (u64, u64),
    answered: Vec<(TransferId, Millis)>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is read.
    Admitted,
    /// It is dropped, and so will be all that follow.
    MutedNow,
    /// It is dropped.
    Dropped,
}

impl Budgets {
    /// For a fleet of `devices` that train a model of `dimension` parameters.
    pub(super) fn new(devices: usize, dimension: usize, now: Millis) -> Self {
        let content = content_limit(dimension);
        let chunks = content.div_ceil(CHUNK_BYTES as usize);
        let update = signed(content + chunks * HEADER) + signed(chunks) * MESSAGE;
        let a_round = UPDATES_A_ROUND * update + MESSAGES_A_ROUND * MESSAGE;
        let tariff =
            Tariff { held: ROUNDS_HELD * a_round, a_round, a_second: update + MESSAGES_A_SECOND * MESSAGE };
        let account = Account {
            balance: tariff.held,
            at: now,
            round: 0,
            mutings: 0,
            muted_until: now,
            dropped: (0, 0),
            answered: Vec::new(),
        };
        let accounts = vec![account; devices + 1];
        Budgets { tariff, rounds: 0, accounts, muted: BTreeSet::new(), offenders: BTreeSet::new() }
    }

    /// A round is called.
    pub(super) fn round_called(&mut self) {
        self.rounds += 1;
    }

    /// Charges a message of `bytes` bytes to `sender`; `None` for all that are not of the fleet.
    pub(super) fn admit(&mut self, now: Millis, sender: Option<DeviceId>, bytes: usize) -> Admission {
        let (tariff, rounds) = (self.tariff, self.rounds);
        let index = self.index(sender);
        let Some(account) = self.accounts.get_mut(index) else { return Admission::Dropped };
        if self.muted.contains(&index) {
            account.drop_message(now, bytes);
            return Admission::Dropped;
        }
        account.bring_up_to_date(now, rounds, &tariff);
        // What is too long is refused unread.
        account.balance -= MESSAGE + if bytes > MAX_MESSAGE_BYTES { 0 } else { signed(bytes) };
        if account.balance >= 0 {
            return Admission::Admitted;
        }
        account.mutings += 1;
        account.drop_message(now, bytes);
        self.muted.insert(index);
        self.offenders.insert(index);
        let seconds = account.muted_until.since(now).0 / 1_000;
        warn!(
            "{}: floods; nothing that it sends is read until it is quiet, for {seconds} s at least",
            Name(sender)
        );
        Admission::MutedNow
    }

    /// Whether what `sender` sends is dropped.
    pub(super) fn is_muted(&self, sender: Option<DeviceId>) -> bool {
        self.muted.contains(&self.index(sender))
    }

    /// The devices that are muted, in ascending order.
    pub(super) fn muted(&self) -> impl Iterator<Item = DeviceId> {
        self.muted.iter().filter_map(|index| self.sender(*index))
    }

    /// When a muted device may be heard again.
    pub(super) fn wakes_at(&self) -> Option<Millis> {
        self.muted
            .iter()
            .filter_map(|index| self.accounts.get(*index))
            .map(|account| account.muted_until)
            .min()
    }

    /// Who is to be heard again from `now` on, with a full account.
    pub(super) fn hear_again(&mut self, now: Millis) -> Vec<Option<DeviceId>> {
        let (held, rounds) = (self.tariff.held, self.rounds);
        let mut again = Vec::new();
        self.muted.retain(|&index| {
            let Some(account) = self.accounts.get_mut(index).filter(|account| account.muted_until <= now)
            else {
                return true;
            };
            (account.balance, account.at, account.round) = (held, now, rounds);
            again.push(index);
            false
        });
        let again: Vec<_> = again.into_iter().map(|index| self.sender(index)).collect();
        again.iter().for_each(|sender| info!("{}: heard again", Name(*sender)));
        again
    }

    /// Whether `device` may be answered now about `transfer`; if so, that is noted.
    pub(super) fn may_answer(&mut self, now: Millis, device: DeviceId, transfer: &TransferId) -> bool {
        let index = self.index(Some(device));
        let Some(account) = self.accounts.get_mut(index) else { return false };
        account.answered.retain(|(_, at)| *at + ANSWER_PAUSE > now);
        let free = account.answered.len() < ANSWERS && account.answered.iter().all(|(id, _)| id != transfer);
        if free {
            account.answered.push((*transfer, now));
        }
        free
    }

    /// `device` is answered about `transfer` whatever it was told before.
    pub(super) fn answers(&mut self, now: Millis, device: DeviceId, transfer: &TransferId) {
        let index = self.index(Some(device));
        let Some(account) = self.accounts.get_mut(index) else { return };
        account.answered.retain(|(id, at)| id != transfer && *at + ANSWER_PAUSE > now);
        account.answered.truncate(ANSWERS - 1);
        account.answered.push((*transfer, now));
    }

    /// Who was muted since the last record, and how many messages of it were dropped; counting starts over.
    pub(super) fn close(&mut self) -> Vec<MutedDevice> {
        let offenders = mem::replace(&mut self.offenders, self.muted.clone());
        let muted = offenders.into_iter().filter_map(|index| {
            let device = self.sender(index);
            let (messages, bytes) = mem::take(&mut self.accounts.get_mut(index)?.dropped);
            Some(MutedDevice { device, messages, bytes })
        });
        muted.collect()
    }

    fn index(&self, sender: Option<DeviceId>) -> usize {
        sender.map_or(self.accounts.len() - 1, |device| device.0 as usize)
    }

    /// Whose account that of `index` is.
    fn sender(&self, index: usize) -> Option<DeviceId> {
        (index < self.accounts.len() - 1).then_some(DeviceId(index as u32))
    }
}

impl Account {
    fn bring_up_to_date(&mut self, now: Millis, rounds: u64, tariff: &Tariff) {
        // Both capped, so that nothing overflows: more than this fills any account.
        let passed = now.since(self.at).0.min(1_000_000).cast_signed();
        let called = rounds.saturating_sub(self.round).cast_signed().min(ROUNDS_HELD);
        let earned = passed.saturating_mul(tariff.a_second) / 1_000 + called * tariff.a_round;
        // Fractions of a message are not lost to frequent looks.
        if earned > 0 {
            (self.at, self.round) = (now, rounds);
            self.balance = self.balance.saturating_add(earned).min(tariff.held);
        }
    }

    /// A message is not read: whoever goes on flooding stays muted.
    fn drop_message(&mut self, now: Millis, bytes: usize) {
        let pause = MUTED_FOR.0 << self.mutings.saturating_sub(1).min(DOUBLINGS);
        self.muted_until = now + Millis(pause);
        self.dropped = (self.dropped.0 + 1, self.dropped.1 + bytes as u64);
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Who it is, for the log.
struct Name(Option<DeviceId>);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(device) => device.fmt(f),
            None => f.write_str("unknown devices"),
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::Kind;
    use wire::identity::{Digest, RunId};

    use super::*;

    const DEVICE: Option<DeviceId> = Some(DeviceId(0));
    const DIMENSION: usize = 300_000;

    fn budgets() -> Budgets {
        Budgets::new(2, DIMENSION, Millis(0))
    }

    /// Sends messages of `bytes` until one is dropped, at most a million; gives their number.
    fn sent(budgets: &mut Budgets, now: u64, bytes: usize) -> usize {
        (0..1_000_000)
            .take_while(|_| budgets.admit(Millis(now), DEVICE, bytes) == Admission::Admitted)
            .count()
    }

    #[test]
    fn an_honest_device_never_runs_out_however_quick_the_rounds_are() {
        let mut budgets = budgets();
        let chunks = content_limit(DIMENSION).div_ceil(CHUNK_BYTES as usize);
        // A thousand rounds a second; each update comes twice, and so do three short messages.
        for round in 0..5_000 {
            budgets.round_called();
            let long = (0..2 * chunks).map(|_| CHUNK_BYTES as usize + 200);
            for bytes in long.chain([600; 6]) {
                assert_eq!(budgets.admit(Millis(round), DEVICE, bytes), Admission::Admitted, "round {round}");
            }
        }
        assert_eq!(budgets.close(), []);
    }

    #[test]
    fn a_flood_is_dropped_and_counted_and_others_are_not_touched() {
        for bytes in [0, 300, 70_000] {
            let mut budgets = budgets();
            let read = sent(&mut budgets, 0, bytes) as u64;
            assert!((1..40_000).contains(&read), "{read} messages of {bytes} bytes");
            for _ in 0..1_000_000 {
                assert_eq!(budgets.admit(Millis(1), DEVICE, bytes), Admission::Dropped);
            }
            assert_eq!(budgets.admit(Millis(1), Some(DeviceId(1)), bytes), Admission::Admitted);
            assert_eq!(budgets.admit(Millis(1), None, bytes), Admission::Admitted);
            let (messages, bytes) = (1_000_001, 1_000_001 * bytes as u64);
            assert_eq!(budgets.close(), [MutedDevice { device: DEVICE, messages, bytes }]);
            let still = MutedDevice { device: DEVICE, messages: 0, bytes: 0 };
            assert_eq!(budgets.close(), [still], "counted once, and named as long as it is muted");
        }
    }

    #[test]
    fn who_floods_is_heard_again_after_ten_quiet_seconds_and_the_next_time_after_twenty() {
        let mut budgets = budgets();
        sent(&mut budgets, 0, 70_000);
        for now in 0..60_000 {
            budgets.round_called();
            assert_eq!(budgets.hear_again(Millis(now)), []);
            assert_eq!(budgets.admit(Millis(now), DEVICE, 300), Admission::Dropped, "it goes on");
        }
        assert_eq!(budgets.wakes_at(), Some(Millis(69_999)));
        assert_eq!(budgets.hear_again(Millis(69_998)), []);
        assert_eq!(budgets.hear_again(Millis(69_999)), [DEVICE]);
        assert!(!budgets.is_muted(DEVICE));
        assert_eq!(budgets.wakes_at(), None);
        assert!(sent(&mut budgets, 70_000, 70_000) > 1);
        assert_eq!(budgets.wakes_at(), Some(Millis(90_000)));
    }

    #[test]
    fn a_transfer_is_answered_once_a_second_and_a_device_eight_times() {
        let mut budgets = budgets();
        let id = |round| TransferId {
            run: RunId(1),
            round,
            kind: Kind::Update,
            device: DEVICE,
            blake3: Digest::blake3(b""),
        };
        let mut answered = |now, round| budgets.may_answer(Millis(now), DeviceId(0), &id(round));
        assert!(answered(0, 1) && !answered(999, 1) && answered(1_000, 1));
        assert_eq!((1..100).filter(|round| answered(1_500, *round)).count(), 7, "one is from before");
        assert_eq!((1..100).filter(|round| answered(2_600, *round)).count(), 8);
    }
}
