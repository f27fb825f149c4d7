//! The processors of this machine.

use shared::rules::Rule;
use shared::scenario::Scenario;

use super::{Backend, Engine};

/// Computes rules on the processors, as `shared::rules` has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Backend for Cpu {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn engine(&self, scenario: &Scenario) -> Box<dyn Engine> {
        Box::new(scenario.rule())
    }
}

impl Engine for Box<dyn Rule> {
    fn rule(&self) -> &dyn Rule {
        self.as_ref()
    }
}
