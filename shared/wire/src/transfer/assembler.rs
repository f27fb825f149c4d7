//! The receiving end of transfers.
//!
//! A chunk comes from a peer that may lie about everything. So memory grows with the bytes that have arrived, and
//! never with those that are announced; three caps bound it; and content is released only with the announced digest.

use std::collections::{BTreeMap, BTreeSet};

use super::error::TransferError;
use super::split::Split;
use crate::identity::DeviceId;
use crate::{Blob, Chunk, Millis, Missing, TransferId};

/// Transfers of one sender that are remembered at most. Finished ones make room for new ones.
pub const MAX_TRANSFERS_PER_SENDER: usize = 64;

/// Pieces asked for in one [`Missing`] at most, so that it always fits into a message; the others are asked
/// for when these have come.
pub const MAX_ASKED: usize = 4096;

/// How many bytes an [`Assembler`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest content.
    pub max_transfer_bytes: usize,
    /// Most that unfinished transfers of one sender hold.
    pub max_sender_bytes: usize,
    /// Most that all unfinished transfers hold. Below `max_sender_bytes` times the number of senders,
    /// hostile ones can crowd out honest ones.
    pub max_total_bytes: usize,
}

/// What a chunk brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The piece is new; others are still missing.
    Incomplete,
    /// It was the last one: the content, whose digest is that of the transfer.
    Complete(Blob),
    /// The piece was here before, or its transfer is finished.
    AlreadyHeld,
}

/// Puts transfers together from chunks in any order, some of them lost or repeated.
///
/// Whether the sender may speak for the transfer's run, round and device is the caller's to check first.
#[derive(Debug)]
pub struct Assembler {
    limits: Limits,
    transfers: BTreeMap<TransferId, Transfer>,
    shares: BTreeMap<Option<DeviceId>, Share>,
    held: usize,
    /// The unfinished ones by when they were last active: of thousands of senders, those that stand still are found
    /// without a look at the others.
    unfinished: BTreeSet<(Millis, TransferId)>,
}

/// One transfer.
#[derive(Debug)]
struct Transfer {
    from: Option<DeviceId>,
    split: Split,
    /// Copies: a chunk may lie in a block of memory that is much larger than what is accounted for here.
    pieces: BTreeMap<u32, Vec<u8>>,
    /// A finished transfer is remembered, so that a repeated chunk does not start it again.
    finished: bool,
    /// When it last got on, or was last reported as stalled.
    active: Millis,
}

/// What one sender takes up.
#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    transfers: BTreeSet<TransferId>,
}

impl Assembler {
    /// Without any transfer yet.
    pub fn new(limits: Limits) -> Self {
        Assembler {
            limits,
            transfers: BTreeMap::new(),
            shares: BTreeMap::new(),
            held: 0,
            unfinished: BTreeSet::new(),
        }
    }

    /// Takes a chunk that `from` sent; `None` stands for the aggregator.
    ///
    /// # Errors
    /// [`TransferError`]: the chunk contradicts itself or an earlier one, exceeds a cap, or completes content
    /// that does not have its digest. Only in the last case is the transfer dropped.
    pub fn accept(
        &mut self,
        now: Millis,
        from: Option<DeviceId>,
        chunk: Chunk,
    ) -> Result<Progress, TransferError> {
        self.check(&chunk)?;
        let Chunk { id, size, count, index, data } = chunk;
        match self.transfers.get(&id) {
            Some(known) if known.from != from => return Err(TransferError::OtherSender { id }),
            Some(known) if known.split != (Split { size, count }) => {
                return Err(TransferError::Conflict { id, size, count });
            }
            Some(known) if known.finished || known.pieces.contains_key(&index) => {
                return Ok(Progress::AlreadyHeld);
            }
            Some(_) => self.check_room(from, id, data.len())?,
            None => {
                self.check_room(from, id, data.len())?;
                self.make_room(from, id)?;
            }
        }

        let share = self.shares.entry(from).or_default();
        let transfer = self.transfers.entry(id).or_insert_with(|| {
            share.transfers.insert(id);
            let split = Split { size, count };
            Transfer { from, split, pieces: BTreeMap::new(), finished: false, active: now }
        });
        self.unfinished.remove(&(transfer.active, id));
        transfer.active = now;
        let content = if count == 1 {
            data
        } else {
            share.bytes += data.len();
            self.held += data.len();
            transfer.pieces.insert(index, data.to_vec());
            if transfer.pieces.len() < count as usize {
                self.unfinished.insert((now, id));
                return Ok(Progress::Incomplete);
            }
            share.bytes -= size as usize;
            self.held -= size as usize;
            join(std::mem::take(&mut transfer.pieces), size)
        };
        transfer.finished = true;
        if content.blake3() == id.blake3 {
            Ok(Progress::Complete(content))
        } else {
            self.forget(&id);
            Err(TransferError::Corrupt { id })
        }
    }

    /// What is still missing of a transfer; `None` if it is finished or unknown.
    pub fn missing(&self, id: &TransferId) -> Option<Missing> {
        self.transfers.get(id).filter(|transfer| !transfer.finished).map(|transfer| transfer.missing(*id))
    }

