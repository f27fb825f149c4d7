//! Compromised devices among themselves. Ranks count the compromised devices from the lowest id on.

use super::*;

/// The device of rank `rank` with all its accomplices here, in round 1, trained to `value`.
fn trained(rank: usize, value: f32) -> Script {
    let mut script = Script::compromised(rank, &[]);
    (0..3).filter(|other| *other != rank).for_each(|other| script.accomplice(other, true));
    script.opens(1);
    script.trains(1, value);
    script
}

fn before_attack(script: &Script, rank: usize, value: f32) -> Outgoing {
    script.shared_model(Kind::BeforeAttack, 1, script.attackers[rank], value)
}

fn crafted_for(script: &Script, value: f32) -> Outgoing {
    script.shared_model(Kind::Crafted, 1, script.me, value)
}

/// Which kinds of transfer were sent to the accomplice of `rank`.
fn sent_to(script: &Script, rank: usize) -> Vec<Kind> {
    let chunks = script.chunks(Topic::Collusion(script.attackers[rank]));
    chunks.into_iter().map(|chunk| chunk.id.kind).collect()
}

#[test]
fn followers_send_to_the_lowest_id_and_deliver_what_it_hands_out() {
    let mut script = trained(1, 5.0);
    assert_eq!((sent_to(&script, 0), sent_to(&script, 2)), (vec![Kind::BeforeAttack], vec![]));
    assert_eq!(script.updates(), [0.0; 0]);
    let crafted = crafted_for(&script, -1.0);
    script.colludes(&crafted);
    assert_eq!(script.updates(), [-1.0]);
    assert!(matches!(
        script.messages(Topic::Collusion(script.attackers[0])).last(),
        Some(Message::Receipt(Receipt { refused: None, .. }))
    ));
}

#[test]
fn the_leader_crafts_when_it_has_all_and_hands_out() {
    let mut script = trained(0, 5.0);
    let other = before_attack(&script, 1, 6.0);
    script.colludes(&other);
    assert!(script.crafting().is_none());
    let last = before_attack(&script, 2, 7.0);
    script.colludes(&last);
    let crafting = script.crafting().expect("it has all");
    let firsts: Vec<_> = crafting.before_attack.iter().map(|(_, model)| model[0]).collect();
    assert_eq!((crafting.round, firsts), (1, vec![5.0, 6.0, 7.0]));
    let models: Vec<_> = script.attackers.iter().map(|device| (*device, -1.0)).collect();
    script.crafts(1, &models);
    assert_eq!(script.updates(), [-1.0]);
    assert!(sent_to(&script, 1).contains(&Kind::Crafted) && sent_to(&script, 2).contains(&Kind::Crafted));
}

#[test]
fn the_leader_crafts_without_one_that_does_not_send_in_time() {
    let mut script = trained(0, 5.0);
    let other = before_attack(&script, 1, 6.0);
    script.colludes(&other);
    script.wait_until(23_999);
    assert!(script.crafting().is_none());
    script.wait_until(24_000);
    assert_eq!(script.crafting().unwrap().before_attack.len(), 2);
}

#[test]
fn the_leader_does_not_wait_for_one_that_has_left() {
    let mut script = trained(0, 5.0);
    let other = before_attack(&script, 1, 6.0);
    script.colludes(&other);
    script.accomplice(2, false);
    assert_eq!(script.crafting().unwrap().before_attack.len(), 2);
}

#[test]
fn a_follower_gives_up_on_a_silent_leader() {
    let mut script = trained(1, 5.0);
    script.wait_until(38_999);
    assert_eq!(script.updates(), [0.0; 0]);
    script.wait_until(39_000);
    assert_eq!(script.updates(), [5.0]);
    let crafted = crafted_for(&script, -1.0);
    script.colludes(&crafted);
    assert_eq!(script.updates(), [5.0], "too late");
}

#[test]
fn a_leader_that_cannot_craft_sends_what_it_trained() {
    let mut script = trained(0, 5.0);
    script.wait_until(24_000);
    script.handle(Event::Done(Outcome::Failed { round: 1, what: "nothing".to_owned() }));
    assert_eq!(script.updates(), [5.0]);
}

#[test]
fn followers_turn_to_a_new_leader() {
    let mut script = trained(2, 5.0);
    assert_eq!((sent_to(&script, 0), sent_to(&script, 1)), (vec![Kind::BeforeAttack], vec![]));
    script.accomplice(0, false);
    assert_eq!(sent_to(&script, 1), [Kind::BeforeAttack]);
}

