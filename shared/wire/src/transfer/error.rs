//! Why a chunk is refused.

use crate::{Refusal, TransferId};

/// Why a chunk is refused. Except after [`Corrupt`](Self::Corrupt), what was held before is still held.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TransferError {
    /// The announced content exceeds the cap.
    #[error("{id}: {size} bytes announced, at most {max} accepted; check that both ends have the same model")]
    TooLarge {
        /// The transfer.
        id: TransferId,
        /// Announced size in bytes.
        size: u32,
        /// The cap in bytes.
        max: usize,
    },
    /// A number of pieces that the size does not allow.
    #[error("{id}: {size} bytes cannot travel in {count} pieces; pieces have at least 1 KiB")]
    Count {
        /// The transfer.
        id: TransferId,
        /// Announced size in bytes.
        size: u32,
        /// Announced number of pieces.
        count: u32,
    },
    /// A piece beyond the last one.
    #[error("{id}: piece {index} of {count}; pieces count from 0")]
    Index {
        /// The transfer.
        id: TransferId,
        /// Index of the piece.
        index: u32,
        /// Number of pieces.
        count: u32,
    },
    /// A piece that is longer or shorter than size and count make it.
    #[error("{id}: piece {index} has {actual} bytes where size and count make it {expected}")]
    Length {
        /// The transfer.
        id: TransferId,
        /// Index of the piece.
        index: u32,
        /// Its length in bytes.
        actual: usize,
        /// The length that it should have.
        expected: usize,
    },
    /// Another size or count than an earlier piece of the same transfer.
    #[error("{id}: {size} bytes in {count} pieces, but an earlier piece said otherwise; send it anew")]
    Conflict {
        /// The transfer.
        id: TransferId,
        /// Announced size in bytes.
        size: u32,
        /// Announced number of pieces.
        count: u32,
    },
    /// From another sender than the earlier pieces of the same transfer.
    #[error("{id}: a piece from another sender than the earlier ones")]
    OtherSender {
        /// The transfer.
        id: TransferId,
    },
    /// The sender has more under way than it may.
    #[error("{id}: its sender already fills its share of {max} bytes; finish or withdraw earlier transfers")]
    SenderFull {
        /// The transfer.
        id: TransferId,
        /// The cap in bytes.
        max: usize,
    },
    /// The sender has more transfers under way than it may.
    #[error("{id}: its sender already has {max} unfinished transfers; finish or withdraw earlier ones")]
    TooMany {
        /// The transfer.
        id: TransferId,
        /// The cap.
        max: usize,
    },
    /// All senders together have more under way than there is room for.
    #[error(
        "{id}: unfinished transfers fill all {max} bytes; raise the cap or select fewer devices per round"
    )]
    Full {
        /// The transfer.
        id: TransferId,
        /// The cap in bytes.
        max: usize,
    },
    /// All pieces are here, but they are not the announced content. The transfer is dropped.
    #[error("{id}: the content does not have the announced digest; send it anew")]
    Corrupt {
        /// The transfer.
        id: TransferId,
    },
}

impl TransferError {
    /// What its sender is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            TransferError::TooLarge { .. }
            | TransferError::SenderFull { .. }
            | TransferError::TooMany { .. }
            | TransferError::Full { .. } => Refusal::Oversized,
            TransferError::Count { .. }
            | TransferError::Index { .. }
            | TransferError::Length { .. }
            | TransferError::Conflict { .. } => Refusal::Malformed,
            TransferError::OtherSender { .. } => Refusal::Impostor,
            TransferError::Corrupt { .. } => Refusal::Corrupt,
        }
    }
}
