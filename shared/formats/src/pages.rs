//! What the pages of a Parquet file announce. Whoever decodes a page takes as much memory first, so it is looked at before that.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};

use crate::{Wrong, gzip};

/// How deep the values of a page's header may be; those that the format knows are three deep.
const DEEPEST: u32 = 8;

/// Refuses `file` where its rows, or its pages as they are unpacked, take more than may come of so many bytes.
///
/// # Errors
/// That it is so, or that a page begins with something else than a header.
pub(crate) fn check(file: &File, metadata: &ParquetMetaData) -> Result<(), Wrong> {
    let size = file.metadata()?.len();
    let mut left = gzip::most(size);
    let columns = metadata.file_metadata().schema().get_fields().len() as u64;
    let rows: u64 =
        metadata.row_groups().iter().map(|group| group.num_rows().max(0) as u64).fold(0, u64::saturating_add);
    if rows.saturating_mul(columns).saturating_mul(4) > left {
        return Err(format!(
            "{rows} rows of {columns} columns take more than a hundred times the file; write them as a .csv"
        )
        .into());
    }
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let place = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
        let place = place.filter(|(start, length)| start.checked_add(*length).is_some_and(|end| end <= size));
        let (start, length) = place.ok_or("a column lies outside the file")?;
        let mut chunk = vec![0; usize::try_from(length)?];
        file.read_exact_at(&mut chunk, start)?;
        let mut pages = Thrift(&chunk);
        while !pages.0.is_empty() {
            let (unpacked, packed) = pages.page().ok_or("a page of it is damaged")?;
            pages.0 = pages.0.get(packed..).ok_or("a page of it is damaged")?;
            let more = "it is more than a hundred times as large when it is unpacked; if it is to be, write it uncompressed";
            left = left.checked_sub(unpacked).ok_or(more)?;
        }
    }
    Ok(())
}

/// Bytes in the compact protocol of Thrift, of which as much is known here as it takes to pass over them.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    /// Passes over the header of a page, and says how many bytes the page takes as it is used, and as it lies there.
    fn page(&mut self) -> Option<(u64, usize)> {
        let (mut unpacked, mut packed) = (None, None);
        let mut last = 0;
        while let (field, kind @ 1..) = self.field(&mut last)? {
            match (field, kind) {
                (2, 5) => unpacked = Some(self.number()?),
                (3, 5) => packed = Some(self.number()?),
                _ => self.skip(kind, 0)?,
            }
        }
        Some((u64::try_from(unpacked?).ok()?, usize::try_from(packed?).ok()?))
    }

    /// The number and the type of the next field of a structure, or the type 0 at its end; `last` is the number of the one before.
    fn field(&mut self, last: &mut i64) -> Option<(i64, u8)> {
        let head = self.byte()?;
        if head == 0 {
            return Some((*last, 0));
        }
        *last = if head >> 4 == 0 { self.number()? } else { last.checked_add(i64::from(head >> 4))? };
        Some((*last, head & 0xf))
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            // In fields, the types of true and false are their values.
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.number().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                (0..count).try_for_each(|_| match head & 0xf {
                    1 | 2 => self.pass(1),
                    kind => self.skip(kind, depth + 1),
                })
            }
            12 => {
                let mut last = 0;
                while let (_, kind @ 1..) = self.field(&mut last)? {
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pass(&mut self, bytes: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A number with a sign, whose last bit that is.
    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_passed_over_whatever_is_in_them() {
        // A type, both sizes, a structure with a number, true and a list of two numbers, a text.
        let header = [
            0x15, 0, 0x15, 200, 1, 0x15, 6, 0x2c, 0x15, 2, 0x11, 0x19, 0x25, 2, 4, 0, 0x18, 2, b'a', b'b', 0,
        ];
        let mut pages = Thrift(&header);
        assert_eq!(pages.page(), Some((100, 3)));
        assert!(pages.0.is_empty());
        for end in 0..header.len() {
            assert_eq!(Thrift(&header[..end]).page(), None, "{end}");
        }
        let deep = [vec![0x1c; 100], vec![0; 100]].concat();
        assert_eq!(Thrift(&deep).page(), None);
    }
}
