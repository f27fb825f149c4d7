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
    script.wait_until(32_999);
    assert!(script.crafting().is_none());
    script.wait_until(33_000);
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
    script.wait_until(47_999);
    assert_eq!(script.updates(), [0.0; 0]);
    script.wait_until(48_000);
    assert_eq!(script.updates(), [5.0]);
    let crafted = crafted_for(&script, -1.0);
    script.colludes(&crafted);
    assert_eq!(script.updates(), [5.0], "too late");
}

#[test]
fn a_leader_that_cannot_craft_sends_what_it_trained() {
    let mut script = trained(0, 5.0);
    script.wait_until(33_000);
    script.handle(Event::Done(Outcome::Failed { round: 1, what: "nothing".to_owned() }));
    assert_eq!(script.updates(), [5.0]);
}

#[test]
fn a_leader_that_cannot_keep_what_its_attack_keeps_leaves_and_sends_nothing() {
    let mut script = trained(0, 5.0);
    script.wait_until(33_000);
    script.handle(Event::Done(Outcome::Lost("no room".to_owned())));
    assert_eq!(script.farewell(), Some(&Farewell::Lost("no room".to_owned())));
    assert!(script.updates().is_empty());
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

#[test]
fn what_they_did_is_told_to_the_bench_before_it_is_sent() {
    let mut script = trained(0, 5.0);
    let models = [before_attack(&script, 1, 6.0), before_attack(&script, 2, 7.0)];
    models.iter().for_each(|model| script.colludes(model));
    let crafted: Vec<_> = script.attackers.iter().map(|device| (*device, -1.0)).collect();
    script.crafts(1, &crafted);
    let from = Models { colluders: 3, benign: 0 };
    assert_eq!(script.told(), [AttackStep::Crafted { from, gave_up: false }, AttackStep::SentCrafted]);
    let update = script.topics.name(Topic::Update(script.me));
    let told = script.said.iter().rposition(|action| matches!(action, Action::Report(_)));
    let is_sent =
        |action: &Action| matches!(action, Action::Publish(publication) if publication.topic == update);
    assert!(told < script.said.iter().position(is_sent));

    let mut follower = trained(1, 5.0);
    follower.wait_until(48_000);
    assert_eq!(follower.told(), [AttackStep::SentTrained]);
    let mut calm = Script::compromised(1, &["attack.round-fraction=0"]);
    calm.opens(1);
    calm.trains(1, 5.0);
    assert_eq!((calm.updates(), calm.told()), (vec![5.0], vec![]), "not attacked");
}

/// The questions on the collusion topic of `device`.
fn asked(script: &Script, device: DeviceId) -> Vec<Missing> {
    let missing = |message| if let Message::Missing(missing) = message { Some(missing) } else { None };
    script.messages(Topic::Collusion(device)).into_iter().filter_map(missing).collect()
}

/// What `device` sends for aggregation in round 1.
fn update(script: &Script, device: DeviceId, value: f32) -> Outgoing {
    let parameters = Float32Array(vec![value; script.dimension].into());
    let content = UpdateContent { parameters, loss: 0.5, train_us: 1, telemetry: Telemetry::default() };
    Outgoing::new(RUN, 1, Kind::Update, Some(device), content.encode())
}

#[test]
fn a_leader_asks_for_the_updates_that_it_has_not_heard() {
    let full = scenario(&["attack.knowledge=full"]);
    let me = Script::compromised(0, &[]).me;
    let mut script = Script::new(LARGE, me, &full);
    (1..3).for_each(|rank| script.accomplice(rank, true));
    let benign: Vec<_> = (0..7).map(DeviceId).filter(|device| !script.attackers.contains(device)).collect();
    script.opens(1);
    let (whole, half) = (update(&script, benign[0], 1.0), update(&script, benign[1], 2.0));
    for chunk in whole.chunks().chain(half.chunk(1)) {
        script.receive(Topic::Update(chunk.id.device.unwrap()), &Message::Chunk(chunk));
    }
    script.wait_until(1_999);
    assert!(benign.iter().all(|device| asked(&script, *device).is_empty()), "not yet");
    script.wait_until(2_000);
    assert_eq!(asked(&script, benign[0]), []);
    assert_eq!(asked(&script, benign[1]), [Missing { id: half.id(), chunks: vec![0, 2] }]);
    let [unheard] = &asked(&script, benign[2])[..] else { panic!("asked once for all of it") };
    assert_eq!(
        (unheard.id.device, unheard.id.kind, &unheard.chunks[..]),
        (Some(benign[2]), Kind::Update, &[][..])
    );
    script.said.clear();
    for device in &benign[1..] {
        let update = update(&script, *device, 3.0);
        for chunk in update.chunks() {
            script.receive(Topic::Update(*device), &Message::Chunk(chunk));
        }
    }
    script.wait_until(10_000);
    assert!(asked(&script, benign[2]).is_empty(), "it has all");
    let mut follower = Script::compromised(1, &["attack.knowledge=full"]);
    follower.accomplice(0, true);
    follower.opens(1);
    follower.wait_until(10_000);
    assert!(benign.iter().all(|device| asked(&follower, *device).is_empty()), "it does not lead");
}

#[test]
fn under_full_knowledge_a_benign_device_sends_its_update_again_to_who_reads_along() {
    for (settings, answers) in [(&["attack.knowledge=full"][..], 1), (&[], 0)] {
        let scenario = scenario(settings);
        let me = (0..7).map(DeviceId).find(|device| !scenario.attackers().contains(device)).unwrap();
        let mut script = Script::new(SMALL, me, &scenario);
        script.opens(1);
        let id = TransferId { blake3: Digest([0; 32]), ..update(&script, me, 0.0).id() };
        let ask = Message::Missing(Missing { id, chunks: Vec::new() });
        script.receive(Topic::Collusion(me), &ask);
        assert_eq!(script.updates(), [0.0; 0], "it has none yet");
        script.trains(1, 5.0);
        script.acknowledges();
        script.said.clear();
        // A flood of questions is answered once a second.
        (0..9).for_each(|_| script.receive(Topic::Collusion(me), &ask));
        assert_eq!(script.updates(), vec![5.0; answers]);
        script.wait_until(1_000);
        script.receive(Topic::Collusion(me), &ask);
        assert_eq!(script.updates(), vec![5.0; 2 * answers]);
    }
}

#[test]
fn colluders_ask_for_the_pieces_that_they_lack() {
    let me = Script::compromised(0, &[]).me;
    let mut script = Script::new(LARGE, me, &scenario(&[]));
    (1..3).for_each(|rank| script.accomplice(rank, true));
    script.opens(1);
    let model = before_attack(&script, 1, 6.0);
    script.receive(Topic::Collusion(me), &Message::Chunk(model.chunk(1).unwrap()));
    script.wait_until(1_000);
    assert_eq!(asked(&script, script.attackers[1]), [Missing { id: model.id(), chunks: vec![0, 2] }]);
}

#[test]
fn among_colluders_reminders_do_not_become_rare() {
    let mut script = trained(1, 5.0);
    script.wait_until(20_000);
    let sent = sent_to(&script, 0);
    assert!(sent.len() >= 10 && sent.iter().all(|kind| *kind == Kind::BeforeAttack), "{sent:?}");
}
