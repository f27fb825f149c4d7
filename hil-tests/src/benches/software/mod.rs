//! The software bench: the agents of the devices and the round machine of the aggregator, in one process.
//!
//! Time is virtual and advances from event to event, so that nothing waits; computing takes no virtual time. Participants
//! that have something to do at the same instant work in parallel; their actions are carried out in the order of the
//! participants, so that a run depends on its seeds alone.

mod faults;
mod network;
mod nodes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aggregator_node::backend::Chosen;
use aggregator_node::machine::{Machine, Start};
use aggregator_node::run::{Opened, Run};
use aggregator_node::worker::Worker;
use anyhow::{Context as _, bail, ensure};
use edge_client::agent::{Agent, Identity};
use edge_client::memory::Memory;
use edge_client::worker;
use learning::models::Model;
use rayon::prelude::*;
use record::Summary;
use scenario::attack_record::{AttackEvent, AttackRecord};
use wire::identity::{DeviceId, RunId};
use wire::{Millis, Topics};

use crate::benches::{Bench, Task, Watch};
pub use faults::Faults;
use network::Network;
use nodes::{AggregatorNode, DeviceNode, Effect, Node};

/// The software bench.
#[derive(Clone, Debug, Default)]
pub struct Software {
    /// What goes wrong on the link.
    pub faults: Faults,
    /// What the aggregator computes its rules on.
    pub rules: Chosen,
}

impl Bench for Software {
    fn name(&self) -> &'static str {
        "software"
    }

    fn run(&self, task: &Task, watch: &Watch<'_>) -> anyhow::Result<Option<Summary>> {
        let Task { scenario, data, .. } = task;
        if scenario.dataset.on_devices().is_some() {
            // Before there is a directory of a run that cannot be.
            data.shards(scenario)?;
        }
        let starting = task.start()?;
        let mut run = match task.open(self.name(), &starting)? {
            Opened::Unfinished(run) => run,
            Opened::Finished(summary) => return Ok(Some(*summary)),
        };
        let model = starting.model;
        let _allowed = scenario.allow_programs();
        let topics = Topics::default();
        let start = run.start()?;
        let memory = Memory::after(start.run, start.finished, start.remembered.attack.clone());
        let memory = Arc::new(memory);
        let devices = devices_of(task, &model, &topics, &start, &memory)?;
        let attack = AttackSoFar { run: start.run, memory, told: Vec::new() };
        let machine = Machine::new(scenario.clone(), topics, start, Millis(0));
        let worker = Worker::new(scenario, &model, data.test.clone(), self.rules.backend.as_ref())?;
        let worker = worker.with_root(&model, data.root.clone());
        let worker = worker.with_attack_examples(&model, data.held_out());
        let mut simulation = Simulation {
            network: Network::new(&self.faults),
            aggregator: AggregatorNode::new(machine, worker),
            devices,
            attack,
            now: Millis(0),
        };
        simulation.connect();
        let finished = loop {
            if watch.stopped() {
                run.checkpoint()?;
                break false;
            }
            match simulation.advance(&mut run, watch) {
                Ok(false) => {}
                Ok(true) => break true,
                Err(error) => {
                    run.checkpoint()?;
                    return Err(error);
                }
            }
        };
        if finished { Ok(Some(run.finish()?)) } else { Ok(None) }
    }
}