    /// What is still missing of an unfinished transfer of `device` in `round`, if there is one.
    pub fn missing_of(&self, device: &DeviceId, round: u32) -> Option<Missing> {
        let wanted = |id: &TransferId| id.round == round && id.device.as_ref() == Some(device);
        let mut unfinished = self.transfers.iter().filter(|(id, transfer)| wanted(id) && !transfer.finished);
        unfinished.next().map(|(id, transfer)| transfer.missing(*id))
    }

    /// What is missing of the transfers that have not got on for `quiet`. Each is reported at most once per
    /// `quiet`.
    pub fn stalled(&mut self, now: Millis, quiet: Millis) -> Vec<Missing> {
        let mut stalled = Vec::new();
        while let Some(&(active, id)) = self.unfinished.first().filter(|(active, _)| *active + quiet <= now) {
            self.unfinished.remove(&(active, id));
            if let Some(transfer) = self.transfers.get_mut(&id) {
                transfer.active = now;
                stalled.push(transfer.missing(id));
            }
        }
        self.unfinished.extend(stalled.iter().map(|missing| (now, missing.id)));
        stalled
    }

    /// When [`stalled`](Self::stalled) next has something to report, if nothing arrives until then.
    pub fn next_stall(&self, quiet: Millis) -> Option<Millis> {
        self.unfinished.first().map(|(active, _)| *active + quiet)
    }

    /// Drops a transfer; a further chunk of it starts it anew.
    pub fn forget(&mut self, id: &TransferId) {
        let Some(transfer) = self.transfers.remove(id) else { return };
        let bytes: usize = transfer.pieces.values().map(Vec::len).sum();
        self.held -= bytes;
        self.unfinished.remove(&(transfer.active, *id));
        if let Some(share) = self.shares.get_mut(&transfer.from) {
            share.bytes -= bytes;
            share.transfers.remove(id);
            if share.transfers.is_empty() {
                self.shares.remove(&transfer.from);
            }
        }
    }

    /// Drops every transfer of an earlier round than `round`.
    pub fn forget_rounds_before(&mut self, round: u32) {
        let earlier: Vec<_> = self.transfers.keys().filter(|id| id.round < round).copied().collect();
        for id in earlier {
            self.forget(&id);
        }
    }

    /// Bytes that unfinished transfers hold.
    pub fn held_bytes(&self) -> usize {
        self.held
    }

    /// Bytes that unfinished transfers of one sender hold.
    pub fn held_bytes_of(&self, from: Option<DeviceId>) -> usize {
        self.shares.get(&from).map_or(0, |share| share.bytes)
    }

    /// Whether a chunk is possible at all.
    fn check(&self, chunk: &Chunk) -> Result<(), TransferError> {
        let &Chunk { id, size, count, index, ref data } = chunk;
        let split = Split { size, count };
        let max = self.limits.max_transfer_bytes;
        if size as usize > max {
            return Err(TransferError::TooLarge { id, size, max });
        }
        if !split.is_valid() {
            return Err(TransferError::Count { id, size, count });
        }
        if index >= count {
            return Err(TransferError::Index { id, index, count });
        }
        let (actual, expected) = (data.len(), split.range(index).len());
        if actual != expected {
            return Err(TransferError::Length { id, index, actual, expected });
        }
        Ok(())
    }

    /// Whether `bytes` more stay below the caps.
    fn check_room(&self, from: Option<DeviceId>, id: TransferId, bytes: usize) -> Result<(), TransferError> {
        let Limits { max_sender_bytes, max_total_bytes, .. } = self.limits;
        if self.held_bytes_of(from) + bytes > max_sender_bytes {
            return Err(TransferError::SenderFull { id, max: max_sender_bytes });
        }
        if self.held + bytes > max_total_bytes {
            return Err(TransferError::Full { id, max: max_total_bytes });
        }
        Ok(())
    }

    /// Sees to it that one more transfer of the sender can be remembered.
    fn make_room(&mut self, from: Option<DeviceId>, id: TransferId) -> Result<(), TransferError> {
        let max = MAX_TRANSFERS_PER_SENDER;
        if self.shares.get(&from).is_none_or(|share| share.transfers.len() < max) {
            return Ok(());
        }
        let of_sender = self.shares.get(&from).into_iter().flat_map(|share| &share.transfers);
        let known = of_sender.filter_map(|id| self.transfers.get(id).map(|known| (*id, known)));
        let finished = known.filter(|(_, known)| known.finished);
        let oldest = finished.min_by_key(|(_, known)| known.active).map(|(oldest, _)| oldest);
        self.forget(&oldest.ok_or(TransferError::TooMany { id, max })?);
        Ok(())
    }
}

/// The content of `size` bytes that all its pieces make up.
fn join(pieces: BTreeMap<u32, Vec<u8>>, size: u32) -> Blob {
    let mut pieces = pieces.into_values();
    let mut content = pieces.next().unwrap_or_default();
    // By now as many bytes have arrived as are reserved here.
    content.reserve_exact(size as usize - content.len());
    pieces.for_each(|piece| content.extend_from_slice(&piece));
    content.into()
}

impl Transfer {
    fn missing(&self, id: TransferId) -> Missing {
        let absent = (0..self.split.count).filter(|index| !self.pieces.contains_key(index));
        Missing { id, chunks: absent.take(MAX_ASKED).collect() }
    }
}
