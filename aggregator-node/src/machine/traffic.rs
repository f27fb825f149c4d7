//! How many bytes were received and sent, and for which device.

use record::DeviceRecord;
use wire::identity::DeviceId;

use super::collect::Update;

/// Bytes of payload since the last record. A broadcast counts once, however many listen.
#[derive(Debug)]
pub(super) struct Traffic {
    up: u64,
    down: u64,
    /// Of each device of the fleet, on its own topics.
    from: Vec<u64>,
}

impl Traffic {
    pub(super) fn new(devices: usize) -> Self {
        Traffic { up: 0, down: 0, from: vec![0; devices] }
    }

    /// Something arrived, of whomever.
    pub(super) fn up(&mut self, bytes: u64) {
        self.up += bytes;
    }

    /// Something is sent.
    pub(super) fn down(&mut self, bytes: u64) {
        self.down += bytes;
    }

    /// What arrived came on a topic of `device`, which is of the fleet.
    pub(super) fn came_from(&mut self, device: DeviceId, bytes: u64) {
        if let Some(sum) = self.from.get_mut(device.0 as usize) {
            *sum += bytes;
        }
    }

    /// The devices behind `updates`, with what they told and what has come from them. None, if not one told anything:
    /// where there are no boards, as in the software bench, a round's record says nothing of each device.
    pub(super) fn devices(&self, updates: &[(DeviceId, Update)]) -> Vec<DeviceRecord> {
        if updates.iter().all(|(_, update)| update.telemetry.is_unknown()) {
            return Vec::new();
        }
        let bytes = |device: DeviceId| self.from.get(device.0 as usize).copied().unwrap_or_default();
        let record = |(device, update): &(DeviceId, Update)| {
            DeviceRecord::new(*device, bytes(*device), update.train_us, &update.telemetry)
        };
        updates.iter().map(record).collect()
    }

    /// Bytes up and down, for the record; counting starts over.
    pub(super) fn close(&mut self) -> (u64, u64) {
        self.from.fill(0);
        (std::mem::take(&mut self.up), std::mem::take(&mut self.down))
    }
}
