//! The bench that a fleet needs.

use std::ffi::OsString;

use super::Unfit;
use crate::benches::Bench;
use crate::benches::boards::Boards;
use crate::benches::emulated::emulated_client;
use crate::benches::emulated_board::{Kernel, qemu};
use crate::benches::processes::{Binaries, ClientProgram, JOBS, Processes};
use crate::faults::Step;
use crate::fleet::inventory::{Device, Inventory, Kind};
use crate::fleet::toolchain::Target;

/// What of this machine a fleet is run with.
#[derive(Clone, Debug)]
pub struct Rig {
    /// Aggregator, and the client of native devices.
    pub binaries: Binaries,
    /// Handed to ssh as they are.
    pub ssh_options: Vec<OsString>,
}

impl Rig {
    /// A bench of the devices of `fleet`, on which `steps` go wrong: processes of this machine with a broker that is
    /// theirs alone, or whatever the inventory has, with the broker that it names.
    ///
    /// # Errors
    /// [`Unfit`] if what it needs is not there.
    pub fn bench(&self, fleet: &Inventory, steps: &[Step]) -> anyhow::Result<Box<dyn Bench>> {
        if fleet.is_local() { Ok(Box::new(self.processes(fleet, steps)?)) } else { self.boards(fleet, steps) }
    }

    fn processes(&self, fleet: &Inventory, steps: &[Step]) -> anyhow::Result<Processes> {
        let mut devices: Vec<&Device> = fleet.devices.iter().collect();
        devices.sort_by_key(|device| device.id);
        let clients = devices.iter().map(|device| self.client(device)).collect::<Result<Vec<_>, _>>()?;
        let native = devices.iter().all(|device| device.kind == Kind::Native);
        Ok(Processes {
            name: if native { "processes" } else { "emulated" },
            aggregator_node: self.binaries.aggregator_node.clone(),
            clients,
            broker: None,
            faults: steps.to_vec(),
        })
    }

    fn client(&self, device: &Device) -> anyhow::Result<ClientProgram> {
        if device.kind == Kind::Native {
            return Ok(ClientProgram::native(self.binaries.edge_client.clone()));
        }
        let target = Target::find(&device.board_to_emulate()?.target)?;
        emulated_client(target, false).map_err(|error| Unfit(error.to_string()).into())
    }

    fn boards(&self, fleet: &Inventory, steps: &[Step]) -> anyhow::Result<Box<dyn Bench>> {
        if fleet.broker.url.tls {
            let what = "each case provisions the fleet anew, and a broker with TLS would know none of its certificates";
            return Err(Unfit(format!("needs a broker without TLS: {what}")).into());
        }
        if fleet.devices.iter().any(|device| device.kind == Kind::QemuSystem) {
            let there = qemu().and_then(|_| Kernel::find(None));
            there.map_err(|missing| Unfit(missing.to_string()))?;
        }
        Ok(Box::new(Boards {
            inventory: fleet.clone(),
            binaries: self.binaries.clone(),
            provisioned: None,
            ssh_options: self.ssh_options.clone(),
            kernel: None,
            fresh: false,
            faults: steps.to_vec(),
            told: |device, what| tracing::info!("{device}: {what}"),
            without: Vec::new(),
            jobs: JOBS,
            take_over: false,
        }))
    }
}
