//! Fetching, training, delivering.

use super::*;

#[test]
fn a_round_is_trained_and_delivered() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    let jobs = script.jobs();
    assert!(matches!(&jobs[..], [Job::Train { round: 1, global, .. }] if global[..] == [1.0; SMALL]));
    script.trains(1, 5.0);
    assert_eq!(script.updates(), [5.0]);
}

#[test]
fn a_model_that_comes_before_its_announcement_is_kept() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    let next = script.model(2).chunk(0).unwrap();
    script.receive(Topic::Model, &Message::Chunk(next));
    assert_eq!(script.trainings(), [1]);
    let call = script.call(2, &[DeviceId(1)]);
    script.announce(RunStage::Round(call));
    assert_eq!(script.trainings(), [1, 2]);
}

#[test]
fn missing_pieces_of_the_model_are_asked_for() {
    let mut script = Script::benign(LARGE);
    let call = script.call(1, &[DeviceId(1)]);
    script.announce(RunStage::Round(call));
    script.wait_until(1_000);
    assert_eq!(script.asked(), [Vec::<u32>::new()], "all of them");
    let middle = script.model(1).chunk(1).unwrap();
    script.receive(Topic::Model, &Message::Chunk(middle));
    script.wait_until(3_000);
    assert_eq!(script.asked()[1..], [vec![0, 2]]);
    for index in [2, 0] {
        let chunk = script.model(1).chunk(index).unwrap();
        script.receive(Topic::Inbox(DeviceId(1)), &Message::Chunk(chunk));
    }
    assert_eq!(script.trainings(), [1]);
    script.wait_until(60_000);
    assert_eq!(script.asked().len(), 2);
}

#[test]
fn a_device_that_is_not_selected_neither_trains_nor_asks_for_the_model() {
    let mut script = Script::benign(SMALL);
    let call = script.call(1, &[DeviceId(0)]);
    script.announce(RunStage::Round(call));
    script.wait_until(60_000);
    script.opens_for(1, &[DeviceId(0)]);
    assert_eq!(script.asked().len(), 0);
    assert_eq!(script.jobs().len(), 0);
}

#[test]
fn a_selection_out_of_order_is_understood() {
    let mut script = Script::benign(SMALL);
    script.opens_for(1, &[6, 5, 4, 1, 0].map(DeviceId));
    assert_eq!(script.trainings(), [1]);
}

#[test]
fn an_update_without_a_receipt_is_brought_to_mind() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    script.trains(1, 5.0);
    script.wait_until(5_999);
    assert_eq!(script.updates(), [5.0, 5.0]);
    script.acknowledges();
    script.wait_until(60_000);
    assert_eq!(script.updates().len(), 2);
}

#[test]
fn what_the_aggregator_lacks_is_sent_until_the_next_round() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    script.trains(1, 5.0);
    script.acknowledges();
    let id = script.chunks(Topic::Update(DeviceId(1)))[0].id;
    let missing = Message::Missing(Missing { id, chunks: vec![0, 0, 7] });
    script.receive(Topic::Inbox(DeviceId(1)), &missing);
    assert_eq!(script.updates(), [5.0, 5.0], "acknowledged, and kept all the same");
    script.opens(2);
    script.receive(Topic::Inbox(DeviceId(1)), &missing);
    assert_eq!(script.updates().len(), 2);
}

#[test]
fn what_was_trained_for_an_earlier_round_is_not_sent() {
    let mut script = Script::benign(SMALL);
    script.opens(1);
    script.opens(2);
    script.trains(1, 5.0);
    assert_eq!(script.updates().len(), 0);
    script.trains(2, 6.0);
    script.trains(2, 7.0);
    assert_eq!(script.updates(), [6.0], "once");
}

#[test]
fn an_overtaken_announcement_is_ignored() {
    let mut script = Script::benign(SMALL);
    script.opens(2);
    script.opens(1);
    assert_eq!(script.trainings(), [2]);
}
