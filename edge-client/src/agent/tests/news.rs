//! What a device's status tells of how it goes.

use wire::Refusal;

use super::*;

impl Script {
    /// The statuses that were said since that was last looked at.
    fn statuses(&mut self) -> Vec<Status> {
        let status = |message| if let Message::Status(status) = message { Some(status) } else { None };
        let statuses = self.messages(Topic::Status(self.me)).into_iter().filter_map(status).collect();
        self.said.clear();
        statuses
    }

    /// Trains in `round`, and hears what became of the update.
    fn plays(&mut self, round: u32, refused: Option<Refusal>) {
        self.opens(round);
        self.trains(round, 1.0);
        let id = self.chunks(Topic::Update(self.me)).last().expect("an update").id;
        self.receive(Topic::Inbox(self.me), &Message::Receipt(Receipt { id, refused }));
    }
}

#[test]
fn rounds_are_told_of_ten_seconds_after_the_last_status() {
    let mut script = Script::benign(SMALL);
    assert_eq!(script.statuses()[0].delivered, None);
    script.wait_until(500);
    for round in 1..=3 {
        script.plays(round, None);
    }
    script.wait_until(9_999);
    assert_eq!(script.statuses(), []);
    script.wait_until(10_000);
    let [status] = &script.statuses()[..] else { panic!("not one status") };
    assert_eq!((status.delivered, status.up_ms, status.online), (Some(3), 10_000, true));
    script.wait_until(60_000);
    assert_eq!(script.statuses(), [], "there is no more to tell");
    script.plays(4, None);
    assert_eq!(script.agent.wake_at(), Some(Millis(20_000)), "at once: the last status is long ago");
}

#[test]
fn an_error_has_a_time_and_goes_when_a_later_round_is_delivered() {
    let mut script = Script::benign(SMALL);
    // The clock was not right at first, and was set.
    script.agent.set_time(script.now, 7);
    script.wait_until(5_000);
    script.agent.set_time(script.now, 1_800_000_005);
    script.plays(1, Some(Refusal::Late));
    script.wait_until(20_000);
    let last = script.statuses().pop().unwrap();
    assert!(last.error.is_some_and(|error| error.contains("refused: late")));
    assert_eq!((last.error_time, last.time, last.run), (Some(1_800_000_005), Some(1_800_000_010), Some(RUN)));
    script.plays(2, None);
    script.wait_until(40_000);
    let last = script.statuses().pop().unwrap();
    assert_eq!((last.error, last.error_time, last.delivered), (None, None, Some(2)));
}

#[test]
fn without_a_clock_no_time_is_told() {
    let mut script = Script::benign(SMALL);
    script.plays(1, Some(Refusal::Late));
    script.wait_until(20_000);
    let last = script.statuses().pop().unwrap();
    assert!(last.error.is_some() && last.error_time.is_none() && last.time.is_none());
    script.agent.set_time(script.now, u64::MAX);
    script.handle(Event::Connected);
    assert!(script.statuses().pop().unwrap().time.is_some());
}

#[test]
fn a_receipt_that_comes_twice_is_no_news() {
    let mut script = Script::benign(SMALL);
    script.plays(1, None);
    let id = script.chunks(Topic::Update(script.me))[0].id;
    script.wait_until(10_000);
    assert_eq!(script.statuses().len(), 2);
    script.receive(Topic::Inbox(script.me), &Message::Receipt(Receipt { id, refused: None }));
    assert_eq!(script.agent.wake_at(), None);
}

#[test]
fn a_receipt_of_something_else_is_not_believed() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    let id = script.shared_model(Kind::Update, 9, script.me, 1.0).id();
    script.receive(Topic::Inbox(script.me), &Message::Receipt(Receipt { id, refused: None }));
    script.wait_until(60_000);
    assert_eq!(script.statuses().len(), 1, "the first");
}

#[test]
fn a_refused_update_is_told_of_with_its_reason() {
    let mut script = Script::benign(SMALL);
    script.plays(1, Some(Refusal::WrongShape));
    script.wait_until(10_000);
    let status = script.statuses().pop().unwrap();
    assert_eq!(status.delivered, None);
    assert_eq!(status.error.as_deref(), Some("update of device-001 in round 1: refused: wrong-shape"));
}

#[test]
fn a_training_that_fails_is_told_of() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    let what = "no memory\n".repeat(100);
    script.handle(Event::Done(Outcome::Failed { round: 1, what }));
    script.wait_until(10_000);
    let error = script.statuses().pop().and_then(|status| status.error).unwrap();
    assert!(error.starts_with("round 1: no memory\u{fffd}no memory") && error.ends_with('…'), "{error}");
}

