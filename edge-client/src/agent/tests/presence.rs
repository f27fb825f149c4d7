//! Two processes of one device.

use super::*;

/// What another process of device 1 says, `up_ms` after its start.
fn other(script: &Script, boot: u64, up_ms: u64) -> Status {
    Status { boot, up_ms, ..script.status(DeviceId(1), true) }
}

#[test]
fn a_device_whose_data_do_not_fit_says_so_at_every_roll_call_whatever_else_goes_wrong() {
    let mut script = Script::benign(SMALL);
    script.agent = script.agent.with_unfit_data("its class \"b\" is none of the scenario's, a");
    script.handle(Event::Disconnected);
    script.wait_until(9_000);
    script.said.clear();
    script.handle(Event::Connected);
    script.announce(RunStage::Gathering(wire::RollCall { call: 1 }));
    let said = script.messages(Topic::Status(DeviceId(1)));
    assert_eq!(said.len(), 2);
    for message in said {
        let Message::Status(status) = message else { panic!("{message:?}") };
        let why = status.error.as_deref();
        assert_eq!(
            (status.online, status.examples, why),
            (true, 0, Some("its class \"b\" is none of the scenario's, a"))
        );
    }
}

#[test]
fn the_younger_process_leaves() {
    let mut script = Script::benign(SMALL);
    script.wait_until(100);
    let elder = other(&script, 1, 5_000);
    script.says(elder);
    assert_eq!(script.farewell(), Some(&Farewell::DuplicateId));
}

#[test]
fn the_elder_process_stays_and_says_so() {
    let mut script = Script::benign(SMALL);
    script.wait_until(5_000);
    script.said.clear();
    let younger = other(&script, 99, 100);
    script.says(younger);
    assert_eq!(script.farewell(), None);
    let said = script.messages(Topic::Status(DeviceId(1)));
    assert!(matches!(&said[..], [Message::Status(status)] if status.online && status.up_ms == 5_000));
}

#[test]
fn a_process_that_is_gone_is_answered_and_not_feared() {
    let mut script = Script::benign(SMALL);
    let dead = other(&script, 99, 1_000_000);
    for _ in 0..5 {
        script.receive_as(Topic::Status(DeviceId(1)), &Message::Status(dead.clone()), true);
        script.says(Status { online: false, ..dead.clone() });
    }
    assert_eq!(script.farewell(), None);
}

#[test]
fn its_own_word_is_not_answered() {
    let mut script = Script::benign(SMALL);
    script.said.clear();
    let own = other(&script, 50, 0);
    script.says(own);
    assert_eq!(script.said.len(), 0);
}

#[test]
fn its_own_last_will_is_answered() {
    let mut script = Script::benign(SMALL);
    script.said.clear();
    let late = Status { online: false, ..other(&script, 50, 0) };
    script.says(late);
    let said = script.messages(Topic::Status(DeviceId(1)));
    assert!(matches!(&said[..], [Message::Status(status)] if status.online && status.boot == 50));
}

#[test]
fn of_two_that_started_at_the_same_time_one_leaves() {
    // A word takes 30 ms, so that each finds the other 30 ms younger than itself.
    let (mut low, mut high) = (Script::benign(SMALL), Script::benign(SMALL));
    let rename = |message: Message, boot| match message {
        Message::Status(status) => Status { boot, ..status },
        _ => unreachable!(),
    };
    let word = |script: &mut Script| script.messages(Topic::Status(DeviceId(1))).pop();
    for exchange in 1..20 {
        let (from_low, from_high) = (word(&mut low), word(&mut high));
        low.said.clear();
        high.said.clear();
        for (script, said, boot) in [(&mut low, from_high, 51), (&mut high, from_low, 49)] {
            script.wait_until(exchange * 30);
            if let Some(message) = said {
                script.says(rename(message, boot));
            }
        }
        if low.farewell().is_some() {
            assert_eq!(high.farewell(), None);
            return;
        }
    }
    panic!("they go on for ever");
}