#[test]
fn the_next_one_leads_when_the_leader_has_left() {
    let mut script = trained(1, 5.0);
    script.accomplice(0, false);
    let other = before_attack(&script, 2, 7.0);
    script.colludes(&other);
    assert_eq!(script.crafting().unwrap().before_attack.len(), 2);
}

#[test]
fn a_restarted_leader_is_sent_the_model_again() {
    let mut script = trained(1, 5.0);
    let id = script.chunks(Topic::Collusion(script.attackers[0]))[0].id;
    script.receive(Topic::Collusion(script.me), &Message::Receipt(Receipt { id, refused: None }));
    let restarted = Status { boot: 99, ..script.status(script.attackers[0], true) };
    script.says(restarted);
    assert_eq!(sent_to(&script, 0), [Kind::BeforeAttack; 2]);
    script.accomplice(0, false);
    assert_eq!(sent_to(&script, 2), [], "a late last will does not unseat the new process");
}

#[test]
fn a_selected_accomplice_whose_status_was_lost_leads_all_the_same() {
    let mut script = Script::compromised(1, &[]);
    script.opens(1);
    script.trains(1, 5.0);
    assert_eq!(sent_to(&script, 0), [Kind::BeforeAttack]);
}

#[test]
fn an_accomplice_that_never_appears_is_not_followed() {
    let mut script = Script::compromised(1, &[]);
    script.accomplice(2, true);
    let (me, other) = (script.attackers[1], script.attackers[2]);
    script.opens_for(1, &[me, other]);
    script.trains(1, 5.0);
    let model = before_attack(&script, 2, 7.0);
    script.colludes(&model);
    assert_eq!(script.crafting().unwrap().before_attack.len(), 2);
}

#[test]
fn a_leader_that_is_not_selected_crafts_for_those_who_are() {
    let mut script = Script::compromised(0, &[]);
    (1..3).for_each(|rank| script.accomplice(rank, true));
    let selected = script.attackers[1..].to_vec();
    script.opens_for(1, &selected);
    for rank in 1..3 {
        let model = before_attack(&script, rank, 6.0);
        script.colludes(&model);
    }
    assert_eq!(script.trainings(), [0; 0]);
    assert_eq!(script.crafting().unwrap().before_attack.len(), 2);
}

#[test]
fn nothing_is_crafted_when_no_accomplice_is_selected() {
    let mut script = Script::compromised(0, &[]);
    let benign = (0..7).map(DeviceId).find(|device| !script.attackers.contains(device)).unwrap();
    script.opens_for(1, &[benign]);
    script.wait_until(60_000);
    assert_eq!(script.jobs().len(), 0);
}

#[test]
fn a_crafted_model_survives_that_its_receiver_learns_meanwhile_who_leads() {
    let me = Script::compromised(1, &[]).me;
    let mut script = Script::new(LARGE, me, &scenario(&[]));
    script.opens_for(1, &[me]);
    script.trains(1, 5.0);
    let crafted = crafted_for(&script, -1.0);
    script.receive(Topic::Collusion(me), &Message::Chunk(crafted.chunk(0).unwrap()));
    script.accomplice(0, true);
    for index in [1, 2] {
        script.receive(Topic::Collusion(me), &Message::Chunk(crafted.chunk(index).unwrap()));
    }
    assert_eq!(script.chunks(Topic::Update(me)).len(), 3, "the pieces of its update");
}

#[test]
fn a_follower_that_asks_again_is_handed_its_model_once() {
    let mut script = trained(0, 5.0);
    let models = [before_attack(&script, 1, 6.0), before_attack(&script, 2, 7.0)];
    models.iter().for_each(|model| script.colludes(model));
    let crafted: Vec<_> = script.attackers.iter().map(|device| (*device, -1.0)).collect();
    script.crafts(1, &crafted);
    script.said.clear();
    script.colludes(&models[0]);
    assert_eq!((sent_to(&script, 1), sent_to(&script, 2)), (vec![Kind::Crafted], vec![]));
}

#[test]
fn under_full_knowledge_only_the_leader_listens_in() {
    let full = ["attack.knowledge=full"];
    let listens = |script: &Script| script.subscriptions().contains(&"outpost/devices/+/update");
    assert!(listens(&Script::compromised(0, &full)));
    let mut follower = Script::compromised(1, &full);
    follower.accomplice(0, true);
    follower.opens(1);
    assert!(!listens(&follower));
    follower.accomplice(0, false);
    assert!(listens(&follower));
    let mut alone = Script::compromised(2, &full);
    let me = alone.me;
    alone.opens_for(1, &[me]);
    assert!(listens(&alone), "the others never appear");
    alone.said.clear();
    alone.handle(Event::Connected);
    assert!(listens(&alone), "again after a reconnect");
}
