//! What attacks on the link have a compromised device send, and when.

use super::*;

/// A compromised device that attacks so, with a model of so many parameters.
fn script(dimension: usize, settings: &[&str]) -> Script {
    let scenario = scenario(settings);
    let me = scenario.attackers().into_iter().next().unwrap();
    Script::new(dimension, me, &scenario)
}

/// What it has sent since this was last asked: the round and the number of each chunk, and of how many it is one.
fn sent(script: &mut Script) -> Vec<(u32, u32, u32)> {
    let chunks = script.chunks(Topic::Update(script.me));
    script.said.clear();
    chunks.into_iter().map(|chunk| (chunk.id.round, chunk.index, chunk.count)).collect()
}

fn refuses_as_late(script: &mut Script, id: TransferId) {
    let receipt = Receipt { id, refused: Some(wire::Refusal::Late) };
    script.receive(Topic::Inbox(script.me), &Message::Receipt(receipt));
}

#[test]
fn an_update_that_is_held_for_longer_than_its_round_is_sent_all_the_same() {
    let mut script = script(SMALL, &["attack.kind=delay", "attack.share=1.5"]);
    script.opens(1);
    script.trains(1, 5.0);
    script.wait_until(60_000);
    script.opens(2);
    script.trains(2, 6.0);
    script.wait_until(89_999);
    assert_eq!(sent(&mut script), []);
    script.wait_until(90_000);
    let id = script.chunks(Topic::Update(script.me))[0].id;
    assert_eq!(sent(&mut script), [(1, 0, 1)]);
    refuses_as_late(&mut script, id);
    script.wait_until(120_000);
    script.opens(3);
    assert_eq!(sent(&mut script), [], "it was told that it is late");
    script.wait_until(150_000);
    assert_eq!(sent(&mut script), [(2, 0, 1)]);
}

#[test]
fn an_update_of_a_round_before_the_last_is_not_sent_nor_one_that_a_restarted_aggregator_does_not_know() {
    let mut script = script(SMALL, &["attack.kind=delay", "attack.share=1.5"]);
    for round in 1..=3 {
        script.opens(round);
        script.trains(round, 5.0);
    }
    script.wait_until(90_000);
    let rounds: Vec<_> = sent(&mut script).into_iter().map(|(round, ..)| round).collect();
    assert_eq!(rounds, [2, 3]);
    script.opens(4);
    script.trains(4, 5.0);
    script.term += 1;
    script.opens(3);
    script.wait_until(200_000);
    assert!(!sent(&mut script).iter().any(|(round, ..)| *round == 4));
}

#[test]
fn a_flood_is_the_update_and_its_chunks_over_and_over() {
    let mut script = script(LARGE, &["attack.kind=flood", "attack.messages=7"]);
    script.opens(1);
    script.trains(1, 5.0);
    let once = [(1, 0, 3), (1, 1, 3), (1, 2, 3)];
    assert_eq!(sent(&mut script), [&once[..], &once, &once, &once[..1]].concat());
    script.wait_until(1_999);
    assert_eq!(sent(&mut script), [], "no more than that");
}

#[test]
fn a_transfer_that_never_ends_lacks_its_last_chunk_whoever_asks_and_begins_anew() {
    let mut script = script(LARGE, &["attack.kind=slow-loris", "attack.restart-seconds=5"]);
    script.opens(1);
    script.trains(1, 5.0);
    let first = script.chunks(Topic::Update(script.me))[0].id;
    assert_eq!(sent(&mut script), [(1, 0, 3), (1, 1, 3)]);
    for chunks in [vec![2], vec![]] {
        script.receive(Topic::Inbox(script.me), &Message::Missing(Missing { id: first, chunks }));
    }
    assert_eq!(sent(&mut script), [(1, 0, 3), (1, 1, 3)], "what is held back is not sent");
    script.wait_until(4_999);
    sent(&mut script);
    script.wait_until(5_000);
    let second = script.chunks(Topic::Update(script.me))[0].id;
    assert_ne!(second, first);
    assert_eq!(sent(&mut script), [(1, 0, 3), (1, 1, 3)]);
    script.receive(Topic::Inbox(script.me), &Message::Missing(Missing { id: first, chunks: vec![0] }));
    assert_eq!(sent(&mut script), [], "the first is forgotten");
    script.opens(2);
    script.wait_until(60_000);
    assert_eq!(sent(&mut script), [], "and all of them with the round");
}

#[test]
fn an_update_of_one_chunk_is_divided_and_one_that_is_too_short_is_not_sent() {
    for (dimension, expected) in [(1_000, vec![(1, 0, 2)]), (SMALL, vec![])] {
        let mut script = script(dimension, &["attack.kind=slow-loris"]);
        script.opens(1);
        script.trains(1, 5.0);
        assert_eq!(sent(&mut script), expected);
    }
}

#[test]
fn an_earlier_update_is_sent_again_under_its_old_number() {
    let mut script = script(SMALL, &["attack.kind=replay", "attack.as=old", "attack.every=3"]);
    let mut rounds = Vec::new();
    for round in 1..=5_u8 {
        script.opens(round.into());
        script.trains(round.into(), f32::from(round));
        let value = script.updates()[0];
        let id = script.chunks(Topic::Update(script.me))[0].id;
        refuses_as_late(&mut script, id);
        rounds.extend(sent(&mut script).into_iter().map(|(round, ..)| (round, value)));
    }
    assert_eq!(rounds, [(1, 1.0), (1, 1.0), (1, 1.0), (4, 4.0), (4, 4.0)]);
}

#[test]
fn a_device_that_has_kept_nothing_sends_what_it_has_just_trained_under_the_old_number() {
    let mut script = script(SMALL, &["attack.kind=replay", "attack.as=old", "attack.every=3"]);
    script.opens(3);
    script.trains(3, 7.0);
    assert_eq!(script.updates(), [7.0]);
    assert_eq!(sent(&mut script), [(1, 0, 1)]);
}