#[test]
fn a_broker_that_was_away_is_told_of_when_it_is_back() {
    let mut script = Script::benign(SMALL);
    script.wait_until(5_000);
    script.handle(Event::Disconnected);
    script.wait_until(8_500);
    script.said.clear();
    script.handle(Event::Connected);
    let error = script.statuses().pop().and_then(|status| status.error);
    assert_eq!(error.as_deref(), Some("the broker was away for 4 s"));
    assert_eq!(script.agent.wake_at(), None, "it has been told");
}

#[test]
fn what_the_board_told_goes_with_the_update_and_with_the_next_status() {
    let mut script = Script::benign(SMALL);
    let trained = Telemetry { rss_kib: Some(6400), energy: Some(9), ..Telemetry::default() };
    script.opens(1);
    let parameters = vec![1.0; SMALL].into();
    script.handle(Event::Done(Outcome::Trained(Trained {
        round: 1,
        parameters,
        loss: 0.5,
        train_us: 7,
        telemetry: trained,
    })));
    let chunk = script.chunks(Topic::Update(script.me)).pop().unwrap();
    let update: UpdateContent = decode(&chunk.data, content_limit(SMALL)).unwrap();
    assert_eq!((update.train_us, update.telemetry), (7, trained));

    let idle = Telemetry { rss_kib: Some(6000), temperature: Some(483), ..Telemetry::default() };
    script.agent.measured(script.now, idle);
    script.acknowledges();
    script.wait_until(10_000);
    let status = script.statuses().pop().unwrap();
    assert_eq!(status.telemetry, Telemetry { energy: Some(9), ..idle });
    script.agent.measured(script.now, Telemetry::default());
    assert_eq!(script.agent.wake_at(), None, "a temperature alone is no news");
}

#[test]
fn a_new_run_begins_with_nothing_delivered() {
    let mut script = Script::benign(SMALL);
    script.plays(1, None);
    script.said.clear();
    let announcement = script.announcement(RunId(8), RunStage::Gathering(wire::RollCall { call: 1 }));
    script.receive(Topic::Round, &announcement);
    assert_eq!(script.statuses().pop().unwrap().delivered, None);
}

#[test]
fn a_device_that_hears_rounds_called_without_it_says_again_that_it_is_here() {
    let mut script = Script::benign(SMALL);
    script.wait_until(9_000);
    script.said.clear();
    script.opens_for(1, &[0, 2].map(DeviceId));
    assert_eq!(script.statuses(), [], "its status may be under way");
    script.wait_until(10_000);
    script.opens_for(2, &[0, 2].map(DeviceId));
    assert!(matches!(&script.statuses()[..], [status] if status.online));
    for round in 3..20 {
        script.opens_for(round, &[0, 2].map(DeviceId));
    }
    assert_eq!(script.statuses(), [], "every ten seconds at most");
    script.wait_until(20_000);
    script.opens_for(20, &[0, 1].map(DeviceId));
    assert_eq!(script.statuses(), [], "it is back");
}

#[test]
fn a_device_that_is_not_drawn_for_a_round_does_not_miss_it() {
    let scenario = scenario(&["attack.kind=none", "fleet.selected=3", "aggregation.trim=1"]);
    let others = |round| {
        let selection = scenario.selection(round);
        (!selection.contains(&DeviceId(1))).then(|| selection.into_iter().collect::<Vec<_>>())
    };
    let (round, selection) = (1..9).find_map(|round| Some((round, others(round)?))).unwrap();
    let mut script = Script::new(SMALL, DeviceId(1), &scenario);
    script.wait_until(30_000);
    script.said.clear();
    script.opens_for(round, &selection);
    assert_eq!(script.statuses(), []);
}

/// What stands in the status as having gone wrong, after so long.
fn error_after(script: &mut Script, millis: u64) -> String {
    script.wait_until(script.now.0 + millis);
    script.handle(Event::Connected);
    script.statuses().pop().and_then(|status| status.error).unwrap_or_default().into()
}

#[test]
fn what_is_waited_for_in_vain_is_told() {
    let mut script = Script::benign(LARGE);
    let call = script.call(1, &[DeviceId(1)]);
    script.announce(RunStage::Round(call));
    let first = script.model(1).chunk(0).unwrap();
    script.wait_until(10_000);
    script.receive(Topic::Model, &Message::Chunk(first));
    assert_eq!(error_after(&mut script, 19_999), "", "a piece came after ten seconds");
    let error = error_after(&mut script, 1);
    assert!(error.starts_with("round 1: for 20 s nothing has come of the model"), "{error}");

    let mut script = Script::benign(SMALL);
    script.opens(1);
    script.trains(1, 5.0);
    assert_eq!(error_after(&mut script, 19_999), "");
    let error = error_after(&mut script, 1);
    assert!(error.starts_with("update of device-001 in round 1: not acknowledged for 20 s"), "{error}");

    let mut script = Script::compromised(1, &[]);
    script.opens(1);
    script.trains(1, 5.0);
    let error = error_after(&mut script, 20_000);
    assert!(error.starts_with("round 1: for 20 s nothing has been crafted; device-"), "{error}");
}
