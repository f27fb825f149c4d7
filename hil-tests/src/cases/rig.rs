//! The bench that a fleet calls for.

use anyhow::Context;

use super::Unfit;
use crate::bench::Bench;
use crate::boards::Board;
use crate::emulated::emulated_client;
use crate::faults::Step;
use crate::inventory::{Device, Inventory, Kind};
use crate::processes::{Binaries, ClientProgram, Processes};
use crate::toolchain::Target;

/// The programs of this machine that a fleet is run with.
#[derive(Clone, Debug)]
pub struct Rig {
    /// Aggregator, and the client of native devices.
    pub binaries: Binaries,
}

impl Rig {
    /// A bench of the devices of `fleet`, on which `steps` go wrong. Another kind of device is another arm here.
    ///
    /// # Errors
    /// [`Unfit`] if there is none for these kinds, or what it needs is not there.
    pub fn bench(&self, fleet: &Inventory, steps: &[Step]) -> anyhow::Result<Box<dyn Bench>> {
        let mut devices: Vec<&Device> = fleet.devices.iter().collect();
        devices.sort_by_key(|device| device.id);
        let clients = devices.iter().map(|device| self.client(device)).collect::<Result<Vec<_>, _>>()?;
        let native = devices.iter().all(|device| device.kind == Kind::Native);
        Ok(Box::new(Processes {
            name: if native { "processes" } else { "emulated" },
            aggregator_node: self.binaries.aggregator_node.clone(),
            clients,
            broker: None,
            faults: steps.to_vec(),
        }))
    }

    fn client(&self, device: &Device) -> anyhow::Result<ClientProgram> {
        match device.kind {
            Kind::Native => Ok(ClientProgram::native(self.binaries.edge_client.clone())),
            Kind::QemuUser => {
                let board = device.board.as_deref().context("an emulated device has a board")?;
                let target = Target::find(&Board::find(board)?.target)?;
                emulated_client(target, false).map_err(|error| Unfit(error.to_string()).into())
            }
            Kind::Ssh | Kind::QemuSystem => {
                let what = "is a machine of its own, and this bench has processes of this machine only";
                Err(Unfit(format!("{} {what}", device.id)).into())
            }
        }
    }
}
