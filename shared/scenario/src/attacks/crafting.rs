//! How the models of a round are crafted.

use std::collections::BTreeSet;

use candle_core::Tensor;
use learning::random::{Purpose, stream};
use rayon::prelude::*;
use robust::{Rule, State};
use wire::identity::DeviceId;

use super::{Attack, AttackError, View};
use crate::tensor_executor::TensorExecutor;

/// The run that is attacked.
#[derive(Clone, Copy)]
pub struct Attacked<'a> {
    /// Its seed.
    pub seed: u64,
    /// Its rule.
    pub rule: &'a dyn Rule,
    /// How many devices take part in a round.
    pub selected: usize,
    /// How many devices the rule assumes to be Byzantine.
    pub byzantine: usize,
}

/// The attack on one round, of which so many models are known.
pub struct Crafting<'a> {
    attack: &'a dyn Attack,
    attacked: Attacked<'a>,
    round: u32,
    devices: Vec<DeviceId>,
    colluders: Vec<u32>,
    benign: Vec<u32>,
}

impl<'a> Crafting<'a> {
    /// The `attack` on `round`, of whose models those of `devices` are known, in ascending order, some of them
    /// `attackers`. `None` if it does not craft, or they are not enough for it.
    pub fn of(
        attack: &'a dyn Attack,
        attacked: Attacked<'a>,
        round: u32,
        devices: Vec<DeviceId>,
        attackers: &BTreeSet<DeviceId>,
    ) -> Option<Self> {
        let is_compromised = |&row: &u32| attackers.contains(&devices[row as usize]);
        let (colluders, benign): (Vec<u32>, Vec<u32>) = (0..devices.len() as u32).partition(is_compromised);
        let are_enough = attack.needs().are_met(colluders.len(), benign.len());
        are_enough.then_some(Crafting { attack, attacked, round, devices, colluders, benign })
    }

    /// The devices whose models are known.
    pub fn devices(&self) -> &[DeviceId] {
        &self.devices
    }

    /// The rows of the compromised devices, and of the others.
    pub fn rows(&self) -> (&[u32], &[u32]) {
        (&self.colluders, &self.benign)
    }

    /// What is drawn for the compromised devices, `[c, d]` row by row.
    pub fn draw(&self, dimension: usize) -> Vec<f64> {
        let mut drawn = vec![0.0; self.colluders.len() * dimension];
        let rows = drawn.par_chunks_exact_mut(dimension).zip(&self.colluders).enumerate();
        rows.for_each(|(rank, (values, &row))| {
            let device = Some(self.devices[row as usize]);
            self.attack.draw(
                rank,
                &mut stream(self.attacked.seed, Purpose::Attack, device, self.round),
                values,
            );
        });
        drawn
    }

    /// What the compromised devices are to send, `[c, d]`, with what was `drawn` for them; `None` if it is what they
    /// trained. `models`, `[m, d]`, are those of all devices that are known, and `global`, `[d]`, what they started from;
    /// `state` is the attack's, and takes what it keeps of this round, if that can be crafted.
    ///
    /// # Errors
    /// As [`Attack::craft`].
    pub fn craft(
        &self,
        drawn: &Tensor,
        models: &Tensor,
        global: &Tensor,
        executor: &dyn TensorExecutor,
        state: &mut State,
    ) -> Result<Option<Tensor>, AttackError> {
        let global_values = global.to_vec1::<f32>()?;
        let view = View {
            round: self.round,
            selected: self.attacked.selected,
            devices: &self.devices,
            global,
            global_values: &global_values,
            models,
            colluders: &self.colluders,
            benign: &self.benign,
            drawn,
            rule: self.attacked.rule,
            byzantine: self.attacked.byzantine,
            executor,
        };
        let mut after = state.clone();
        let crafted = self.attack.craft(&view, &mut after)?;
        *state = after;
        Ok(crafted)
    }
}