fn devices_of(
    task: &Task,
    model: &Arc<dyn Model>,
    topics: &Topics,
    start: &Start,
    attack: &Arc<Memory>,
) -> anyhow::Result<Vec<DeviceNode>> {
    let scenario = &task.scenario;
    let dimension = model.layout().dimension();
    let node = |(index, shard): (usize, learning::data::Shard)| {
        let device = DeviceId(index as u32);
        let digest = task.data.shard_digest(scenario, device, &shard);
        let me = Identity {
            device,
            boot: u64::from(device.0),
            shard: digest,
            examples: shard.len() as u32,
            hardware: Box::default(),
        };
        let agent = Agent::new(me, topics.clone(), scenario, dimension, Millis(0));
        let worker = worker::Worker::new(scenario.clone(), device, model.clone(), shard)
            .with_context(|| device.to_string())?;
        let momentum = start.remembered.momentum(device);
        let training = Memory::after(start.run, start.finished, worker::Worker::keeping(momentum));
        Ok(DeviceNode::new(agent, worker.with_memories(attack.clone(), training)))
    };
    let shards = task.data.shards(scenario)?;
    // Gathered before any is looked at, so that it is always the first error that is reported.
    let nodes: Vec<_> = shards.into_par_iter().enumerate().map(node).collect();
    nodes.into_iter().collect()
}

/// All participants and what is between them. Participant 0 is the aggregator, the devices follow.
struct Simulation {
    network: Network,
    aggregator: AggregatorNode,
    devices: Vec<DeviceNode>,
    attack: AttackSoFar,
    now: Millis,
}

/// What the bench knows of the attack, since the devices are its own.
struct AttackSoFar {
    run: RunId,
    memory: Arc<Memory>,
    /// What compromised devices did since the last round was recorded.
    told: Vec<AttackEvent>,
}

impl Simulation {
    /// Everybody reaches the broker.
    fn connect(&mut self) {
        self.aggregator.connect();
        self.devices.iter_mut().for_each(Node::connect);
    }

    /// Goes to the next instant at which something happens. True when the run is over.
    fn advance(&mut self, run: &mut Run, watch: &Watch<'_>) -> anyhow::Result<bool> {
        let nodes = || self.devices.iter().map(Node::due).chain([self.aggregator.due()]);
        let Some(next) = nodes().chain([self.network.due()]).flatten().min() else {
            bail!("the simulation stands still: no message is under way and nobody waits for anything");
        };
        ensure!(next < Millis(u64::MAX), "the simulation has reached the end of time");
        self.now = self.now.max(next);
        let now = self.now;
        for (recipient, delivery) in self.network.deliver(now) {
            match recipient {
                0 => self.aggregator.receive(delivery),
                device => self.devices[device - 1].receive(delivery),
            }
        }
        let (aggregator, devices) = (&mut self.aggregator, &mut self.devices);
        // Both on rayon's threads, for to get there from another takes longer than much of what is done there.
        let (effects, said): (_, Vec<Vec<Effect>>) = rayon::join(
            || aggregator.act(now),
            || devices.par_iter_mut().map(|device| device.act(now)).collect(),
        );
        let mut over = false;
        for effect in effects {
            match effect {
                Effect::Record { mut record, global, mut remembered } => {
                    let AttackSoFar { run: id, memory, told } = &mut self.attack;
                    record.attack = AttackRecord::of(run.scenario(), record.round, told);
                    told.retain(|event| event.round > record.round);
                    let next = record.round + 1;
                    let attack = memory.before(*id, next)?;
                    if attack != remembered.attack {
                        Arc::make_mut(&mut remembered).attack = attack;
                    }
                    if run.scenario().training.keeps_momentum() {
                        let remembered = Arc::make_mut(&mut remembered);
                        for (index, device) in self.devices.iter().enumerate() {
                            remembered.set_momentum(DeviceId(index as u32), device.momentum(*id, next)?);
                        }
                    }
                    (watch.on_round)(&record);
                    run.record(record, global, remembered)?;
                }
                Effect::Finish(result) => {
                    result?;
                    over = true;
                }
                effect => self.network.carry_out(now, 0, effect),
            }
        }
        for (index, effects) in said.into_iter().enumerate() {
            for effect in effects {
                match effect {
                    Effect::Report(event) => self.attack.told.push(event),
                    effect => self.network.carry_out(now, index + 1, effect),
                }
            }
        }
        Ok(over)
    }
}
