//! The device's status, and the search for a second process with its name.

use tracing::debug;
use wire::identity::{Digest, RunId};
use wire::{Message, Millis, PROTOCOL_VERSION, Publication, Status, Telemetry, Topic, Topics, short_text};

use super::{Action, Farewell, Identity};

/// After so many answers to the same other process, not the elder of the two stays but the one of the higher boot id:
/// what either says of its age is out of date when it arrives, and two that started at the same time may each take
/// themselves for the elder.
const ANSWERS: u32 = 3;

/// How long after a status, at least, another one tells news: whoever looks at a fleet sees how it goes, and a round
/// costs no more for it.
const NEWS_PAUSE: Millis = Millis(10_000);

/// The device's status message, and the contest with a second process of the same name: the one that has been up
/// longer stays.
#[derive(Debug)]
pub(super) struct Presence {
    status: Status,
    topic: String,
    started: Millis,
    now: Millis,
    /// What the board's clock showed at the time 0, in milliseconds since 1970; `None` if it was never asked.
    epoch: Option<i64>,
    /// When the status was said last.
    said: Millis,
    /// Whether another round was delivered, or something went wrong, since then.
    news: bool,
    /// Since when the broker is away.
    away: Option<Millis>,
    /// Another process of this device's name, and how often it has been answered.
    contest: Option<(u64, u32)>,
}

impl Presence {
    pub(super) fn new(me: &Identity, topics: &Topics, scenario: Digest, now: Millis) -> Self {
        let status = Status {
            protocol: PROTOCOL_VERSION,
            device: me.device,
            boot: me.boot,
            up_ms: 0,
            online: true,
            scenario,
            shard: me.shard,
            examples: me.examples,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            delivered: None,
            telemetry: Telemetry::default(),
            error: None,
            error_time: None,
            run: None,
            time: None,
            hardware: me.hardware.clone(),
        };
        Presence {
            status,
            topic: topics.name(Topic::Status(me.device)),
            started: now,
            now,
            epoch: None,
            said: now,
            news: false,
            away: None,
            contest: None,
        }
    }

    /// It is `now`.
    pub(super) fn now(&mut self, now: Millis) {
        self.now = now;
    }

    /// The board's clock shows `unix`, in seconds since 1970.
    pub(super) fn set_time(&mut self, unix: u64) {
        let milliseconds = |unsigned: u64| i64::try_from(unsigned).unwrap_or(i64::MAX);
        self.epoch = Some(milliseconds(unix.saturating_mul(1000)).saturating_sub(milliseconds(self.now.0)));
    }

    /// What the board's clock shows now.
    fn time(&self) -> Option<u64> {
        u64::try_from(self.epoch?.saturating_add(i64::try_from(self.now.0).ok()?) / 1000).ok()
    }

    /// "I am here."
    pub(super) fn online(&mut self, now: Millis) -> Publication {
        (self.said, self.news) = (now, false);
        let status = Status { up_ms: self.up(now), time: self.time(), ..self.status.clone() };
        Publication::retained(self.topic.clone(), &Message::Status(status))
    }

    /// "I am gone", also as the last will.
    pub(super) fn offline(&self) -> Publication {
        let status = Status { online: false, time: self.time(), ..self.status.clone() };
        Publication::retained(self.topic.clone(), &Message::Status(status))
    }

    /// When there will be news to tell.
    pub(super) fn wake_at(&self) -> Option<Millis> {
        self.news.then_some(self.said + NEWS_PAUSE)
    }

    /// Whether the last status was long enough ago for another that says the same.
    pub(super) fn may_repeat_itself(&self, now: Millis) -> bool {
        self.said + NEWS_PAUSE <= now
    }

    /// Says the status once more if it has changed.
    pub(super) fn tell_news(&mut self, now: Millis, out: &mut Vec<Action>) {
        if self.wake_at().is_some_and(|due| due <= now) {
            out.push(Action::Publish(self.online(now)));
        }
    }

    /// The aggregator has accepted the update of `round`.
    pub(super) fn delivered(&mut self, round: u32) {
        self.news |= self.status.delivered.replace(round) != Some(round);
        // Whatever it was, it has been made up for.
        (self.status.error, self.status.error_time) = (None, None);
    }

    /// It takes part in another run.
    pub(super) fn begin_run(&mut self, run: RunId) {
        (self.status.run, self.status.delivered) = (Some(run), None);
    }

    /// There is nothing here that could be trained on, for ever: nothing else that goes wrong matters.
    pub(super) fn unfit(&mut self, why: &str) {
        (self.status.examples, self.status.error) = (0, Some(short_text(why).into()));
    }

    pub(super) fn went_wrong(&mut self, what: &str) {
        if self.status.examples == 0 {
            return;
        }
        let what = Some(short_text(what).into());
        self.news |= self.status.error != what;
        (self.status.error, self.status.error_time) = (what, self.time());
    }

    /// The board was read; its energy stays that of the last training.
    pub(super) fn measured(&mut self, telemetry: Telemetry) {
        self.status.telemetry = Telemetry { energy: self.status.telemetry.energy, ..telemetry };
    }

    /// What the board told after a training. Telemetry is no news: it changes all the time.
    pub(super) fn trained(&mut self, telemetry: Telemetry) {
        self.status.telemetry = telemetry;
    }

    pub(super) fn disconnected(&mut self, now: Millis) {
        self.away.get_or_insert(now);
    }

    pub(super) fn connected(&mut self, now: Millis) {
        if let Some(since) = self.away.take() {
            let seconds = now.since(since).0.div_ceil(1000);
            self.went_wrong(&format!("the broker was away for {seconds} s"));
        }
    }

    /// Something was said under this device's name.
    pub(super) fn heard(&mut self, now: Millis, said: &Status, retained: bool, out: &mut Vec<Action>) {
        if said.boot == self.status.boot {
            // The last will of a connection of this process that the broker has only now given up.
            out.extend((!said.online).then(|| Action::Publish(self.online(now))));
            return;
        }
        let answers = self.contest.filter(|(boot, _)| *boot == said.boot).map_or(0, |(_, answers)| answers);
        let mine = (if answers < ANSWERS { self.up(now) } else { 0 }, self.status.boot);
        let theirs = (if answers < ANSWERS { said.up_ms } else { 0 }, said.boot);
        let running = said.online && !retained;
        if running && theirs > mine {
            out.push(Action::Leave(Farewell::DuplicateId));
        } else {
            if running {
                self.contest = Some((said.boot, answers.saturating_add(1)));
            }
            // A younger process, one that is gone, or its last will: the truth is that this one is here.
            debug!("answering for boot {:016x} of the same device", said.boot);
            out.push(Action::Publish(self.online(now)));
        }
    }

    fn up(&self, now: Millis) -> u64 {
        now.since(self.started).0
    }
}
