//! The sending end of a transfer.

use std::collections::BTreeSet;

use super::split::Split;
use crate::identity::{DeviceId, RunId};
use crate::{Blob, Chunk, Content, Kind, Missing, TransferId};

/// Content on its way, kept until its [`Receipt`](crate::Receipt) comes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    id: TransferId,
    split: Split,
    content: Blob,
}

impl Outgoing {
    /// Names `content` by its digest and makes it ready to send.
    ///
    /// # Panics
    /// If `content` is longer than `u32::MAX` bytes.
    pub fn new(
        run: RunId,
        round: u32,
        kind: Kind,
        device: Option<DeviceId>,
        content: impl Into<Blob>,
    ) -> Self {
        let content = content.into();
        let Content { blake3, size } = Content::of(&content);
        Outgoing { id: TransferId { run, round, kind, device, blake3 }, split: Split::of(size), content }
    }

    /// The same in `count` pieces, if it has fewer and is long enough for as many.
    #[must_use]
    pub fn in_pieces(self, count: u32) -> Self {
        let split = Split { count: self.split.count.max(count), ..self.split };
        if split.is_valid() { Outgoing { split, ..self } } else { self }
    }

    /// The transfer's name.
    pub fn id(&self) -> TransferId {
        self.id
    }

    /// Digest and size of the content.
    pub fn content(&self) -> Content {
        Content { blake3: self.id.blake3, size: self.split.size }
    }

    /// Number of chunks.
    pub fn count(&self) -> u32 {
        self.split.count
    }

    /// Chunk `index`; `None` from [`count`](Self::count) on.
    pub fn chunk(&self, index: u32) -> Option<Chunk> {
        let Split { size, count } = self.split;
        (index < count).then(|| {
            let data = self.content.slice(self.split.range(index));
            Chunk { id: self.id, size, count, index, data }
        })
    }

    /// Every chunk in order.
    pub fn chunks(&self) -> impl Iterator<Item = Chunk> + '_ {
        (0..self.count()).filter_map(|index| self.chunk(index))
    }

    /// The chunks that a receiver asks for, each once whatever it repeats; none if it asks for those of
    /// another transfer. Indices that do not exist are passed over.
    pub fn answer(&self, missing: &Missing) -> Vec<Chunk> {
        if missing.id != self.id {
            Vec::new()
        } else if missing.chunks.is_empty() {
            self.chunks().collect()
        } else {
            let asked: BTreeSet<u32> = missing.chunks.iter().copied().collect();
            asked.into_iter().filter_map(|index| self.chunk(index)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::CHUNK_BYTES;
    use super::*;
    use crate::identity::Digest;

    fn update(size: u32) -> Outgoing {
        let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        Outgoing::new(RunId(1), 2, Kind::Update, Some(DeviceId(3)), content)
    }

    fn indices(chunks: &[Chunk]) -> Vec<u32> {
        chunks.iter().map(|chunk| chunk.index).collect()
    }

    #[test]
    fn the_chunks_make_up_the_content() {
        let outgoing = update(2 * CHUNK_BYTES + 1);
        let chunks: Vec<_> = outgoing.chunks().collect();
        assert_eq!(indices(&chunks), [0, 1, 2]);
        let whole = chunks.iter().flat_map(|chunk| chunk.data.to_vec()).collect::<Vec<_>>();
        assert_eq!(Digest::blake3(&whole), outgoing.id().blake3);
        assert_eq!(outgoing.content(), Content::of(&whole.into()));
        assert_eq!(outgoing.chunk(3), None);
    }

    #[test]
    fn content_may_come_in_more_pieces_than_it_must_if_they_are_not_too_small() {
        let pieces =
            |size, count| update(size).in_pieces(count).chunks().map(|chunk| chunk.data.len()).collect();
        let cases: [(u32, u32, Vec<usize>); 5] = [
            (1024, 2, vec![1024]),
            (1025, 2, vec![513, 512]),
            (5000, 2, vec![2500, 2500]),
            (5000, 6, vec![5000]),
            (2 * CHUNK_BYTES, 1, vec![CHUNK_BYTES as usize; 2]),
        ];
        for (size, count, expected) in cases {
            let found: Vec<usize> = pieces(size, count);
            assert_eq!(found, expected, "{size} bytes in {count}");
        }
    }

    #[test]
    fn what_is_asked_for_is_sent_once() {
        let outgoing = update(4 * CHUNK_BYTES);
        let ask = |chunks| indices(&outgoing.answer(&Missing { id: outgoing.id(), chunks }));
        assert_eq!(ask(vec![2, 0]), [0, 2]);
        assert_eq!(ask([1, 3, u32::MAX, 4].repeat(1000)), [1, 3]);
        assert_eq!(ask(vec![]), [0, 1, 2, 3]);
        assert_eq!(ask(vec![9]), [0; 0]);
    }

    #[test]
    fn a_question_about_another_transfer_is_not_answered() {
        let outgoing = update(10);
        let id = TransferId { round: 9, ..outgoing.id() };
        assert_eq!(outgoing.answer(&Missing { id, chunks: vec![] }), []);
    }
}
