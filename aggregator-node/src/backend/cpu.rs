//! The processors of this machine.

use robust::Processors;

use super::{Backend, Engine};

/// Computes rules on the processors, as `robust` has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Backend for Cpu {
    fn name(&self) -> String {
        "cpu".to_owned()
    }

    fn engine(&self) -> Box<dyn Engine> {
        Box::new(Processors)
    }
}

impl Engine for Processors {}
